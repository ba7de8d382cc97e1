"""Arrays as they were found to a checked `Dataset`."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dhm.data.checks import check_black_and_white, check_inputs, check_precision
from dhm.data.columns import listed
from dhm.data.dataset import UNLABELED, Dataset, Examples
from dhm.data.labels import class_names, class_values, encode
from dhm.data.splits import hold_out
from dhm.errors import DataError

TEST_FRACTION = 0.25
"""What is held out for testing where the source has no test part."""


@dataclass(frozen=True)
class Parts:
    """What a reader found, not yet checked."""

    x_train: Any
    y_train: Any
    x_test: Any = None
    y_test: Any = None
    x_unlabeled: Any = None
    features: tuple[str, ...] | None = None
    """Names of the columns of a table."""


def from_arrays(
    x_train: Any,
    y_train: Any,
    x_test: Any = None,
    y_test: Any = None,
    x_unlabeled: Any = None,
    *,
    name: str = "arrays",
    seed_data: int = 0,
) -> Dataset:
    """Make a data set of arrays in memory, with the checks and conversions of `load`.

    Inputs are as `check_inputs` accepts them, labels (N,) integers or names, with -1, NaN or an
    empty name for unlabelled. `x_unlabeled` joins the training set without labels. Without a test
    part a quarter of the labelled examples is held out, stratified by class, chosen by `seed_data`.

    Raises `DataError` for inputs or labels that cannot be used.

    >>> data = from_arrays(np.zeros((8, 2)), ["cat", "dog"] * 4)
    >>> data.classes, len(data.train), len(data.test)
    (('cat', 'dog'), 6, 2)
    """
    return assemble(Parts(x_train, y_train, x_test, y_test, x_unlabeled), name, seed_data)


def assemble(
    parts: Parts, name: str, seed_data: int, classes: tuple[str, ...] | None = None
) -> Dataset:
    """Check what a reader found and make a `Dataset` of it, as `from_arrays` describes.

    `classes` says what labels 0, 1, 2 ... stand for; without it they are the labels of training.
    """
    if (parts.x_test is None) != (parts.y_test is None):
        present, absent = ("y", "x") if parts.x_test is None else ("x", "y")
        raise DataError(f"{name}: found {present}_test but no {absent}_test; give both or neither")
    x = check_inputs(parts.x_train, f"{name}: x_train")
    values = class_values(parts.y_train, f"{name}: y_train")
    if classes is None:
        classes = class_names(values)
    else:
        values = np.arange(len(classes))
    train = _paired(x, parts.y_train, values, name, "train")
    given = [parts.x_train]
    if parts.x_unlabeled is not None:
        given.append(parts.x_unlabeled)
        extra = _check_like(x, parts.x_unlabeled, name, "unlabeled")
        train = Examples(
            _stacked(x, extra),
            np.concatenate([train.y, np.full(extra.shape[0], UNLABELED, np.int64)]),
        )
    check_precision(given, f"{name}: x_train", parts.features)
    check_black_and_white(given, f"{name}: x_train")
    if parts.x_test is None:
        n_test = max(1, round(TEST_FRACTION * int(train.labeled.sum())))
        train, test = hold_out(train, n_test, seed_data, f"{name}: test part")
    else:
        check_black_and_white([parts.x_test], f"{name}: x_test")
        x_test = _check_like(x, parts.x_test, name, "test")
        test = _paired(x_test, parts.y_test, values, name, "test")
        if not test.labeled.all():
            raise DataError(
                f"{name}: y_test: expected a label for every test example, found "
                f"{int((~test.labeled).sum())} of {len(test)} unlabelled; move those to x_unlabeled"
            )
    return Dataset(name, train, test, classes, features=parts.features)


def assemble_test(parts: Parts, name: str, classes: tuple[str, ...]) -> Dataset:
    """What a reader found as examples to test a model of these classes on, all that have a label.

    Of data with a test part that alone. It is the data set's training part, too. Raises `DataError`
    where a label is none of the classes, or there is no label.
    """
    x, y = parts.x_train, parts.y_train
    if parts.x_test is not None:
        x, y = parts.x_test, parts.y_test
    values = class_values(y, f"{name}: y", least=1)
    names = class_names(values)
    if strange := [label for label in names if label not in classes]:
        raise DataError(
            f"{name}: y: found class {strange[0]}, which is none of the model's: {listed(classes)}"
        )
    check_black_and_white([x], f"{name}: x")
    examples = _paired(check_inputs(x, f"{name}: x"), y, values, name, "test")
    known = examples.labeled.nonzero()[0]
    examples = examples.take(known)
    index = np.array([classes.index(label) for label in names])
    examples = replace(examples, y=index[examples.y])
    return Dataset(name, examples, examples, classes, features=parts.features)


def _paired(x: Any, y: Any, values: Any, name: str, part: str) -> Examples:
    indices = encode(y, values, f"{name}: y_{part}")
    if len(indices) != x.shape[0]:
        raise DataError(
            f"{name}: x_{part} holds {x.shape[0]} examples but y_{part} {len(indices)} labels; "
            "give one label per example, -1 for unlabelled"
        )
    return Examples(x, indices)


def _check_like(x_train: Any, x: Any, name: str, part: str) -> Any:
    x = check_inputs(x, f"{name}: x_{part}")
    if hasattr(x, "tocsr") != hasattr(x_train, "tocsr"):
        raise DataError(
            f"{name}: x_train and x_{part}: one is sparse, one is not; store both alike"
        )
    if (x.shape[1:], x.dtype) != (x_train.shape[1:], x_train.dtype):
        raise DataError(
            f"{name}: x_train holds {x_train.dtype} of shape {x_train.shape[1:]} but x_{part} "
            f"{x.dtype} of shape {x.shape[1:]}; store both alike"
        )
    return x


def _stacked(a: Any, b: Any) -> Any:
    if not hasattr(a, "tocsr"):
        return np.concatenate([a, b])
    from scipy.sparse import vstack

    return vstack([a, b], format="csr")
