"""The form a model takes inputs in, and bringing blocks of a file into it."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dhm.data.checks import check_inputs
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
    """Whether entries may be NaN; where one is, bytes become floats of the same 0..255."""

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

    def convert(self, x: Any, what: str, first: int) -> Any:
        """A block of rows (n, ...) as the model takes them, (n, *shape).

        Images may be (H, W), (C, H, W) or (H, W, C), bytes or floats in [0, 1].

        Raises `DataError` for what `check_inputs` refuses, naming the row, counted from `first`.
        """
        self.check_shape(x.shape[1:], what)
        try:
            return self._converted(x, what)
        except DataError:
            for i in range(x.shape[0]):
                self._converted(x[i : i + 1], f"{what}, row {first + i}")
            raise

    def _converted(self, x: Any, what: str) -> Any:
        if tuple(x.shape[1:]) != self.shape:
            x = self._layouts()[tuple(x.shape[1:])](x)
        if self.missing and isinstance(x, np.ndarray) and x.dtype.kind == "f":
            gaps = np.isnan(x)
            if gaps.any():
                filled = self._cast(check_inputs(np.where(gaps, 0, x), what)).astype(np.float32)
                filled[gaps] = np.nan
                return filled
        return self._cast(check_inputs(x, what))

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
