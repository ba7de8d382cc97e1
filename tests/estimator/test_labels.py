"""Labels as users write them: any type, and several ways of having none."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dhm.errors import ConfigError, DataError
from dhm.estimator.labels import encode, find_classes, find_mark

NONE: Any = None


@pytest.mark.parametrize(
    "y, classes, index",
    [
        ([3, 7, -1, 3], [3, 7], [0, 1, -1, 0]),
        ([-5, 2, -1, 2], [-5, 2], [0, 1, -1, 1]),
        ([0.0, np.nan, 2.0], [0, 2], [0, -1, 1]),
        ([True, False, True], [False, True], [1, 0, 1]),
        (["b", "a", "-1"], ["a", "b"], [1, 0, -1]),
        (np.array(["b", "a", -1, ""]), ["a", "b"], [1, 0, -1, -1]),
        (np.array(["b", "a", "-1", ""], object), ["a", "b"], [1, 0, -1, -1]),
        (["1", "-1", "1"], ["-1", "1"], [1, 0, 1]),
        (["oui", "non"], ["non", "oui"], [1, 0]),
        (["b", NONE, "a", float("nan"), -1], ["a", "b"], [1, -1, 0, -1, -1]),
        (np.array(["b", NONE, "a", np.nan, -1], object), ["a", "b"], [1, -1, 0, -1, -1]),
        (np.array([5, NONE, 4, np.nan, -1], object), [4, 5], [1, -1, 0, -1, -1]),
        (pd.Series(["b", pd.NA, "a"]), ["a", "b"], [1, -1, 0]),
        (pd.Series([1, pd.NA, 4], dtype="Int64"), [1, 4], [0, -1, 1]),
        (pd.Series(["u", NONE, "v"], dtype="category"), ["u", "v"], [0, -1, 1]),
    ],
)
def test_classes_and_indices(y: Any, classes: list[Any], index: list[int]) -> None:
    mark = find_mark(y, "auto")
    found = find_classes(y, mark)
    assert found.tolist() == classes
    assert encode(y, found, mark).tolist() == index


@pytest.mark.parametrize(
    "y, classes",
    [
        (pd.Series(["b", pd.NA, "a"], dtype="string"), ["a", "b"]),
        (np.array(["b", pd.NA, "a"], object), ["a", "b"]),
        (pd.Series([1, pd.NA, 4], dtype="Int64"), [1, 4]),
        (pd.Series([True, pd.NA, False], dtype="boolean"), [False, True]),
    ],
)
def test_gaps_leave_the_type_of_labels(y: Any, classes: list[Any]) -> None:
    mark = find_mark(y, "auto")
    found = find_classes(y, mark)
    assert repr(found.tolist()) == repr(classes)
    assert encode(y, found, mark)[1] == -1 and (encode(y, found, mark)[[0, 2]] >= 0).all()


def test_signs_are_two_classes_unless_told_otherwise() -> None:
    y = np.array([1, -1, 1])
    assert find_classes(y, find_mark(y, "auto")).tolist() == [-1, 1]
    with pytest.raises(DataError, match=r"1 class.*1 of 3 examples are unlabelled"):
        find_classes(y, find_mark(y, -1))
    more = np.array([1, -1, 0])
    assert find_classes(more, find_mark(more, "auto")).tolist() == [0, 1]
    assert find_classes(more, find_mark(more, None)).tolist() == [-1, 0, 1]


def test_text_that_says_none_is_a_class_and_said_to_be() -> None:
    y = np.array(["cat", "dog", "cat"])
    y[2] = None  # type: ignore[call-overload]  # numpy cuts it to three letters
    with pytest.warns(UserWarning, match="'Non' is taken for the name of a class; mark .* by -1"):
        assert find_classes(y, -1).tolist() == ["Non", "cat", "dog"]
    assert find_classes(["-1", "", "a"], None).tolist() == ["", "-1", "a"]


def test_refused() -> None:
    with pytest.raises(DataError, match="labels of one kind"):
        find_classes(np.array([1, "a", 2], object), -1)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        find_classes([0.5, 1.2, 3.3], -1)
    with pytest.raises(DataError, match="no label"):
        find_classes([np.nan, np.nan], -1)
    with pytest.raises(DataError, match="found also 9"):
        encode([1, 9], np.array([1, 2]), -1)
    with pytest.raises(DataError, match="found also 'x'"):
        encode(["x"], np.array([1, 2]), -1)
    with pytest.raises(ConfigError, match="unlabeled should be"):
        find_mark([1, 2], "none")
