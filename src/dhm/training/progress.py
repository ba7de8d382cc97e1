"""What a person sees while training: a bar on a terminal, and a line an epoch everywhere."""

import shutil
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

REFRESH_SECONDS = 0.5
# What matters most comes first: a narrow terminal cuts the end off.
BAR = "{desc} {remaining} left, {rate_noinv:.0f}/s {bar} {postfix}"


class Progress:
    """Shows the loss terms, error, speed and time left; `show=False` is silent."""

    def __init__(self, show: bool = True) -> None:
        self.show = show
        self.bar: Any = None

    def start(self, n_epochs: int, n_examples: int, done: int = 0) -> None:
        """Say how many epochs of how many examples there are, and how many examples are done."""
        self.n_epochs = n_epochs
        if self.show and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=n_epochs * n_examples,
                initial=done,
                bar_format=BAR,
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

    def step(self, epoch: int, n: int, means: Callable[[], Mapping[str, float]]) -> None:
        """After each step of n examples; asks for the means only when the bar is redrawn."""
        if self.bar is not None and self.bar.update(n):
            self.bar.set_description_str(f"epoch {epoch + 1}/{self.n_epochs}", refresh=False)
            self.bar.set_postfix_str(format_terms(means()), refresh=False)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """After each epoch."""
        if not self.show:
            return
        train = {k.removeprefix("train_"): v for k, v in row.items() if k.startswith("train_")}
        line = (
            f"epoch {row['epoch']:>{len(str(self.n_epochs))}}/{self.n_epochs}"
            f"  validation error {row['val_error']:.2%} nll {row['val_nll']:.3g}"
            f"  training {format_terms(train)}  {row['examples_per_second']:.0f}/s"
        )
        if self.bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            width = shutil.get_terminal_size().columns
            self.bar.write(line[: width - 1], file=sys.stderr)


def format_terms(terms: Mapping[str, float]) -> str:
    """Loss terms in a line: three significant digits, errors in percent.

    Example:
        >>> format_terms({"loss": 0.51234, "error": 0.0123})
        'loss 0.512 error 1.23%'
    """
    return " ".join(
        f"{name} {value:.2%}" if name == "error" else f"{name} {value:.3g}"
        for name, value in terms.items()
    )
