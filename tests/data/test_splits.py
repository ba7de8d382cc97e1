"""Validation and label subsets: balanced, disjoint, repeatable."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from dhm.data import UNLABELED, Examples, hide_labels, labeled_subset, split_validation
from dhm.errors import ConfigError, DataError


def numbered(y: Any) -> Examples:
    """Examples whose input is their own position."""
    y = np.asarray(y, np.int64)
    return Examples(np.arange(len(y), dtype=np.float32)[:, None], y)


LABELS = st.lists(st.integers(-1, 4), min_size=1, max_size=120).filter(
    lambda y: len(set(y) - {UNLABELED}) >= 2
)
SEEDS = st.integers(0, 2**32)


@settings(max_examples=150, deadline=None)
@given(LABELS, SEEDS, st.data())
def test_validation_is_a_stratified_partition(y: list[int], seed: int, data: st.DataObject) -> None:
    examples = numbered(y)
    counts = np.bincount(examples.y[examples.labeled], minlength=5)
    total, classes = int(counts.sum()), int((counts > 0).sum())
    n = data.draw(st.integers(1, total))
    if n > total - classes:
        with pytest.raises(DataError, match="cannot hold out"):
            split_validation(examples, n, seed)
        return
    train, val = split_validation(examples, n, seed)
    assert len(val) == n and val.labeled.all()
    assert sorted([*train.x[:, 0], *val.x[:, 0]]) == list(range(len(y)))
    for part in (train, val):
        positions = part.x[:, 0].astype(int)
        assert (np.diff(positions) > 0).all()
        np.testing.assert_array_equal(part.y, examples.y[positions])
    taken = np.bincount(val.y, minlength=5)
    assert (taken[counts > 0] < counts[counts > 0]).all()
    # In proportion, but for rounding and for what a class too small passes on to the others.
    if (counts[counts > 0] * (1 - n / total) >= 1).all():
        assert (np.abs(taken - n * counts / total) < 1).all()


@settings(max_examples=150, deadline=None)
@given(LABELS, SEEDS, st.integers(1, 60))
def test_label_subsets_are_balanced_and_agree(y: list[int], seed: int, n: int) -> None:
    examples = numbered(y)
    counts = np.unique(examples.y[examples.labeled], return_counts=True)[1]
    each, extra = divmod(n, len(counts))
    if n < len(counts) or counts.min() < each or (counts > each).sum() < extra:
        with pytest.raises(DataError, match="n_labeled") as refused:
            labeled_subset(examples, n, seed)
        if n >= len(counts):
            most = int(str(refused.value).split("at most ")[1].split()[0])
            assert len(labeled_subset(examples, most, seed)) == most < n
            with pytest.raises(DataError):
                labeled_subset(examples, most + 1, seed)
        return
    few, hidden = labeled_subset(examples, n, seed), hide_labels(examples, n, seed)
    per_class = np.unique(few.y, return_counts=True)[1]
    assert len(few) == n and len(per_class) == len(counts)
    assert per_class.max() - per_class.min() <= 1
    assert hidden.x is examples.x and len(hidden) == len(examples)
    np.testing.assert_array_equal(few.x, hidden.x[hidden.labeled])
    np.testing.assert_array_equal(few.y, hidden.y[hidden.labeled])
    np.testing.assert_array_equal(few.y, examples.y[few.x[:, 0].astype(int)])


def test_the_seed_decides() -> None:
    examples = numbered(np.arange(200) % 10)
    for choose in (
        lambda seed: split_validation(examples, 0.2, seed)[1].x,
        lambda seed: labeled_subset(examples, 30, seed).x,
    ):
        np.testing.assert_array_equal(choose(3), choose(3))
        assert not np.array_equal(choose(3), choose(4))


def test_remainders_do_not_always_fall_to_the_same_classes() -> None:
    examples = numbered(np.arange(200) % 10)
    assert len({tuple(np.bincount(labeled_subset(examples, 15, s).y)) for s in range(10)}) > 1
    validation = [split_validation(examples, 15, s)[1] for s in range(10)]
    assert len({tuple(np.bincount(part.y)) for part in validation}) > 1


@pytest.mark.parametrize(("val_size", "n"), [(0.25, 20), (10, 10), (10.0, 10), (1, 1), (0.001, 1)])
def test_val_size_is_a_fraction_of_the_labelled_or_a_count(val_size: float, n: int) -> None:
    y = np.append(np.arange(80) % 4, [-1] * 20)
    train, val = split_validation(numbered(y), val_size, 0)
    assert len(val) == n and len(train) == 100 - n
    assert int((~train.labeled).sum()) == 20


@pytest.mark.parametrize("val_size", [0, -1, -0.1, 2.5, float("nan"), float("inf")])
def test_a_senseless_val_size_is_refused(val_size: float) -> None:
    with pytest.raises(ConfigError, match="val_size"):
        split_validation(numbered([0, 1] * 5), val_size, 0)


def test_nothing_left_to_train_on_is_refused() -> None:
    examples = numbered([0, 1] * 5 + [-1] * 90)
    for val_size in (9, 10, 50, 0.99):
        with pytest.raises(DataError, match="at most 8 can be held out"):
            split_validation(examples, val_size, 0)
    with pytest.raises(DataError):
        split_validation(numbered([-1] * 4), 1, 0)


@pytest.mark.parametrize("choose", [labeled_subset, hide_labels])
def test_label_counts_that_cannot_be_met_are_refused(choose: Any) -> None:
    examples = numbered([0] * 50 + [1] * 3 + [2] * 50)
    with pytest.raises(DataError, match="the smallest has only 3; at most 11 can be drawn"):
        choose(examples, 30)
    with pytest.raises(DataError, match="each of the 3 classes, got 2"):
        choose(examples, 2)
    for n in (0, -3, 4.5, float("nan")):
        with pytest.raises(ConfigError, match="whole number"):
            choose(examples, n)
    for seed in (-1, 1.5):
        with pytest.raises(ConfigError, match="seed"):
            choose(examples, 6, seed)
    # Ten is 3, 3 and 4: the fourth cannot come from class 1.
    assert np.bincount(choose(examples, 10).take(slice(None)).y.clip(0))[1] == 3
    with pytest.raises(DataError):
        choose(numbered([-1, -1]), 1)


def test_sparse_and_memory_mapped_inputs_can_be_split(tmp_path: Path) -> None:
    y = np.arange(40) % 4
    dense = np.arange(80, dtype=np.float32).reshape(40, 2)
    np.save(tmp_path / "x.npy", dense)
    for x in (sp.csr_array(dense), np.load(tmp_path / "x.npy", mmap_mode="r")):
        train, val = split_validation(Examples(x, y), 8, 0)
        assert train.x.shape == (32, 2) and val.x.shape == (8, 2)
        found = val.x.toarray() if sp.issparse(val.x) else np.asarray(val.x)
        np.testing.assert_array_equal(found[:, 0] / 2 % 4, val.y)
