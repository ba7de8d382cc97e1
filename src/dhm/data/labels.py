"""Labels of any type to class indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhm.data.dataset import UNLABELED
from dhm.errors import DataError

_MISSING_TEXT = ("", str(UNLABELED))


def class_values(y: Any, what: str, least: int = 2) -> NDArray[Any]:
    """The distinct labels of the labelled examples, sorted; position in it is the class index.

    Raises `DataError` unless there are two, or as few as are asked for.

    >>> class_values(np.array(["dog", "cat", "", "dog"]), "y")
    array(['cat', 'dog'], dtype='<U3')
    """
    values, known = _clean(y, what)
    found = np.unique(values[known])
    if len(found) < least:
        seen = f"only class {_name(found[0])}" if len(found) else "no label"
        missing = len(values) - int(known.sum())
        raise DataError(
            f"{what}: expected labels of at least {least} class{'es' * (least > 1)}, found {seen} "
            f"({missing} of {len(values)} examples are unlabelled: -1 or empty); "
            "number the classes from 0 or name them"
        )
    return found


def class_names(values: NDArray[Any]) -> tuple[str, ...]:
    """What to call each class: the label itself as text.

    >>> class_names(np.array([3.0, 7.0]))
    ('3', '7')
    """
    return tuple(_name(v) for v in values)


def encode(y: Any, values: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Labels as (N,) indices into the class `values`, -1 where -1, NaN or empty.

    Raises `DataError` for labels that are not among them, or not (N,) integers or names.

    >>> encode(np.array([5.0, np.nan, 9.0]), np.array([5, 9]), "y")
    array([ 0, -1,  1])
    """
    labels, known = _clean(y, what)
    if (labels.dtype.kind == "U") != (values.dtype.kind == "U") and known.any():
        kinds = ("names", "numbers") if labels.dtype.kind == "U" else ("numbers", "names")
        raise DataError(f"{what}: the labels are {kinds[0]} but those of training are {kinds[1]}")
    index = np.full(len(labels), UNLABELED, np.int64)
    position = np.searchsorted(values, labels[known]).clip(max=len(values) - 1)
    strange = np.unique(labels[known][values[position] != labels[known]])
    if len(strange):
        raise DataError(
            f"{what}: expected the classes {_listed(values)}, found also {_listed(strange)}; "
            "correct these labels or leave their examples out"
        )
    index[known] = position
    return index


def _clean(y: Any, what: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Labels as (N,) numbers or text, and which of them are known."""
    y = np.asarray(y)
    if y.dtype.kind == "O":
        y = _without_objects(y, what)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        advice = "; turn one-hot rows into indices with argmax(axis=1)" if y.ndim == 2 else ""
        raise DataError(f"{what}: expected one label per example, found shape {y.shape}{advice}")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "U":
        y = np.char.strip(y)
        return y, ~np.isin(y, _MISSING_TEXT)
    if y.dtype.kind == "b":
        return y, np.ones(len(y), bool)
    if y.dtype.kind not in "iuf":
        raise DataError(f"{what}: expected integers or names, found type {y.dtype}")
    known = (y != UNLABELED) & (y == y)  # NaN differs from itself
    wrong = known & (np.isinf(y) | (y != np.floor(y)) | (y < 0))
    if wrong.any():
        raise DataError(
            f"{what}: expected whole numbers from 0 (or -1 for unlabelled) or names, "
            f"found {y[wrong][0]}; number the classes 0, 1, 2 ..."
        )
    return y, known


def _without_objects(y: Any, what: str) -> NDArray[Any]:
    """Names or numbers among None and NaN, as text or numbers with "" or -1 in their place."""
    none: Any = None
    try:
        known = ~(np.equal(y, none) | np.not_equal(y, y)).astype(bool)
        values = np.asarray(y[known].tolist())
    except (TypeError, ValueError):  # labels that are arrays themselves, or compare in no way
        values = np.empty(0, object)
    if values.ndim != 1 or values.dtype.kind not in "USbiuf":
        raise DataError(f"{what}: expected integers or names, found Python objects of other kinds")
    values = values.astype(int) if values.dtype.kind == "b" else values
    filled = np.full(y.shape, "" if values.dtype.kind in "US" else UNLABELED, values.dtype)
    filled[known] = values
    return filled


def _name(value: Any) -> str:
    return str(int(value)) if isinstance(value, np.floating) else str(value)


def _listed(values: Sequence[Any] | NDArray[Any], limit: int = 10) -> str:
    names = ", ".join(_name(v) for v in values[:limit])
    return names + (f" ... ({len(values)} in all)" if len(values) > limit else "")
