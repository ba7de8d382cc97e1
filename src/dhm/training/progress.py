"""What a person sees while training: a bar on a terminal, and a line an epoch everywhere."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from torch import Tensor

REFRESH_SECONDS = 0.5


class Progress:
    """Shows the loss terms, error, speed and time left; `show=False` is silent."""

    def __init__(self, show: bool = True) -> None:
        self.show = show
        self.bar: Any = None

    def start(self, n_epochs: int, steps_per_epoch: int, step: int = 0) -> None:
        """Say how long training is and where it starts."""
        self.n_epochs = n_epochs
        if self.show and sys.stderr.isatty():
            from tqdm import tqdm

            total = n_epochs * steps_per_epoch
            self.bar = tqdm(
                total=total,
                initial=step,
                unit="step",
                leave=False,
                dynamic_ncols=True,
                mininterval=REFRESH_SECONDS,
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()

    def step(self, state: Any, sums: Mapping[str, Tensor]) -> None:
        """After each step; looks at the device's numbers only when the bar is redrawn."""
        if self.bar is not None and self.bar.update():
            means = {name: value.item() / state.weight for name, value in sums.items()}
            self.bar.set_description(f"epoch {state.epoch + 1}/{self.n_epochs}", refresh=False)
            self.bar.set_postfix_str(format_terms(means), refresh=False)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """After each epoch."""
        if not self.show:
            return
        train = {k.removeprefix("train_"): v for k, v in row.items() if k.startswith("train_")}
        line = (
            f"epoch {row['epoch']:>{len(str(self.n_epochs))}}/{self.n_epochs}  "
            f"{format_terms(train)}  | validation error {row['val_error']:.2%} "
            f"nll {row['val_nll']:.3f}  | {row['examples_per_second']:,.0f} examples/s"
        )
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


def format_terms(terms: Mapping[str, float]) -> str:
    """Loss terms in a line: four significant digits, errors in percent.

    Example:
        >>> format_terms({"loss": 0.51234, "error": 0.0123})
        'loss 0.5123 error 1.23%'
    """
    return " ".join(
        f"{name} {value:.2%}" if name == "error" else f"{name} {value:.4g}"
        for name, value in terms.items()
    )
