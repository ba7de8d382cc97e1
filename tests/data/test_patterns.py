"""Patterns of missing entries: their shares, places and seeds."""

import numpy as np
import pytest

from dhm.data.patterns import PATTERNS, missing_entries, with_holes
from dhm.errors import ConfigError, DataError

SHAPE, N = (3, 10, 12), 200
SHARES = {"random": 0.3, "block": 0.3, "quadrant": 0.25}


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern(name: str) -> None:
    holes = missing_entries(name, SHAPE, N, rate=0.3, seed=1)
    assert holes.shape == (N, *SHAPE) and holes.dtype == bool
    assert (holes == holes[:, :1]).all(), "whole pixels"
    shares = holes.mean((1, 2, 3))
    # A block's sides are whole pixels.
    assert shares.mean() == pytest.approx(SHARES.get(name, 0.5), abs=0.03)
    assert np.array_equal(holes, missing_entries(name, SHAPE, N, rate=0.3, seed=1))
    one_for_all = name in ("left", "right", "top", "bottom")
    assert (len(np.unique(holes, axis=0)) == 1) == one_for_all
    if not one_for_all:
        assert not np.array_equal(holes, missing_entries(name, SHAPE, N, rate=0.3, seed=2))


def test_halves_and_quadrants_lie_where_they_should() -> None:
    left = missing_entries("left", SHAPE, 1)[0, 0]
    assert left[:, :6].all() and not left[:, 6:].any()
    bottom = missing_entries("bottom", SHAPE, 1)[0, 0]
    assert bottom[5:].all() and not bottom[:5].any()
    halves = {h.tobytes() for h in missing_entries("half", SHAPE, N)[:, 0]}
    assert halves == {missing_entries(n, SHAPE, 1)[0, 0].tobytes() for n in list(PATTERNS)[-4:]}
    quadrants = missing_entries("quadrant", SHAPE, N)[:, 0]
    corners = quadrants[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (np.sum(corners, 1) == 1).all() and (np.sum(corners, 0) > N / 8).all()


def test_extreme_rates() -> None:
    for name in ("random", "block"):
        assert not missing_entries(name, SHAPE, 5, rate=0).any()
        assert missing_entries(name, SHAPE, 5, rate=1).all()


def test_mistakes_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'half'"):
        missing_entries("halve", SHAPE, 1)
    with pytest.raises(ConfigError, match=r"in \[0, 1\], found 2"):
        missing_entries("random", SHAPE, 1, rate=2)
    with pytest.raises(DataError, match="one of images"):
        missing_entries("half", (5,), 1)


def test_with_holes_leaves_the_original_alone() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4)
    hidden = missing_entries("top", (1, 3, 4), 1)
    holed = with_holes(x, hidden)
    assert np.array_equal(np.isnan(holed), hidden) and np.array_equal(holed[~hidden], x[~hidden])
    assert x.sum() == 66
