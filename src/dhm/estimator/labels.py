"""Labels of any type to class indices, where some examples have none."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from dhm.data.dataset import UNLABELED
from dhm.errors import ConfigError, DataError

SIGNS = ({-1, 1}, {"-1", "1"})
TEXT = ("-1", "")
"""What marks an example without a label among names: numpy makes text of a -1 among these."""
NAMELESS = {"None", "none", "nan", "NaN", "null", "<NA>", "Non"}
"""What a missing label is called once it is text, cut to the length of the others perhaps."""
STRANGE = -2
"""The index of a label that is not among the classes."""


def as_labels(y: Any) -> NDArray[Any]:
    """Labels as (N,), whatever holds them; raises `ValueError` for another shape.

    Example:
        >>> import pandas
        >>> as_labels(pandas.Series([3, None], dtype="Int64"))
        array([3, <NA>], dtype=object)
    """
    names = [isinstance(value, str) for value in y] if isinstance(y, list | tuple) else []
    # numpy would make names of what stands among names in a list, scikit-learn floats of the whole
    # numbers and truth values of a column of pandas' own types.
    mixed = any(names) and not all(names)
    if mixed or not isinstance(getattr(y, "dtype", np.dtype(object)), np.dtype):
        y = np.asarray(y, object)
    return column_or_1d(y, warn=True)


def find_mark(y: Any, unlabeled: Any) -> int | None:
    """Which number marks an example without a label: -1, or None where -1 is a class.

    "auto" is -1, as in `sklearn.semi_supervised`, unless the labels are -1 and 1 and nothing else:
    these are the two classes of a problem written with signs, and -1 as a mark would leave one.

    Example:
        >>> find_mark([0, 1, -1], "auto"), find_mark([1, -1, -1], "auto"), find_mark([1, -1], -1)
        (-1, None, -1)
    """
    if unlabeled is None:
        return None
    if isinstance(unlabeled, str) and unlabeled == "auto":
        values, known = _split(y, None)
        signs = known.any() and set(values[known].tolist()) in SIGNS
        return None if signs else UNLABELED
    if isinstance(unlabeled, int | np.integer) and unlabeled == UNLABELED:
        return UNLABELED
    raise ConfigError(f"unlabeled should be 'auto', -1 or None, found {unlabeled!r}")


def find_classes(y: Any, mark: int | None) -> NDArray[Any]:
    """The distinct labels, sorted. Raises `DataError` unless there are two at least.

    Example:
        >>> find_classes(["dog", "cat", None, "dog"], -1).tolist()
        ['cat', 'dog']
    """
    values, known = _split(y, mark)
    try:
        if known.any():
            check_classification_targets(values[known])
        classes = np.unique(values[known])
    except (TypeError, ValueError) as error:
        reason = str(error).partition(". Maybe")[0]
        raise DataError(f"y: expected labels of one kind, numbers or names; {reason}") from error
    if len(classes) < 2:
        n = int((~known).sum())
        found = f"1 class, {classes.tolist()[0]!r}" if len(classes) else "no label"
        raise DataError(
            f"y: expected labels of at least two classes, found {found} ({n} of {len(known)} "
            f"examples are unlabelled)"
        )
    if strange := [name for name in classes.tolist() if name in NAMELESS]:
        warnings.warn(
            f"y: {strange[0]!r} is taken for the name of a class; mark examples without a label "
            f"by -1",
            stacklevel=2,
        )
    return classes


def encode(
    y: Any, classes: NDArray[Any], mark: int | None, what: str = "y", *, strangers: bool = False
) -> NDArray[np.int64]:
    """Labels as (N,) indices into the classes, -1 where there is none.

    Raises `DataError` for labels that are not among the classes, or, where these are `STRANGE`
    because `strangers` may be, for labels of another kind, names among numbers.

    Example:
        >>> encode(["dog", None, "cat"], np.array(["cat", "dog"]), -1)
        array([ 1, -1,  0])
    """
    values, known = _split(y, mark)
    index = np.full(len(values), UNLABELED, np.int64)
    position: Any = STRANGE
    try:
        position = np.searchsorted(classes, values[known]).clip(max=len(classes) - 1)
        other = classes[position] != values[known]
        strange = values[known][other].tolist()
        position = np.where(other, STRANGE, position)
    except TypeError:  # names among numbers, or the other way round
        strange = values[known].tolist()
    if strangers:
        named = isinstance(classes.tolist()[0], str)
        strange = [label for label in strange if isinstance(label, str) != named]
    if strange:
        names = ", ".join(map(repr, classes[:10].tolist()))
        raise DataError(
            f"{what}: expected the classes {names}{' ...' if len(classes) > 10 else ''}, found "
            f"also {strange[0]!r}; correct these labels, or name all classes when first fitting"
        )
    index[known] = position
    return index


def _split(y: Any, mark: int | None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Labels as (N,), and which of them are known; None, NaN and the mark are not."""
    values = as_labels(y)
    if values.dtype.kind == "O":
        known = np.array([_is_known(value, mark) for value in values], bool)
        found = values[known].tolist()
        if found and not any(isinstance(value, str) for value in found):
            numbers = np.array(found)  # of numbers among None, integers are integers again
            values = np.zeros(len(known), numbers.dtype)
            values[known] = numbers
        return values, known
    known = np.ones(len(values), bool)
    if values.dtype.kind == "f":
        known &= ~np.isnan(values)
    if mark is not None and values.dtype.kind in "if":
        known &= values != mark
    if mark is not None and values.dtype.kind == "U":
        known &= ~np.isin(values, TEXT)
    return values, known


def _is_known(value: Any, mark: int | None) -> bool:
    if value is None:
        return False
    try:
        if mark is not None and (value in TEXT if isinstance(value, str) else value == mark):
            return False
        return bool(value == value)  # NaN differs from itself
    except TypeError:  # pandas.NA has no truth value
        return False
