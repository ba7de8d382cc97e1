"""What a data set is once loaded: arrays, labels and the names of the classes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhm.data.columns import check_columns
from dhm.data.mapped import MappedRows

UNLABELED = -1
"""The label of an example whose class is not known."""


# Equality is identity: comparing arrays element by element has no single truth value.
@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and labels of N examples.

    `x` is (N, C, H, W) for images, uint8 or float32 in [0, 1], or (N, D) float32 for vectors, where
    a scipy CSR matrix may stand in for the array; it may be memory-mapped. NaN is a missing entry.
    `y` is (N,) int64, class indices with -1 for unlabelled. `weight`, (N,) above 0, says how many
    examples alike each one stands for: training draws it so much more often. None is one each.

    >>> two = Examples(np.zeros((2, 3), np.float32), np.array([1, UNLABELED]))
    >>> len(two), two.labeled
    (2, array([ True, False]))
    """

    x: Any
    y: NDArray[np.int64]
    weight: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Which examples have a label: (N,) booleans."""
        return np.not_equal(self.y, UNLABELED)

    def class_counts(self, n_classes: int) -> NDArray[np.float64]:
        """How many labels each class has, (n_classes,); examples count by their weight.

        >>> Examples(np.zeros((4, 1)), np.array([0, 1, 1, -1])).class_counts(3).tolist()
        [1.0, 2.0, 0.0]
        """
        known = self.labeled
        weight = None if self.weight is None else self.weight[known]
        return np.bincount(self.y[known], weight, n_classes).astype(np.float64)

    def take(self, index: NDArray[np.intp]) -> "Examples":
        """The examples at these positions, in this order; copied, unless memory-mapped."""
        weight = None if self.weight is None else self.weight[index]
        if isinstance(self.x, np.memmap):
            return Examples(MappedRows(self.x, index), self.y[index], weight)
        if isinstance(self.x, MappedRows):
            return Examples(self.x.take(index), self.y[index], weight)
        return Examples(self.x[index], self.y[index], weight)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set with the same shape and classes."""

    name: str
    train: Examples
    test: Examples
    classes: tuple[str, ...]
    symmetric: bool = False
    """True for images whose mirror image is as good an example of its class."""
    features: tuple[str, ...] | None = None
    """Names of the D columns, where the data came as a table that has them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (C, H, W) or (D,)."""
        return tuple(int(n) for n in self.train.x.shape[1:])

    def arranged(self, features: tuple[str, ...] | None) -> "Dataset":
        """With the columns of these names, in this order; as it is where either has no names.

        Raises `DataError` where one is not there, naming it.

        >>> two = Examples(np.array([[1.0, 2.0]]), np.array([0]))
        >>> Dataset("made", two, two, ("a",), features=("u", "v")).arranged(("v", "u")).train.x
        array([[2., 1.]])
        """
        if features is None or self.features is None or features == self.features:
            return self
        check_columns(self.features, features, self.name)
        columns = [self.features.index(name) for name in features]
        train, test = (replace(part, x=part.x[:, columns]) for part in (self.train, self.test))
        return replace(self, train=train, test=test, features=features)
