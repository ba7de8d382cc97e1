"""Some rows of an array that is too large to copy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class MappedRows:
    """Rows of a memory-mapped array, in any order, read from the file when they are asked for.

    Indexing gives arrays in memory; so does `numpy.asarray`, of all rows.

    >>> rows = MappedRows(np.arange(12).reshape(6, 2), np.array([4, 0]))
    >>> rows.shape, rows[:1]
    ((2, 2), array([[8, 9]]))
    """

    def __init__(self, base: NDArray[Any], rows: NDArray[np.intp]) -> None:
        self.base, self.rows = base, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(number of rows, *shape of one)."""
        return (len(self.rows), *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return self.base.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one value."""
        return self.base.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self.base[self.rows[key]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.base[self.rows], dtype=dtype)

    def take(self, index: NDArray[np.intp]) -> "MappedRows":
        """Rows of these rows, still unread."""
        return MappedRows(self.base, self.rows[index])
