"""What a person sees while training: a bar on a terminal, and a line an epoch everywhere."""

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

REFRESH_SECONDS = 0.5


class Progress:
    """Shows the loss terms, error, speed and time left; `show=False` is silent."""

    def __init__(self, show: bool = True) -> None:
        self.show = show
        self.bar: Any = None

    def start(self, n_epochs: int, n_examples: int, done: int = 0) -> None:
        """Say how many epochs of how many examples there are, and how many examples are done."""
        self.n_epochs, self.shown = n_epochs, time.monotonic()
        if self.show and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=n_epochs * n_examples,
                initial=done,
                bar_format=_bar_format("", ""),
                unit=" examples",
                unit_scale=True,
                leave=False,
                dynamic_ncols=True,
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
        if self.bar is None:
            return
        self.bar.n += n
        if time.monotonic() - self.shown >= REFRESH_SECONDS:
            self.shown = time.monotonic()
            now = f"epoch {epoch + 1}/{self.n_epochs}"
            self.bar.bar_format = _bar_format(now, format_terms(means()))
            self.bar.refresh()

    def epoch(self, row: Mapping[str, Any]) -> None:
        """After each epoch."""
        if not self.show:
            return
        if self.bar is None:
            print(_epoch_line(row, self.n_epochs), file=sys.stderr, flush=True)
        else:
            self.bar.write(_epoch_line(row, self.n_epochs, self.bar.ncols or 0), file=sys.stderr)


def _epoch_line(row: Mapping[str, Any], n_epochs: int, columns: int = 0) -> str:
    """What there is to say of an epoch, less the whole terms that columns have no room for.

    Terms go in the order in which they can be done without: those of the loss from the last, then
    the speed, the loss itself, and the validation figures. All are said for 0 columns.
    """
    training = {k.removeprefix("train_"): v for k, v in row.items() if k.startswith("train_")}
    validation = {k.removeprefix("val_"): v for k, v in row.items() if k.startswith("val_")}
    validation.pop("ece", None)
    epoch = f"epoch {row['epoch']:>{len(str(n_epochs))}}/{n_epochs}"
    speed = f"{row['examples_per_second']:.0f} examples/s"
    while True:
        # A generative part without density has nothing to say of validation examples.
        parts = {"validation ": format_terms(validation), "training ": format_terms(training)}
        said = [name + terms for name, terms in parts.items() if terms]
        line = "  ".join(filter(None, [epoch, *said, speed]))
        # Of a terminal that says it has 0 columns, as some in containers, tqdm makes -1.
        if columns < 1 or len(line) <= columns or line == epoch:
            return line
        if len(training) > 1:
            training.popitem()  # the loss is the first
        elif speed:
            speed = ""
        else:
            (training or validation).popitem()


def _bar_format(now: str, terms: str) -> str:
    # What matters most comes first: a narrow terminal cuts the end off.
    return f"{now} {{remaining}} left, {{rate_noinv_fmt}} {{bar}} {terms}"


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
