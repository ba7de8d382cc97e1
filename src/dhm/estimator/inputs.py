"""Arrays as users hold them to inputs as stored, and back."""

import warnings
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhm.data.checks import channels_first, feature_ranges, value_range
from dhm.errors import ConfigError, DataError

MARGIN = 0.5
"""How far outside the pixels of the fit others may be, as a share of their range.

Test images are now and then a little brighter than all training images; those in other units, as
0 to 255 where the fit saw 0 to 1, are far brighter.
"""
TINY = 0.02
"""Where all pixels are below this share of what the fit saw, they may be in other units."""
FAR = 100
"""How many times its range a feature is from 0 where float32 would keep too little of it."""


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
    shift: tuple[float, ...] = ()
    """What is taken from each feature of vectors before it is rounded to float32; empty for 0."""

    @property
    def scales(self) -> bool:
        """Whether what is stored is in other units than what is given."""
        pixels = self.image is not None and self.dtype != "uint8"
        return bool(self.shift) or (pixels and (self.low, self.high) != (0.0, 1.0))

    def stored(self, x: Any) -> Any:
        """(N, *given) -> (N, *shape), a CSR matrix where vectors come as one.

        Pixels a little outside the range of the fit become its ends. Raises `DataError` for those
        far outside, and for another shape.
        """
        if tuple(x.shape[1:]) != self.given:
            raise DataError(f"X: expected examples of shape {self.given}, found {x.shape[1:]}")
        if self.image is None:
            if self.shift:
                x = (x.toarray() if hasattr(x, "toarray") else x) - np.array(self.shift)
            return _as_float32(x)
        if hasattr(x, "toarray"):
            x = x.toarray()
        x = channels_first(x.reshape(len(x), *self.image), "X")
        if self.dtype == "uint8":
            if x.dtype == np.uint8:
                return np.ascontiguousarray(x)
            if x.dtype.kind == "b":  # black and white, as in files
                return x.astype(np.uint8) * np.uint8(255)
            low, high = value_range(x)
            if low < 0 or high > 255:
                raise DataError(
                    f"X: expected pixels in 0..255, as in training, found {low:g} to {high:g}"
                )
            self._warn_of_other_units(low, high)
            # NaN, a missing entry, is no byte, nor is a pixel that was filled in.
            return x.astype(np.uint8) if (x == np.rint(x)).all() else _as_float32(x)
        low, high = value_range(x)
        margin = MARGIN * (self.high - self.low)
        if low < self.low - margin or high > self.high + margin:
            raise DataError(
                f"X: expected pixels from {self.low:g} to {self.high:g}, as in training, found "
                f"{low:g} to {high:g}; scale them as the training images were, or clip them"
            )
        self._warn_of_other_units(low, high)
        x = x.astype(np.result_type(x, np.float32), copy=False)  # float16 has no room for ranges
        x = np.ascontiguousarray(_as_float32((x - self.low) / (self.high - self.low)))
        return x.clip(0, 1)

    def _warn_of_other_units(self, low: float, high: float) -> None:
        """Of pixels that are all tiny beside those of training, as if in other units."""
        trained = (0.0, 255.0) if self.dtype == "uint8" else (self.low, self.high)
        if 0 < max(abs(low), abs(high)) < TINY * max(map(abs, trained)):
            warnings.warn(
                f"X: pixels from {low:g} to {high:g}, where those of training were from "
                f"{trained[0]:g} to {trained[1]:g}: are they in other units?",
                stacklevel=2,
            )

    def original(self, x: NDArray[Any]) -> NDArray[Any]:
        """(..., *shape) as stored -> (..., *given) in the user's units.

        float32, but for vectors that have a shift, which it could not hold: float64.
        """
        if self.image is None:
            return x + np.array(self.shift) if self.shift else x
        leading = x.shape[: x.ndim - len(self.shape)]
        if len(self.image) == 3 and self.shape != self.image:
            x = np.moveaxis(x, -3, -1)
        if self.dtype != "uint8":
            x = x * np.float32(self.high - self.low) + np.float32(self.low)
        return x.reshape(*leading, *self.given)


def learn_layout(x: Any, image_shape: tuple[int, ...] | None, *more: Any) -> Layout:
    """The layout of examples (N, D), (N, H, W), (N, C, H, W) or (N, H, W, C), and more of them.

    Vectors with an `image_shape` are images laid out flat. Bytes stay bytes, but for 0 and 1
    alone; other images are stored as they are if they lie in [0, 1], else with their least value as
    0 and their greatest as 1. Features of vectors that are far from 0 for their range, as times in
    seconds since 1970, are counted from their least value.

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
        try:
            image = tuple(map(index, image_shape))
        except TypeError:
            image = ()
        if len(image) not in (2, 3) or prod(image) != prod(given):
            raise DataError(
                f"image_shape: expected (H, W), (C, H, W) or (H, W, C) with {prod(given)} pixels, "
                f"as X has features, found {image_shape!r}"
            )
    lows, highs = zip(*(value_range(part) for part in (x, *more)), strict=True)
    low, high = float(np.fmin.reduce(lows)), float(np.fmax.reduce(highs))
    if np.isnan(low):
        raise DataError("X: expected numbers, found NaN only: there is nothing to learn from")
    if image is None:
        return Layout(given, None, given, "float32", shift=_far_from_zero(x, *more))
    shape = channels_first(np.empty((1, *image), np.uint8), "X").shape[1:]
    # Of 0 and 1 alone, in whatever type, 1 is white.
    if high != 1 and all(part.dtype == np.uint8 for part in (x, *more)):
        return Layout(given, image, shape, "uint8")
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    # Images of a single value have no range to scale by.
    return Layout(given, image, shape, "float32", low, high if high > low else low + 1.0)


def has_missing(x: Any) -> NDArray[np.bool_]:
    """(N,) whether an example has a missing entry, NaN."""
    if x.dtype.kind != "f":
        return np.zeros(x.shape[0], bool)
    if hasattr(x, "tocsr"):
        rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        return np.bincount(rows[np.isnan(x.data)], minlength=x.shape[0]) > 0
    return np.isnan(x).any(tuple(range(1, x.ndim)))


def stacked(a: Any, b: Any) -> Any:
    """Examples a, then b; a CSR matrix if a is one."""
    if not hasattr(a, "tocsr"):
        return np.concatenate([a, b.toarray() if hasattr(b, "toarray") else b])
    from scipy.sparse import csr_matrix, vstack

    return vstack([a, csr_matrix(b)], format="csr")


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


def check_columns(x: Any) -> None:
    """Raise `DataError` for a pandas frame with a column that holds no numbers: names, dates ..."""
    if not hasattr(x, "select_dtypes"):
        return
    for name, column in x.select_dtypes(exclude=["number", "bool"]).items():
        try:
            column.astype(float)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"X: expected numbers, found {column.dtype} in the column {name!r}; encode it, say "
                f"by scikit-learn's OneHotEncoder in a ColumnTransformer"
            ) from error


def _far_from_zero(*parts: Any) -> tuple[float, ...]:
    """The least value of each feature that is `FAR` from 0 and 0 for others; empty for no such.

    Not the mean, which depends on the order of the examples in its last digits.
    """
    if any(hasattr(x, "tocsr") for x in parts):
        return ()  # an entry that is left out would no longer be 0
    low, high = feature_ranges(parts)
    with np.errstate(over="ignore", invalid="ignore"):
        far = (high > low) & (FAR * (high - low) < np.minimum(np.abs(low), np.abs(high)))
    return tuple(np.where(far, low, 0.0).tolist()) if far.any() else ()


def _as_float32(x: Any) -> Any:
    with np.errstate(over="ignore"):
        x = x.astype(np.float32, copy=False)
    values = x.data if hasattr(x, "tocsr") else x
    if np.isinf(values).any():
        raise DataError("X: found values too large for float32; rescale them")
    return x


def check_count(name: str, n: Any) -> None:
    """Raise `ConfigError` for what is no whole number of at least 1."""
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise ConfigError(f"{name} should be a whole number of at least 1, found {n!r}")


def weights(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """Weights of n examples, None where all are 1."""
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.ndim == 0:
        weight = np.full(n, float(weight))
    if weight.shape != (n,):
        raise DataError(f"sample_weight: expected shape ({n},), found {weight.shape}")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise DataError("sample_weight: expected finite weights of at least 0")
    if not weight.any():
        raise DataError("sample_weight: every weight is zero; give some example more")
    return None if (weight == 1).all() else weight
