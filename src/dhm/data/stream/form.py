"""The form a model takes inputs in, and bringing blocks of a file into it."""

import warnings
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dhm.data.checks import black_and_white, check_inputs, count_missing, value_range
from dhm.errors import DataError

BLOCK_BYTES = 1 << 24
MAX_ROWS = 1000


@dataclass(frozen=True)
class Form:
    """Shape and type of a model's examples, as its `ModelSpec` says them.

    Example:
        >>> Form((1, 2, 2), "uint8").convert(np.eye(2)[None], "eye.npy", 0).tolist()
        [[[[255, 0], [0, 255]]]]
    """

    shape: tuple[int, ...]
    """(C, H, W) or (D,)."""
    dtype: str
    """"uint8" or "float32"."""
    missing: bool = False
    """Whether entries may be NaN; where one is, bytes become floats of the same 0..255.

    Floats in 0..255 are then bytes too, as they are: what `dhm impute` writes can be read."""
    features: tuple[str, ...] | None = None
    """Names of a table's columns, which may come in any order and among others; None takes all but
    the labels by position."""

    @property
    def rows(self) -> int:
        """How many examples to hold in memory at a time."""
        return rows_of(4 * prod(self.shape))

    def check_shape(self, shape: tuple[int, ...], what: str) -> None:
        """Refuse examples of another shape, before any is read, with `DataError`."""
        if tuple(shape) not in self._layouts():
            raise DataError(
                f"{what}: the model takes examples of shape {self.shape}, found {tuple(shape)}"
            )

    def in_bytes(self, x: Any) -> bool | None:
        """Whether a block of floats is in 0..255, and not in [0, 1]; None if it holds zeros alone.

        Of a file, the first block that is not of zeros says it for all.
        """
        if not self.missing or self.dtype != "uint8" or x.dtype.kind != "f":
            return False
        _, high = value_range(np.where(np.isinf(x), np.nan, x))
        return high > 1 if high > 0 else None

    def convert(self, x: Any, what: str, first: int, in_bytes: bool | None = None) -> Any:
        """A block of rows (n, ...) as the model takes them, (n, *shape).

        Images may be (H, W), (C, H, W) or (H, W, C), bytes or floats in [0, 1]; with `in_bytes`
        (by default what the method of this name finds) floats in 0..255, which stay floats.

        Raises `DataError` for what `check_inputs` refuses, naming the row, counted from `first`.
        """
        self.check_shape(x.shape[1:], what)
        convert = self._converted
        if self.in_bytes(x) if in_bytes is None else in_bytes:
            convert = self._floats_in_bytes
        try:
            return convert(x, what)
        except DataError:
            for i in range(x.shape[0]):
                convert(x[i : i + 1], f"{what}, row {first + i}")
            raise

    def _floats_in_bytes(self, x: Any, what: str) -> Any:
        low, high = value_range(x)
        if np.isinf([low, high]).any():
            raise DataError(f"{what}: expected finite values or NaN, found infinite ones")
        if low < 0 or high > 255:
            raise DataError(
                f"{what}: float images must lie in [0, 1] or in 0..255, found {low:.6g} to "
                f"{high:.6g}; rescale them"
            )
        return self._laid_out(x).astype(np.float32)

    def _laid_out(self, x: Any) -> Any:
        shape = tuple(x.shape[1:])
        return x if shape == self.shape else self._layouts()[shape](x)

    def _converted(self, x: Any, what: str) -> Any:
        x = self._laid_out(x)
        if black_and_white([x]):
            warnings.warn(
                f"{what}: integer pixels are bytes, 0..255, found 0 and 1 alone, which is nearly "
                "black; store black and white images as bool",
                stacklevel=2,
            )
        missing = count_missing(x)
        if missing and not self.missing:
            raise DataError(f"{what}: expected finite values, found NaN; fill in what is missing")
        if not missing or not isinstance(x, np.ndarray):  # a sparse matrix is never of bytes
            return self._cast(check_inputs(x, what))
        gaps = np.isnan(x)
        filled = self._cast(check_inputs(np.where(gaps, 0, x), what)).astype(np.float32)
        filled[gaps] = np.nan
        return filled

    def _cast(self, x: Any) -> Any:
        if self.dtype == "uint8" and x.dtype == np.float32:
            return np.rint(x * np.float32(255)).astype(np.uint8)
        return x / np.float32(255) if self.dtype == "float32" and x.dtype == np.uint8 else x

    def _layouts(self) -> dict[tuple[int, ...], Any]:
        """The shapes in which an example may be stored, and how each becomes the model's."""
        if len(self.shape) != 3:
            return {self.shape: lambda x: x}
        c, h, w = self.shape
        last = {(h, w, c): lambda x: x.transpose(0, 3, 1, 2)}
        return last | ({(h, w): lambda x: x[:, None]} if c == 1 else {}) | {self.shape: lambda x: x}


def rows_of(row_bytes: int) -> int:
    """How many rows of this size make a block of bounded memory.

    >>> rows_of(4 * 28 * 28), rows_of(4 * 3 * 1024 * 1024)
    (1000, 1)
    """
    return max(1, min(MAX_ROWS, BLOCK_BYTES // max(1, row_bytes)))
