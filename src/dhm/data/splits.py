"""Which examples are for training, which for validation, and which keep their labels."""

import math

import numpy as np
from numpy.typing import NDArray

from dhm.data.dataset import UNLABELED, Examples
from dhm.errors import ConfigError, DataError


def split_validation(
    examples: Examples, val_size: float, seed: int = 0
) -> tuple[Examples, Examples]:
    """Split off a validation set of labelled examples, stratified by class.

    `val_size` is a fraction of the labelled examples in (0, 1) or a number of examples from 1.
    Unlabelled examples stay in training. Both parts keep the order of `examples`.

    Raises `ConfigError` for another `val_size`, `DataError` if a class would have no labelled
    example left to train on.

    >>> y = np.repeat([0, 1], 10)
    >>> train, val = split_validation(Examples(np.zeros((20, 2), np.float32), y), 0.2)
    >>> len(train), np.bincount(val.y)
    (16, array([2, 2]))
    """
    if not (0 < val_size < 1 or (1 <= val_size < math.inf and val_size == int(val_size))):
        raise ConfigError(
            f"val_size: expected a fraction in (0, 1) or a whole number from 1, got {val_size}"
        )
    n_labeled = int(examples.labeled.sum())
    n_val = max(1, round(val_size * n_labeled)) if val_size < 1 else int(val_size)
    return hold_out(examples, n_val, seed, "validation")


def hold_out(examples: Examples, n: int, seed: int, purpose: str) -> tuple[Examples, Examples]:
    """Split off `n` labelled examples, each class in proportion but never wholly.

    Raises `DataError` if that would leave a class without a labelled example.

    >>> rest, held = hold_out(Examples(np.zeros((8, 1)), np.arange(8) % 2), 3, 0, "a test")
    >>> len(rest), len(held)
    (5, 3)
    """
    classes, counts = _class_counts(examples)
    total, spare = int(counts.sum()), int(counts.sum() - len(classes))
    if not 1 <= n <= spare:
        raise DataError(
            f"{purpose}: cannot hold out {n} of {total} labelled examples and keep one of each of "
            f"the {len(classes)} classes to train on; at most {max(spare, 0)} can be held out"
        )
    rng = _rng(seed)
    share = n * counts / total
    take = np.floor(share).astype(np.int64)
    # What rounding down left over goes to the largest remainders; ties fall by chance.
    while (left := n - int(take.sum())) > 0:
        order = np.lexsort((rng.permutation(len(counts)), take - share))
        take[[c for c in order if take[c] < counts[c] - 1][:left]] += 1
    held = np.zeros(len(examples), bool)
    held[_draw(examples.y, classes, take, rng)] = True
    return examples.take(np.flatnonzero(~held)), examples.take(np.flatnonzero(held))


def labeled_subset(examples: Examples, n_labeled: int, seed: int = 0) -> Examples:
    """A class-balanced choice of `n_labeled` labelled examples, and nothing else.

    Classes differ by at most one example; the order of `examples` is kept. `hide_labels` with the
    same seed keeps the labels of the same examples.

    Raises `ConfigError` unless `n_labeled` is a whole number from 1, `DataError` if it is less
    than the number of classes or if a class has too few labelled examples.

    >>> few = labeled_subset(Examples(np.zeros((9, 1)), np.arange(9) % 3), 6)
    >>> np.bincount(few.y)
    array([2, 2, 2])
    """
    return examples.take(_balanced(examples, n_labeled, seed))


def hide_labels(examples: Examples, n_labeled: int, seed: int = 0) -> Examples:
    """All examples, of which a class-balanced `n_labeled` keep their label and the others get -1.

    The inputs are shared with `examples`, not copied. Chooses and raises as `labeled_subset`.

    >>> hidden = hide_labels(Examples(np.zeros((9, 1)), np.arange(9) % 3), 6)
    >>> len(hidden), int(hidden.labeled.sum())
    (9, 6)
    """
    keep = _balanced(examples, n_labeled, seed)
    y = np.full_like(examples.y, UNLABELED)
    y[keep] = examples.y[keep]
    return Examples(examples.x, y, examples.weight)


def _balanced(examples: Examples, n: int, seed: int) -> NDArray[np.intp]:
    if not (1 <= n < math.inf and n == int(n)):
        raise ConfigError(f"n_labeled: expected a whole number from 1, got {n}")
    n = int(n)
    classes, counts = _class_counts(examples)
    if n < len(classes) or not len(classes):
        raise DataError(
            f"n_labeled: expected at least one example for each of the {len(classes)} classes, "
            f"got {n}"
        )
    # Of each class as many as the smallest has, and one more of those that have it.
    least = int(counts.min())
    most = least * len(classes) + int((counts > least).sum())
    if n > most:
        raise DataError(
            f"n_labeled: {n} labelled examples need up to {-(-n // len(classes))} of a class, but "
            f"the smallest has only {least}; at most {most} can be drawn"
        )
    rng = _rng(seed)
    each, extra = divmod(n, len(classes))
    take = np.full(len(classes), each)
    if extra:
        roomy = rng.permutation(np.flatnonzero(counts > each))
        take[roomy[:extra]] += 1
    return _draw(examples.y, classes, take, rng)


def _class_counts(examples: Examples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    classes, counts = np.unique(examples.y[examples.labeled], return_counts=True)
    return classes, counts.astype(np.int64)


def _draw(
    y: NDArray[np.int64],
    classes: NDArray[np.int64],
    take: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Sorted positions of `take[i]` examples of each `classes[i]`, without replacement."""
    chosen = [
        rng.choice(np.flatnonzero(y == c), size=n, replace=False)
        for c, n in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _rng(seed: int) -> np.random.Generator:
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed: expected a whole number from 0, got {seed}")
    return np.random.default_rng(seed)
