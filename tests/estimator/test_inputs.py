"""Layouts of arrays, and the numbers that stand for their contents."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dhm import HybridClassifier
from dhm.errors import DataError
from dhm.estimator.inputs import digests, has_missing, learn_layout

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "given, image_shape, stored",
    [
        ((7,), None, (7,)),
        ((8, 6), None, (1, 8, 6)),
        ((3, 8, 6), None, (3, 8, 6)),
        ((8, 6, 3), None, (3, 8, 6)),
        ((48,), (8, 6), (1, 8, 6)),
        ((144,), (8, 6, 3), (3, 8, 6)),
    ],
)
@pytest.mark.parametrize("kind", ["bytes", "unit", "real"])
def test_there_and_back(given: Any, image_shape: Any, stored: Any, kind: str) -> None:
    x: Any = RNG.integers(0, 255, (5, *given)).astype(np.uint8)
    if kind != "bytes":
        x = x / 255 if kind == "unit" else x / 100 - 1
    layout = learn_layout(x, image_shape)
    made = layout.stored(x)
    assert made.shape == (5, *stored)
    if len(stored) == 3:
        assert made.dtype == (np.uint8 if kind == "bytes" else np.float32)
        assert kind == "bytes" or (made.min() >= 0 and made.max() <= 1)
    np.testing.assert_allclose(layout.original(made), x, atol=1e-5)
    draws = np.stack([made, made])  # more leading dimensions, as of several draws
    np.testing.assert_allclose(layout.original(draws), np.stack([x, x]), atol=1e-5)


NAMES, DIGITS = pd.Categorical(["u", "v"] * 10), pd.Categorical(["1", "2"] * 10)
DATES = pd.to_datetime(["2020-01-01", "2021-01-01"] * 10)


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"a": NAMES}, "found category in the column 'a'"),
        ({"a": NAMES, "b": RNG.normal(size=20)}, "found category in the column 'a'"),
        ({"a": DIGITS}, "X: expected numbers, found"),  # beside numbers they become such
        ({"a": DATES}, "found datetime64.* in the column 'a'"),
        ({"a": DATES, "b": RNG.normal(size=20)}, "found datetime64.* in the column 'a'"),
    ],
)
def test_columns_that_hold_no_numbers_are_named(columns: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        HybridClassifier(epochs=1).fit(pd.DataFrame(columns), np.arange(20) % 2)


def test_categories_that_are_numbers_are_numbers() -> None:
    frame = pd.DataFrame({"a": pd.Categorical([1, 2] * 10)})
    HybridClassifier(epochs=1).fit(frame, np.arange(20) % 2)


@pytest.mark.parametrize("shape", [(3, 4), (3, 8, 8)])
def test_nothing_known_is_nothing_to_learn(shape: Any) -> None:
    with pytest.raises(DataError, match="X: expected numbers, found NaN only"):
        learn_layout(np.full(shape, np.nan), None)


def test_floats_in_the_unit_interval_are_pixels_as_they_are() -> None:
    x = RNG.uniform(0.2, 0.6, (4, 8, 8))
    np.testing.assert_array_equal(learn_layout(x, None).stored(x)[:, 0], x.astype(np.float32))


def test_what_is_missing_stays_missing() -> None:
    x = RNG.uniform(3, 9, (4, 8, 8))
    x[1, 2] = np.nan
    layout = learn_layout(x, None)
    made = layout.stored(x)
    assert (np.isnan(made[:, 0]) == np.isnan(x)).all() and np.nanmax(made) == 1
    assert has_missing(made).tolist() == [False, True, False, False]
    table = sparse.csr_matrix(np.array([[0.0, 1.0], [np.nan, 0.0]]))
    assert has_missing(table).tolist() == [False, True]


def test_refused() -> None:
    layout = learn_layout(np.zeros((2, 8, 8), np.uint8), None)
    with pytest.raises(DataError, match=r"examples of shape \(8, 8\), found \(8, 7\)"):
        layout.stored(np.zeros((2, 8, 7), np.uint8))
    with pytest.raises(DataError, match=r"pixels in 0\.\.255"):
        layout.stored(np.full((2, 8, 8), -0.5))
    with pytest.raises(DataError, match="image_shape"):
        learn_layout(np.zeros((2, 60)), (8, 8))
    with pytest.raises(DataError, match="too large for float32"):
        learn_layout(np.ones((2, 2)), None).stored(np.full((2, 2), 1e300))


def test_pixels_outside_the_range_of_the_fit() -> None:
    x = RNG.uniform(0, 16, (50, 8, 8))
    layout = learn_layout(x, None)
    brighter = np.where(x > 15, x + 2, x)
    made = layout.stored(brighter)
    assert made.max() == 1.0 and (made[:, 0][x <= 15] == layout.stored(x)[:, 0][x <= 15]).all()
    for far in (10 * x, -x, x + 100):
        with pytest.raises(DataError, match=r"pixels from .*found .*scale them as the training"):
            layout.stored(far)
    with pytest.raises(DataError, match="pixels from 0 to 1,"):
        learn_layout(x / 16, None).stored(np.rint(x * 15))
    # The range is that of all examples of the fit, labelled or not.
    assert learn_layout(x, None, 10 * x).high == 10 * x.max()
    # In a sparse matrix the pixels that are left out are 0.
    flat = sparse.csr_matrix(np.where(x > 8, x, 0).reshape(50, 64))
    assert learn_layout(flat, (8, 8)).stored(flat).min() == 0.0
    holes = np.full((2, 8, 8), 300.0)
    holes[0] = np.nan
    with pytest.raises(DataError, match=r"pixels in 0\.\.255"):
        learn_layout(np.zeros((2, 8, 8), np.uint8), None).stored(holes)


def test_features_far_from_zero_keep_their_digits() -> None:
    near = RNG.normal(size=(200, 3))
    x = near + np.array([1.7e9, 0, -3e8])
    layout = learn_layout(x, None)
    made = layout.stored(x)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made - made.mean(0), near - near.mean(0), atol=1e-5)
    np.testing.assert_allclose(layout.original(made), x, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(learn_layout(x[::-1], None).stored(x), made)
    whole = np.arange(1_700_000_000, 1_700_000_200)[:, None]
    assert len(np.unique(learn_layout(whole, None).stored(whole))) == 200
    assert learn_layout(near, None).shift == () == learn_layout(np.full((5, 2), 7.0), None).shift


def test_digests_are_of_contents() -> None:
    x = RNG.normal(size=(6, 5)).astype(np.float32)
    x[x < 0] = 0
    assert len(set(digests(x).tolist())) == 6
    np.testing.assert_array_equal(digests(x)[::-1], digests(x[::-1]))
    one = sparse.csr_matrix(x)
    other = one.copy()
    other.data = np.append(other.data, 0).astype(np.float32)  # a stored zero
    other.indices = np.append(other.indices, 4).astype(other.indices.dtype)
    other.indptr[-1] += 1
    np.testing.assert_array_equal(digests(one), digests(other))


def test_images_of_0_and_1_are_white_on_black_in_any_type() -> None:
    x = np.random.default_rng(0).integers(0, 2, (9, 8, 8))
    for kind in (bool, np.uint8, int, float):
        layout = learn_layout(x.astype(kind), None)
        assert layout.stored(x.astype(kind)).max() == 1 and not layout.scales
    bytes_ = learn_layout((x * 255).astype(np.uint8), None)
    assert bytes_.stored(x.astype(bool)).max() == 255
    with pytest.warns(UserWarning, match="are they in other units"):
        bytes_.stored(x.astype(float))
