"""What is seen while training, on a terminal and elsewhere."""

import io
import os
import pty
import re
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dhm.training import progress
from dhm.training.progress import Progress

TERMS = {"loss": 2.69512, "nll_y": 2.2912, "error": 0.8654, "bound": -40.31, "log_px": -39.02}
ROW = {
    "epoch": 3,
    "val_error": 0.1185,
    "val_nll": 0.9154,
    "examples_per_second": 1234.5,
    **{f"train_{name}": value for name, value in TERMS.items()},
}


class Terminal(io.StringIO):
    """Keeps what is written to a terminal of a size that programs can ask for."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.ends = pty.openpty()
        termios.tcsetwinsize(self.ends[1], (24, columns))

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.ends[1]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Terminal]]:
    """A terminal of so many columns in place of standard error."""
    opened: list[Terminal] = []

    def open_terminal(columns: int) -> Terminal:
        opened.append(Terminal(columns))
        monkeypatch.setattr(sys, "stderr", opened[-1])
        return opened[-1]

    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0)
    yield open_terminal
    for end in (end for found in opened for end in found.ends):
        os.close(end)


def run(show: Progress, steps: int = 20) -> None:
    show.start(12, 1000, 2000)
    with show:
        for _ in range(steps):
            show.step(2, 50, lambda: TERMS)
        show.epoch(ROW)


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_the_bar_shows_speed_time_and_terms(
    terminal: Callable[[int], Terminal], columns: int
) -> None:
    found = terminal(columns)
    run(Progress())
    drawn = [line.strip("\n") for line in found.getvalue().split("\r")]
    assert max(map(len, drawn)) <= columns
    bar = next(
        line for line in reversed(drawn) if line.startswith("epoch 3/12 ") and "left" in line
    )
    assert "examples/s" in bar and "loss 2.7" in bar
    if columns >= 100:
        assert "error 86.54%" in bar


def test_the_time_left_is_that_of_a_resumed_run(terminal: Callable[[int], Terminal]) -> None:
    found = terminal(100)
    show = Progress()
    run(show, steps=0)
    assert show.bar.initial == show.bar.n == 2000 and show.bar.total == 12000
    assert "epoch  3/12  validation error 11.85%" in found.getvalue()


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (
            120,
            "epoch  3/12  validation error 11.85% nll 0.915  training loss 2.7 nll_y 2.29 "
            "error 86.54% bound -40.3  1234 examples/s",
        ),
        (
            100,
            "epoch  3/12  validation error 11.85% nll 0.915  training loss 2.7 nll_y 2.29  "
            "1234 examples/s",
        ),
        (
            85,
            "epoch  3/12  validation error 11.85% nll 0.915  training loss 2.7  1234 examples/s",
        ),
        (80, "epoch  3/12  validation error 11.85% nll 0.915  training loss 2.7"),
        (60, "epoch  3/12  validation error 11.85% nll 0.915"),
        (40, "epoch  3/12  validation error 11.85%"),
        (20, "epoch  3/12"),
        (5, "epoch  3/12"),
    ],
)
def test_a_narrow_terminal_shows_whole_terms(
    terminal: Callable[[int], Terminal], columns: int, line: str
) -> None:
    found = terminal(columns)
    run(Progress(), steps=0)
    assert line in re.split("[\r\n]", found.getvalue())


def test_a_terminal_that_does_not_know_its_width_shows_all(
    terminal: Callable[[int], Terminal],
) -> None:
    found = terminal(0)
    run(Progress(), steps=0)
    assert "log_px -39  1234 examples/s\n" in found.getvalue()


def test_elsewhere_there_is_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    run(Progress())
    out, err = capsys.readouterr()
    assert not out
    assert err == (
        "epoch  3/12  validation error 11.85% nll 0.915  training loss 2.7 nll_y 2.29 "
        "error 86.54% bound -40.3 log_px -39  1234 examples/s\n"
    )


def test_silence(terminal: Callable[[int], Terminal]) -> None:
    found = terminal(100)

    def forbidden() -> Any:
        raise AssertionError("asked for the means, for which the device must be waited")

    show = Progress(show=False)
    show.start(12, 1000)
    with show:
        show.step(0, 50, forbidden)
        show.epoch(ROW)
    assert not found.getvalue()
