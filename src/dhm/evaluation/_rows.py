"""The rows of a picture of a data set: which examples are in each, and its title."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_ROWS = 20


def class_rows(
    y: NDArray[np.integer[Any]], classes: Sequence[str]
) -> tuple[list[tuple[str, NDArray[np.intp]]], int]:
    """(title, positions) of each class with an example, then of the unlabelled ones.

    Arguments:
        y: (N,) class indices, -1 for unlabelled.
        classes: the names of the classes, by index.

    Returns:
        At most 20 rows, and how many further classes were left out.

    Example:
        >>> class_rows(np.array([1, -1, 1]), ["cat", "dog"])
        ([('dog (2)', array([0, 2])), ('unlabelled (1)', array([1]))], 0)
    """
    found = np.unique(y)
    present = found[found >= 0]
    unlabeled = len(present) < len(found)
    shown = present[: _MAX_ROWS - unlabeled]
    named = [(classes[index], index) for index in shown]
    if unlabeled:
        named.append(("unlabelled", np.int64(-1)))
    rows = []
    for name, index in named:
        members = np.flatnonzero(y == index)
        rows.append((f"{shorten(name, 24)} ({len(members)})", members))
    return rows, len(present) - len(shown)


def shorten(text: str, length: int) -> str:
    """The text, or its start and an ellipsis where it is longer than `length` characters.

    Example:
        >>> shorten("a very long name", 8)
        'a very …'
    """
    return text if len(text) <= length else text[: length - 1] + "…"
