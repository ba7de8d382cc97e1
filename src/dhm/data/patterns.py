"""Patterns of missing entries, drawn for all examples at once: to measure and show imputation."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhm.errors import ConfigError, DataError
from dhm.suggest import did_you_mean

Holes = NDArray[np.bool_]


def missing_entries(
    name: str, shape: tuple[int, ...], n: int, *, rate: float = 0.5, seed: int = 0
) -> Holes:
    """Which entries of n examples are missing, (n, *shape) booleans, each example's its own.

    Of images pixels are missing with all their channels.

    Arguments:
        name: a key of `PATTERNS`.
        shape: of one example, (C, H, W), or (D,) for "random".
        n: how many.
        rate: the share that is missing, in [0, 1], of "random" (on average) and "block".
        seed: of the draws.

    Raises `ConfigError` for an unknown pattern or a rate outside [0, 1], `DataError` for vectors
    where the pattern is one of images.

    >>> missing_entries("left", (1, 2, 4), 3)[0, 0].astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 0, 0]])
    >>> missing_entries("random", (50,), 100, rate=0.9).mean().round(1)
    np.float64(0.9)
    """
    if name not in PATTERNS:
        raise ConfigError(f"unknown pattern {name!r}{did_you_mean(name, PATTERNS)}")
    if not 0 <= rate <= 1:
        raise ConfigError(f"the share that is missing should be in [0, 1], found {rate}")
    rng = np.random.default_rng(seed)
    if len(shape) == 1:
        if name != "random":
            raise DataError(
                f"the pattern {name!r} is one of images, found vectors of shape {shape}; "
                "use 'random'"
            )
        return rng.random((n, *shape)) < rate
    channels, height, width = shape
    holes = PATTERNS[name](rng, n, height, width, rate)
    return np.repeat(holes[:, None], channels, 1)


def with_holes(x: Any, missing: Holes) -> NDArray[np.float32]:
    """A copy of stored inputs, as floats in their units, with NaN where missing.

    >>> with_holes(np.array([[7, 9]], np.uint8), np.array([[True, False]]))
    array([[nan,  9.]], dtype=float32)
    """
    filled = np.array(x, np.float32)
    filled[missing] = np.nan
    return filled


def _random(rng: np.random.Generator, n: int, height: int, width: int, rate: float) -> Holes:
    return rng.random((n, height, width)) < rate


def _block(rng: np.random.Generator, n: int, height: int, width: int, rate: float) -> Holes:
    """A rectangle as wide as high, in shares of the image, anywhere within it."""
    rows, columns = (round(size * rate**0.5) for size in (height, width))
    top = rng.integers(0, height - rows + 1, n)[:, None, None]
    left = rng.integers(0, width - columns + 1, n)[:, None, None]
    y, x = np.arange(height)[:, None], np.arange(width)
    return (top <= y) & (y < top + rows) & (left <= x) & (x < left + columns)


def _side(*names: str) -> Callable[..., Holes]:
    """One of these halves, chosen for each example."""

    def draw(rng: np.random.Generator, n: int, height: int, width: int, rate: float) -> Holes:
        y, x = np.arange(height)[:, None], np.arange(width)
        upper, left = y < height // 2, x < width // 2
        halves = {"top": upper, "bottom": ~upper, "left": left, "right": ~left}
        choices = [np.broadcast_to(halves[name], (height, width)) for name in names]
        return np.stack(choices)[rng.integers(0, len(names), n)]

    return draw


_HALVES = ("left", "right", "top", "bottom")


def _quadrant(rng: np.random.Generator, n: int, height: int, width: int, rate: float) -> Holes:
    """One of the four, chosen for each example: what a half beside it and one above have common."""
    across = _side("left", "right")(rng, n, height, width, rate)
    return across & _side("top", "bottom")(rng, n, height, width, rate)


PATTERNS: dict[str, Callable[..., Holes]] = {
    "random": _random,
    "block": _block,
    "quadrant": _quadrant,
    "half": _side(*_HALVES),
    **{name: _side(name) for name in _HALVES},
}
"""By name, what draws the missing pixels of n images, (n, height, width)."""
