"""Inputs are brought into one form, or refused with advice."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from dhm.data import check_inputs, checks, describe, from_arrays, load
from dhm.errors import DataError

BYTES = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 6), np.uint8)


def refusal(x: Any) -> str:
    with pytest.raises(DataError) as caught:
        check_inputs(x, "mine: x")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("mine: x")
    return message


def test_what_is_right_is_not_copied() -> None:
    floats = np.linspace(0, 1, 24, dtype=np.float32)
    for x in (BYTES, floats.reshape(2, 1, 3, 4), floats.reshape(6, 4)):
        assert check_inputs(x) is x


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, ">i4"])
def test_integers_become_bytes(dtype: Any) -> None:
    x = check_inputs(BYTES.astype(dtype))
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(x, BYTES)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_floats_become_float32(dtype: Any) -> None:
    images = np.linspace(0, 1, 24).reshape(2, 3, 4).astype(dtype)
    x = check_inputs(images)
    assert x.dtype == np.float32 and x.dtype.isnative and x.shape == (2, 1, 3, 4)
    np.testing.assert_allclose(x[:, 0], images.astype(float), rtol=1e-6)
    assert check_inputs(images.reshape(4, 6) * 100).dtype == np.float32


def test_booleans_become_black_and_white() -> None:
    x = check_inputs(np.array([[[True, False]]]))
    assert x.dtype == np.uint8 and x.ravel().tolist() == [255, 0]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 9, 8), (2, 1, 9, 8)),
        ((2, 9, 8, 3), (2, 3, 9, 8)),
        ((2, 9, 8, 1), (2, 1, 9, 8)),
        ((2, 3, 9, 4), (2, 3, 9, 4)),
        ((2, 4, 9, 8), (2, 4, 9, 8)),
        ((2, 5, 9, 8), (2, 5, 9, 8)),
    ],
)
def test_channels_come_first(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    found = check_inputs(x)
    assert found.shape == expected
    if len(shape) == 4 and shape != expected:
        assert found[1, 0, 7, 6] == x[1, 7, 6, 0]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.zeros((0, 3)), "empty"),
        (np.zeros((3, 0)), "empty"),
        (np.zeros(3), "found shape (3,)"),
        (np.zeros((1, 1, 1, 1, 1)), "found shape (1, 1, 1, 1, 1)"),
        (np.zeros((2, 9, 8, 9), np.uint8), "which axis"),
        (np.array([[1, None]], object), "Python objects"),
        (np.array([["a"]]), "<U1"),
        (np.zeros((2, 2), complex), "complex128"),
        ([[1, 2], [3]], "several"),
        (np.array([[0.0, np.nan], [np.inf, -np.inf]]), "found 2 infinite"),
        (np.array([[1e300, 0]]), "found 1 infinite"),
        (np.full((1, 2, 2), np.nan), "found NaN only"),
        (np.array([[[np.nan, 200.0]]]), "divide by 255"),
        (np.full((1, 2, 2), 200.0), "divide by 255"),
        (np.full((1, 2, 2), -0.5), "rescale"),
        (np.full((1, 2, 2), 1.001), "found 1.001 to 1.001"),
        (np.full((1, 2, 2), 256), "found 256 to 256"),
        (np.full((1, 2, 2), -1), "found -1 to -1"),
        (sp.csr_array(np.array([[0, np.inf]])), "found 1 infinite"),
        (sp.csr_array((0, 4)), "found shape (0, 4)"),
    ],
)
def test_what_cannot_be_used_is_refused(x: Any, expected: str) -> None:
    assert expected in refusal(x)


def test_a_fault_anywhere_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_BLOCK_BYTES", 64)
    x = np.zeros((50, 4), np.float32)
    assert check_inputs(x) is x
    x[49, 3] = np.inf
    assert "found 1 infinite" in refusal(x)


def test_missing_entries_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_BLOCK_BYTES", 64)
    table = np.arange(200, dtype=np.float32).reshape(50, 4)
    table[49] = table[0, 3] = np.nan
    assert check_inputs(table) is table
    assert (checks.value_range(table), checks.count_missing(table)) == ((0, 195), 5)
    sparse = check_inputs(sp.csr_array(table))
    assert (checks.value_range(sparse), checks.count_missing(sparse)) == ((0, 195), 5)
    image = check_inputs(np.array([[[np.nan, 1.0]]]))
    assert image.shape == (1, 1, 1, 2) and np.isnan(image[0, 0, 0, 0])


def test_large_arrays_are_looked_at_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_BLOCK_BYTES", 1000)
    for part, n in (("train", 500), ("test", 20)):
        x = np.zeros((n, 1, 6, 5), np.uint8)
        x[-1, 0, 5, 4] = 200 if part == "train" else 99
        np.save(tmp_path / f"x_{part}.npy", x)
        np.save(tmp_path / f"y_{part}.npy", np.arange(n) % 4)
    seen = []
    real = checks._blocks

    def spy(x: Any) -> Any:
        for block in real(x):
            seen.append(len(block))
            yield block

    monkeypatch.setattr(checks, "_blocks", spy)
    summary = describe(load(tmp_path))
    assert (summary["min"], summary["max"]) == (0, 200)
    assert sum(seen) == 520 and max(seen) <= 33


def test_features_that_float32_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seconds = 1.7e9 + rng.uniform(0, 60, 40)
    y = np.arange(40) % 2
    with pytest.raises(DataError, match=r"feature 1 lies from 1700000.* subtract its"):
        from_arrays(np.stack([rng.normal(size=40), seconds], 1), y)
    pd.DataFrame({"when": seconds, "label": y}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="feature 'when' lies from"):
        load(tmp_path / "x.csv")
    month = 1.7e9 + rng.uniform(0, 3e6, 40)
    nearly_constant = 0.1 + np.arange(40) * np.spacing(0.1)  # rounding, and no range
    whole = np.arange(40) + 5_000_000_000
    exact = np.arange(40) + 1_000_000  # as numbers of articles, or days
    days = 1.7e9 + 86_400.0 * y
    rounded = seconds.astype(">f4")
    for usable in (month, nearly_constant, exact, days, rounded, np.full(40, 1e30)):
        from_arrays(usable[:, None], y)
    years = np.r_[0.0, 1.7e9][:, None]
    from_arrays(seconds[:, None], y, x_unlabeled=years)
    with pytest.raises(DataError, match="feature 0"):
        from_arrays(whole[:, None], y)
    for other in (np.zeros((5, 3)), np.array([["a"]]), np.zeros((5, 4, 4))):
        with pytest.raises(DataError, match="x_unlabeled"):
            from_arrays(month[:, None], y, x_unlabeled=other)


def test_describe_is_plain_and_complete() -> None:
    import json

    y = np.array(["a", "b", "b", ""] * 6)
    x = sp.csr_array(np.arange(48.0).reshape(24, 2) + 1)
    summary = describe(from_arrays(x, y, x[:3], y[:3], x[:5], name="mine"))
    assert json.loads(json.dumps(summary)) == summary
    assert summary == {
        "name": "mine",
        "shape": [2],
        "dtype": "float32",
        "n_train": 29,
        "n_unlabeled": 11,
        "n_test": 3,
        "classes": ["a", "b"],
        "counts": {"train": {"a": 6, "b": 12}, "test": {"a": 1, "b": 2}},
        "missing": 0.0,
        "min": 1.0,
        "max": 48.0,
    }
