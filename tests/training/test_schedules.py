from itertools import pairwise
from math import exp

import pytest

from dhm.training.schedules import SHAPES, rampdown


def test_the_default_is_the_curve_of_the_original() -> None:
    for epoch in range(150, 200):
        elapsed = epoch - 150
        assert rampdown(epoch, 200, 50) == pytest.approx(exp(-((elapsed * 0.5) ** 2) / 50))


def test_linear_is_the_curve_of_the_implicit_original() -> None:
    for epoch in range(900):
        expected = min(3 - epoch / 300, 1)
        assert rampdown(epoch, 900, 300, "linear") == pytest.approx(expected)


@pytest.mark.parametrize("schedule", SHAPES)
@pytest.mark.parametrize("length", [0, 1, 5, 10])
def test_flat_at_first_then_falling(length: int, schedule: str) -> None:
    values = [rampdown(e / 10, 10, length, schedule) for e in range(100)]
    assert values[: 10 * (10 - length)] == [1.0] * (10 * (10 - length))
    falling = values[10 * (10 - length) :]
    assert all(a > b for a, b in pairwise(falling))
