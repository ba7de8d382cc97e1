"""What a data set is once loaded: arrays, labels and the names of the classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhm.data.mapped import MappedRows

UNLABELED = -1
"""The label of an example whose class is not known."""


# Equality is identity: comparing arrays element by element has no single truth value.
@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and labels of N examples.

    `x` is (N, C, H, W) for images, uint8 or float32 in [0, 1], or (N, D) float32 for vectors, where
    a scipy CSR matrix may stand in for the array; it may be memory-mapped. NaN is a missing entry.
    `y` is (N,) int64, class indices with -1 for unlabelled.

    >>> two = Examples(np.zeros((2, 3), np.float32), np.array([1, UNLABELED]))
    >>> len(two), two.labeled
    (2, array([ True, False]))
    """

    x: Any
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Which examples have a label: (N,) booleans."""
        return np.not_equal(self.y, UNLABELED)

    def take(self, index: NDArray[np.intp]) -> "Examples":
        """The examples at these positions, in this order; copied, unless memory-mapped."""
        if isinstance(self.x, np.memmap):
            return Examples(MappedRows(self.x, index), self.y[index])
        if isinstance(self.x, MappedRows):
            return Examples(self.x.take(index), self.y[index])
        return Examples(self.x[index], self.y[index])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set with the same shape and classes."""

    name: str
    train: Examples
    test: Examples
    classes: tuple[str, ...]
    symmetric: bool = False
    """True for images whose mirror image is as good an example of its class."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (C, H, W) or (D,)."""
        return tuple(int(n) for n in self.train.x.shape[1:])
