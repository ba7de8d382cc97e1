"""Arrays as users hold them to inputs as stored, and back."""

from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhm.data.checks import channels_first
from dhm.errors import DataError


@dataclass(frozen=True)
class Layout:
    """How the user's examples are laid out, learnt from those of the first fit."""

    given: tuple[int, ...]
    """Shape of one example as it comes."""
    image: tuple[int, ...] | None
    """Shape of it as an image, (H, W), (C, H, W) or (H, W, C); None for vectors."""
    shape: tuple[int, ...]
    """Shape as stored: (C, H, W) or (D,)."""
    dtype: str
    """Type as stored, "uint8" or "float32"."""
    low: float = 0.0
    """What is stored as 0, for images that are not bytes."""
    high: float = 1.0
    """What is stored as 1."""

    def stored(self, x: Any) -> Any:
        """(N, *given) -> (N, *shape), a CSR matrix where vectors come as one."""
        if tuple(x.shape[1:]) != self.given:
            raise DataError(f"X: expected examples of shape {self.given}, found {x.shape[1:]}")
        if self.image is None:
            return _as_float32(x)
        if hasattr(x, "toarray"):
            x = x.toarray()
        x = channels_first(x.reshape(len(x), *self.image), "X")
        if self.dtype == "uint8":
            if x.dtype == np.uint8:
                return np.ascontiguousarray(x)
            if x.dtype.kind == "f" and np.isnan(x).any():
                return _as_float32(x)  # bytes with missing entries
            if x.min() < 0 or x.max() > 255 or (x != np.rint(x)).any():
                raise DataError("X: expected 8-bit pixels, whole numbers in 0..255, as in training")
            return x.astype(np.uint8)
        return np.ascontiguousarray(_as_float32((x - self.low) / (self.high - self.low)))

    def original(self, x: NDArray[Any]) -> NDArray[Any]:
        """(..., *shape) as stored -> (..., *given), float32 in the user's units."""
        if self.image is None:
            return x
        leading = x.shape[: x.ndim - len(self.shape)]
        if len(self.image) == 3 and self.shape != self.image:
            x = np.moveaxis(x, -3, -1)
        if self.dtype != "uint8":
            x = x * np.float32(self.high - self.low) + np.float32(self.low)
        return x.reshape(*leading, *self.given)


def learn_layout(x: Any, image_shape: tuple[int, ...] | None) -> Layout:
    """The layout of examples (N, D), (N, H, W), (N, C, H, W) or (N, H, W, C).

    Vectors with an `image_shape` are images laid out flat. Bytes stay bytes; other images are
    stored as they are if they lie in [0, 1], else with their least value as 0 and their greatest
    as 1.

    Raises `DataError` for a shape that is none of these.

    Example:
        >>> layout = learn_layout(np.array([[0, 2, 4, 8]]), (2, 2))
        >>> layout.stored(np.array([[0, 2, 4, 8]])).tolist()
        [[[[0.0, 0.25], [0.5, 1.0]]]]
    """
    given = tuple(int(n) for n in x.shape[1:])
    if len(given) > 3:
        raise DataError(
            f"X: expected (N, D) vectors, (N, H, W) or (N, C, H, W) images, found shape {x.shape}"
        )
    image = given if len(given) > 1 else None
    if image_shape is not None:
        image = tuple(int(n) for n in image_shape)
        if len(image) not in (2, 3) or prod(image) != prod(given):
            raise DataError(
                f"image_shape: expected (H, W), (C, H, W) or (H, W, C) with {prod(given)} pixels, "
                f"as X has features, found {image}"
            )
    if image is None:
        return Layout(given, None, given, "float32")
    shape = channels_first(np.empty((1, *image), np.uint8), "X").shape[1:]
    if x.dtype == np.uint8:
        return Layout(given, image, shape, "uint8")
    values = x.data if hasattr(x, "tocsr") else x
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (float(low), float(high))
    # Images of a single value have no range to scale by.
    return Layout(given, image, shape, "float32", low, high if high > low else low + 1.0)


def has_missing(x: Any) -> NDArray[np.bool_]:
    """(N,) whether an example has a missing entry, NaN."""
    if x.dtype.kind != "f":
        return np.zeros(x.shape[0], bool)
    if hasattr(x, "tocsr"):
        rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        return np.bincount(rows[np.isnan(x.data)], minlength=x.shape[0]) > 0
    return np.isnan(x).reshape(len(x), -1).any(1)


def digests(x: Any) -> NDArray[np.uint64]:
    """(N,) numbers that depend on the contents of each example alone."""
    if hasattr(x, "tocsr"):
        x = x.copy()
        x.sum_duplicates()
        x.eliminate_zeros()
        ends = zip(x.indptr[:-1], x.indptr[1:], strict=True)
        rows = (x.indices[a:b].tobytes() + x.data[a:b].tobytes() for a, b in ends)
    else:
        rows = (row.tobytes() for row in x)
    found = b"".join(blake2b(row, digest_size=8).digest() for row in rows)
    return np.frombuffer(found, np.uint64)


def _as_float32(x: Any) -> Any:
    with np.errstate(over="ignore"):
        x = x.astype(np.float32, copy=False)
    values = x.data if hasattr(x, "tocsr") else x
    if np.isinf(values).any():
        raise DataError("X: found values too large for float32; rescale them")
    return x
