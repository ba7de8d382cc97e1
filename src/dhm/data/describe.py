"""A data set in a few numbers."""

from math import prod
from typing import Any

import numpy as np

from dhm.data.checks import count_missing, value_range
from dhm.data.dataset import Dataset, Examples


def describe(dataset: Dataset) -> dict[str, Any]:
    """Summarise a data set as plain values that can be written as JSON.

    Keys: `name`, `shape` of one example, `dtype`, `n_train` (unlabelled ones included),
    `n_unlabeled`, `n_test`, `classes`, `counts` (labelled examples per class, of `train` and of
    `test`), `missing`, the share of NaN among the stored inputs of both parts, and `min` and `max`
    of the others. A memory-mapped array is read in blocks.

    >>> from dhm.data import load
    >>> summary = describe(load("random"))
    >>> summary["shape"], summary["n_train"], summary["counts"]["test"]
    ([1, 8, 8], 1000, {'0': 100, '1': 100})
    """
    parts = (dataset.train.x, dataset.test.x)
    ranges = [value_range(x) for x in parts]
    missing = sum(count_missing(x) for x in parts)
    return {
        "name": dataset.name,
        "shape": list(dataset.shape),
        "dtype": str(dataset.train.x.dtype),
        "n_train": len(dataset.train),
        "n_unlabeled": int((~dataset.train.labeled).sum()),
        "n_test": len(dataset.test),
        "classes": list(dataset.classes),
        "counts": {
            "train": _counts(dataset.train, dataset.classes),
            "test": _counts(dataset.test, dataset.classes),
        },
        "missing": missing / (len(dataset.train) + len(dataset.test)) / prod(dataset.shape),
        "min": min(low for low, _ in ranges),
        "max": max(high for _, high in ranges),
    }


def _counts(examples: Examples, classes: tuple[str, ...]) -> dict[str, int]:
    found = np.bincount(examples.y[examples.labeled], minlength=len(classes))
    return dict(zip(classes, found.tolist(), strict=True))
