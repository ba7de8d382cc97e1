"""Inputs as the rest of the library wants them, or an error that says what to change."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhm.errors import DataError

CHANNELS = (1, 3, 4)
"""The numbers of channels by which the layout of an image array is recognised."""

STEPS = 1000
"""A feature with more steps of float32 in its range than these keeps enough, whatever it rounds."""

_BLOCK_BYTES = 1 << 24


def check_inputs(x: Any, what: str = "x") -> Any:
    """Check the inputs of N examples and bring them into the form of `Examples.x`.

    Images are (N, H, W), (N, C, H, W) or, with 1, 3 or 4 channels, (N, H, W, C); they come back as
    (N, C, H, W), uint8 from any integers in 0..255 (and from booleans, as 0 and 255) or float32 in
    [0, 1] from floats. Vectors are (N, D) of numbers and come back as float32; a scipy sparse
    matrix comes back as CSR. What needs no change, a memory-mapped array included, is not copied.
    NaN marks a missing entry, of vectors or of float images. `what` names the array in messages.

    Raises `DataError` for another shape or type, no examples, nothing but NaN, infinite values,
    or images outside their range.

    >>> check_inputs(np.zeros((5, 8, 8), np.int64)).shape
    (5, 1, 8, 8)
    >>> check_inputs(np.full((5, 8, 8), 2.0))
    Traceback (most recent call last):
    dhm.errors.DataError: x: float images must lie in [0, 1], found 2 to 2; they look like 0..255: \
store them as uint8 or divide by 255
    """
    if hasattr(x, "tocsr"):
        return _check_sparse(x, what)
    x = _as_array(x, what)
    if x.dtype.kind not in "buif":
        refused = "arrays of Python objects" if x.dtype.kind == "O" else f"values of type {x.dtype}"
        raise DataError(f"{what}: expected numbers, found {refused}; store plain numbers")
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{what}: expected (N, D) vectors, (N, H, W) or (N, C, H, W) images, "
            f"found shape {x.shape}; reshape it"
        )
    if x.size == 0:
        raise DataError(
            f"{what}: expected at least one example, found shape {x.shape}: it is empty"
        )
    return _check_vectors(x, what) if x.ndim == 2 else _check_images(channels_first(x, what), what)


def check_black_and_white(parts: Sequence[Any], what: str) -> None:
    """Refuse images of integers 0 and 1, nearly black if they are bytes, with `DataError`.

    >>> check_black_and_white([np.eye(8, dtype=int)[None]], "x")
    Traceback (most recent call last):
    dhm.errors.DataError: x: integer images are bytes, 0..255, found 0 and 1 alone; store black \
and white ones as bool, or multiply them by 255
    """
    if black_and_white(parts):
        raise DataError(
            f"{what}: integer images are bytes, 0..255, found 0 and 1 alone; store black and "
            "white ones as bool, or multiply them by 255"
        )


def black_and_white(parts: Sequence[Any]) -> bool:
    """Whether images are of integers 0 and 1 alone, both; read no further than to what is above.

    >>> black_and_white([np.eye(8, dtype=int)[None]]), black_and_white([np.eye(8)[None]])
    (True, False)
    """
    arrays = [np.asarray(part) for part in parts if not hasattr(part, "tocsr")]
    images = [x for x in arrays if x.ndim > 2 and x.dtype.kind in "iu"]
    if any(image.max(initial=0) > 1 for x in images for image in x):  # the first, as a rule
        return False
    return any(image.any() for x in images for image in x)


def check_precision(parts: Sequence[Any], what: str, names: tuple[str, ...] | None = None) -> None:
    """Refuse vectors with a feature that float32 cannot tell apart, with `DataError`.

    Its range is small beside its distance from 0, and values that differ become equal. Rounding
    alone is no range. The parts are as they were given, and `check_inputs` accepts each.

    >>> check_precision([np.array([[1.7e9, 1.0], [1.7e9 + 60, 2.0]])], "x")
    Traceback (most recent call last):
    dhm.errors.DataError: x: feature 0 lies from 1700000000 to 1700000060, of which float32 keeps \
1 of 2 values; subtract its least value from it
    """
    if any(hasattr(part, "tocsr") for part in parts):
        return
    arrays = [_as_array(part, what) for part in parts]
    if arrays[0].ndim != 2 or all(np.can_cast(x.dtype, np.float32) for x in arrays):
        return
    low, high = feature_ranges(arrays)
    furthest = np.fmax(np.abs(low), np.abs(high))
    with np.errstate(over="ignore", invalid="ignore"):
        steps, exact = (
            (high - low) / np.spacing(furthest.astype(kind)) for kind in (np.float32, np.float64)
        )
        for j in np.flatnonzero((steps < STEPS) & (exact >= STEPS)):
            values = np.unique(np.concatenate([x[:, j] for x in arrays]))
            kept = np.unique(values.astype(np.float32))
            if len(kept) < len(values):
                raise DataError(
                    f"{what}: feature {repr(names[j]) if names else j} lies from {low[j]:.16g} to "
                    f"{high[j]:.16g}, of which float32 keeps {len(kept)} of {len(values)} values; "
                    "subtract its least value from it"
                )


def feature_ranges(parts: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(D,) the least and the greatest value of each feature of vectors, in all the parts together.

    As those of `value_range`, which is that of all features.

    >>> feature_ranges([np.array([[0, 3], [7, 1]]), np.array([[np.nan, 9]])])
    (array([0., 1.]), array([7., 9.]))
    """
    ranges = [(np.fmin.reduce(block), np.fmax.reduce(block)) for x in parts for block in _blocks(x)]
    lows, highs = (np.array(ends, np.float64) for ends in zip(*ranges, strict=True))
    return np.fmin.reduce(lows), np.fmax.reduce(highs)


def value_range(x: Any) -> tuple[float, float]:
    """The least and greatest value of an array or sparse matrix that is not NaN; NaN if all are.

    Reads a block of rows at a time, so a memory-mapped array is never held in memory.

    >>> value_range(np.array([[0, 3], [7, 1]])), value_range(np.array([[0, np.nan]]))
    ((0, 7), (0.0, 0.0))
    """
    if hasattr(x, "tocsr"):
        stored = x.data if x.nnz == math.prod(x.shape) else np.append(x.data, x.dtype.type(0))
        return np.fmin.reduce(stored).item(), np.fmax.reduce(stored).item()
    ranges = [(np.fmin.reduce(b, axis=None), np.fmax.reduce(b, axis=None)) for b in _blocks(x)]
    lows, highs = zip(*ranges, strict=True)
    return np.fmin.reduce(lows).item(), np.fmax.reduce(highs).item()


def count_incomplete(x: Any) -> int:
    """How many of the examples in an array or sparse matrix have an entry that is NaN.

    >>> count_incomplete(np.array([[0, np.nan], [7, 1], [np.nan, np.nan]]))
    2
    """
    if x.dtype.kind != "f":
        return 0
    totals = x.reshape(x.shape[0], -1).sum(1, dtype=np.float64)  # NaN if any part is
    return int(np.count_nonzero(np.isnan(totals)))


def count_missing(x: Any) -> int:
    """How many entries of an array or sparse matrix are NaN, read as by `value_range`.

    >>> count_missing(np.array([[0, np.nan], [7, 1]]))
    1
    """
    if x.dtype.kind != "f":
        return 0
    if hasattr(x, "tocsr"):
        return int(np.count_nonzero(np.isnan(x.data)))
    return sum(int(np.count_nonzero(np.isnan(block))) for block in _blocks(x))


def _blocks(x: Any) -> Iterator[Any]:
    rows = max(1, _BLOCK_BYTES // max(1, x.itemsize * math.prod(x.shape[1:])))
    return (x[start : start + rows] for start in range(0, len(x), rows))


def _as_array(x: Any, what: str) -> Any:
    if isinstance(x, np.ndarray):
        return x
    try:
        return np.asarray(x)
    except ValueError as error:
        raise DataError(
            f"{what}: expected examples of one shape, found several: {error}"
        ) from error


def channels_first(x: Any, what: str) -> Any:
    """Images (N, H, W), (N, C, H, W) or (N, H, W, C) as (N, C, H, W), a view.

    Raises `DataError` where the shape does not say which axis holds the channels.

    >>> channels_first(np.zeros((5, 32, 30, 3)), "x").shape
    (5, 3, 32, 30)
    """
    if x.ndim == 3:
        return x[:, None]
    _, a, b, c = x.shape
    if a in CHANNELS:
        return x
    if c in CHANNELS:
        return x.transpose(0, 3, 1, 2)
    if a < min(b, c):
        return x
    raise DataError(
        f"{what}: cannot tell which axis of shape {x.shape} holds the channels; "
        "store images as (N, C, H, W)"
    )


def _check_vectors(x: Any, what: str) -> Any:
    x = _as_float32(x)
    _check_finite(x, *value_range(x), what)
    return x


def _check_images(x: Any, what: str) -> Any:
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind == "b":
        return x.astype(np.uint8) * np.uint8(255)
    low, high = value_range(x)
    if x.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise DataError(
                f"{what}: integer images must lie in 0..255, found {low} to {high}; "
                "rescale them and store them as uint8"
            )
        return x.astype(np.uint8)
    _check_finite(x, low, high, what)
    if low < 0 or high > 1:
        like_bytes = low >= 0 and 1 < high <= 255
        advice = (
            "they look like 0..255: store them as uint8 or divide by 255"
            if like_bytes
            else "rescale them to [0, 1], or flatten them to (N, D) vectors"
        )
        raise DataError(
            f"{what}: float images must lie in [0, 1], found {low:.6g} to {high:.6g}; {advice}"
        )
    return _as_float32(x)


def _check_sparse(x: Any, what: str) -> Any:
    if x.ndim != 2 or 0 in x.shape:
        raise DataError(f"{what}: expected a sparse (N, D) matrix, found shape {x.shape}")
    if x.dtype.kind not in "buif":
        raise DataError(f"{what}: expected numbers, found values of type {x.dtype}")
    x = x.tocsr()
    with np.errstate(over="ignore"):
        x = x.astype(np.float32, copy=False)
    _check_finite(x.data, *value_range(x), what)
    return x


def _as_float32(x: Any) -> Any:
    # Beyond the range of float32 values become infinite, which the check for those then reports.
    with np.errstate(over="ignore"):
        return x.astype(np.float32, copy=False)


def _check_finite(x: Any, low: float, high: float, what: str) -> None:
    if math.isfinite(low) and math.isfinite(high):
        return
    bad = sum(int(np.count_nonzero(np.isinf(block))) for block in _blocks(x))
    if not bad:
        raise DataError(f"{what}: expected numbers, found NaN only: there is nothing to learn from")
    raise DataError(
        f"{what}: expected finite values, found {bad} infinite; remove the "
        f"example{'' if bad == 1 else 's'} that hold{'s' if bad == 1 else ''} them, or put NaN, "
        "for a missing value, in their place"
    )
