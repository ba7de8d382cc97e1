"""Grids pixel by pixel, and what the plots say and survive."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from dhm.errors import DataError, RunError
from dhm.evaluation._curves import curves_figure
from dhm.evaluation._features import feature_figure
from dhm.evaluation.pictures import (
    dataset_picture,
    image_grid,
    learning_curves,
    reconstruction_grid,
    save_image,
)

GREY = 128


def pixels(path: Path) -> NDArray[Any]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


# ---- image_grid


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 13),
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    columns=st.none() | st.integers(1, 15),
    pad=st.integers(0, 3),
)
def test_every_image_is_in_its_cell(
    n: int, channels: int, size: tuple[int, int], columns: int | None, pad: int
) -> None:
    height, width = size
    images = np.random.default_rng(0).integers(0, 256, (n, channels, height, width), np.uint8)
    grid = image_grid(images, columns, pad)
    assert grid.dtype == np.uint8
    assert grid.ndim == (2 if channels == 1 else 3)
    across = (grid.shape[1] - pad) // (width + pad)
    if columns is not None:
        assert across == min(n, columns)
    assert grid.shape[0] == math.ceil(n / across) * (height + pad) + pad
    rest = np.ones(grid.shape[:2], bool)
    for i, image in enumerate(images):
        top, left = (pad + (i // across) * (height + pad)), (pad + (i % across) * (width + pad))
        cell = (slice(top, top + height), slice(left, left + width))
        expected = image[0] if channels == 1 else image.transpose(1, 2, 0)
        np.testing.assert_array_equal(grid[cell], expected)
        rest[cell] = False
    assert (grid[rest] == GREY).all()


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (10, 5), (16, 4), (50, 10), (13, 4), (100, 10)])
def test_columns_by_default_fill_the_rows_where_they_can(n: int, columns: int) -> None:
    assert image_grid(np.zeros((n, 1, 1, 1)), pad=0).shape[1] == columns


def test_floats_are_rounded_and_clipped_and_nan_is_grey() -> None:
    values = np.array([0, 1, 0.2, 0.499 / 255, -3, 7, np.inf, -np.inf, np.nan], np.float32)
    grid = image_grid(values.reshape(-1, 1, 1, 1), columns=9, pad=0)
    assert grid.tolist() == [[0, 255, 51, 0, 0, 255, 255, 0, GREY]]


def test_uint8_and_its_float_version_are_the_same_picture() -> None:
    x = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    np.testing.assert_array_equal(image_grid(x), image_grid(x / np.float32(255)))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 1, 2, 2)),
        np.zeros((2, 2, 2)),
        np.zeros((2, 4, 2, 2)),
        np.zeros((2, 1, 2, 2), dtype=np.int64),
    ],
)
def test_what_is_not_images_is_refused(images: NDArray[Any]) -> None:
    with pytest.raises(DataError, match="expected"):
        image_grid(images)


@pytest.mark.parametrize(("columns", "pad"), [(0, 1), (-1, 1), (1, -1)])
def test_grids_that_cannot_be_are_refused(columns: int, pad: int) -> None:
    with pytest.raises(DataError, match="columns >= 1 and pad >= 0"):
        image_grid(np.zeros((2, 1, 2, 2)), columns, pad)


# ---- reconstruction_grid


def test_reconstructions_are_below_their_originals() -> None:
    x = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1) * 10
    grid = reconstruction_grid(x, x + 1, columns=3)
    # Frame of 4, a pair of rows with one grey line between, 4, the next pair, frame of 4.
    assert grid.shape == (3 * 4 + 2 * 3, 4 * 4 + 3)
    assert grid[[4, 6, 11, 13]][:, [4, 9, 14]].tolist() == [
        [0, 10, 20],
        [1, 11, 21],
        [30, 40, 50],
        [31, 41, 51],
    ]
    assert (grid[5] == GREY).all()


def test_reconstructions_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match="expected a reconstruction of shape"):
        reconstruction_grid(np.zeros((2, 1, 2, 2)), np.zeros((2, 1, 2, 3)))


# ---- save_image


@pytest.mark.parametrize("shape", [(8, 30), (8, 30, 3), (500, 450)])
def test_saved_picture_is_the_array_magnified(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    save_image(array, tmp_path / "new" / "picture")
    saved = pixels(tmp_path / "new" / "picture")
    factor = 14 if shape[1] == 30 else 1
    assert saved.shape[:2] == (factor * shape[0], factor * shape[1])
    assert saved.shape[1] >= 400
    np.testing.assert_array_equal(saved[::factor, ::factor], array)
    np.testing.assert_array_equal(saved[factor - 1 :: factor, factor - 1 :: factor], array)


def test_a_tall_picture_is_not_magnified_without_end(tmp_path: Path) -> None:
    save_image(np.zeros((1500, 10), np.uint8), tmp_path / "tall.png")
    assert pixels(tmp_path / "tall.png").shape == (3000, 20)


def test_only_the_picture_is_left_and_an_old_one_replaced(tmp_path: Path) -> None:
    for value in (0, 255):
        save_image(np.full((4, 4), value, np.uint8), tmp_path / "a.png")
        assert (pixels(tmp_path / "a.png") == value).all()
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_failed_write_keeps_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    save_image(np.zeros((4, 4), np.uint8), path)
    before = path.read_bytes()

    def write_half(self: Image.Image, file: Path, format: str) -> None:
        file.write_bytes(b"half a pic")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", write_half)
    with pytest.raises(RunError, match=r"cannot write .*a\.png: No space left on device"):
        save_image(np.zeros((4, 4), np.uint8), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write"):
        save_image(np.zeros((4, 4), np.uint8), tmp_path / "file" / "a.png")


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_what_is_not_a_picture_is_not_saved(tmp_path: Path, array: NDArray[Any]) -> None:
    with pytest.raises(DataError, match="expected a uint8 picture"):
        save_image(array, tmp_path / "a.png")


# ---- learning_curves


def rows(epochs: int) -> list[dict[str, float | None]]:
    return [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "lr": 3e-4,
            "train_loss": 100 / epoch,
            "train_nll_y": 1 / epoch,
            "train_kl": 20.0,
            "train_error": 0.5 / epoch,
            "val_error": 0.6 / epoch if epoch % 2 == 0 else None,
            "val_nll": 2 / epoch if epoch % 2 == 0 else None,
            "val_ece": None,
            "seconds": 3.0,
            "examples_per_second": 1e4,
        }
        for epoch in range(1, epochs + 1)
    ]


def drawn(metrics: list[dict[str, float | None]]) -> dict[str, dict[str, list[list[float]]]]:
    """Title of the panel -> name of the line -> [x, y]."""
    return {
        axes.get_title(loc="left"): {
            str(line.get_label()): [list(data) for data in line.get_data()]
            for line in axes.get_lines()
        }
        for axes in curves_figure(metrics, "").axes
        if axes.get_lines()
    }


def test_panels_join_splits_and_leave_out_counters_and_empty_columns() -> None:
    panels = drawn(rows(4))
    assert list(panels) == ["loss", "error", "nll (nats)", "kl", "learning rate"]
    assert panels["error"] == {
        "training": [[1, 2, 3, 4], [0.5, 0.25, 0.5 / 3, 0.125]],
        "validation": [[2, 4], [0.3, 0.15]],
    }
    assert set(panels["nll (nats)"]) == {"training", "validation"}


def test_two_columns_never_become_one_line() -> None:
    panels = drawn([{"epoch": 1, "train_nll": 1.0, "train_nll_y": 2.0}])
    assert panels["nll (nats)"]["training"][1] == [1.0]
    assert panels["nll_y"]["training"][1] == [2.0]


def test_lines_break_where_a_value_is_not_finite_and_a_note_counts_them() -> None:
    metrics = rows(5)
    metrics[1]["train_loss"] = math.nan
    metrics[2]["train_loss"] = math.inf
    (loss,) = drawn(metrics)["loss"].values()
    assert np.isnan(loss[1]).tolist() == [False, True, True, False, False]
    assert curves_figure(metrics, "").axes[0].get_title(loc="right") == "2 not finite"


@pytest.mark.parametrize(
    "metrics",
    [
        rows(1),
        rows(40),
        [{"epoch": 1, "train_loss": math.nan, "val_error": math.inf}],
        [{"train_loss": 1.0}, {"val_error": 0.0}],  # neither epoch nor the same columns
        [{"epoch": 3, "train_" + 20 * "long_": 1e-30, "val_x": -1e30, "weight": 0.0, "train_": 1}],
    ],
    ids=["one epoch", "many", "nothing finite", "ragged", "odd names and values"],
)
def test_any_metrics_make_a_picture(tmp_path: Path, metrics: list[dict[str, float | None]]) -> None:
    learning_curves(metrics, tmp_path / "runs" / "curves.png", title=30 * "a long title ")
    assert pixels(tmp_path / "runs" / "curves.png").std() > 0
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["curves.png"]


@pytest.mark.parametrize("metrics", [[], [{"epoch": 1.0, "seconds": 2.0, "val_error": None}]])
def test_nothing_to_draw_is_an_error(
    tmp_path: Path, metrics: list[dict[str, float | None]]
) -> None:
    with pytest.raises(DataError, match="no measure to draw"):
        learning_curves(metrics, tmp_path / "curves.png")


# ---- dataset_picture


def test_picture_of_images_shows_each_class_in_its_row(tmp_path: Path) -> None:
    # Class 0 is black, class 1 white; unlabelled ones are three quarters white.
    y = np.array([1, 0, -1, 1, 0, 1, 1])
    x = np.array([0, 1, 0.75])[y][:, None, None, None] * np.ones((1, 8, 8))
    dataset_picture(x, y, ["black", "white", "never seen"], tmp_path / "data.png", per_class=3)
    picture = pixels(tmp_path / "data.png")[:, :, 0]
    # The grid is 3 by 3 images of 8 pixels with 2 between, magnified 400 / 32 = 13 times.
    factor, pitch = 13, 10
    grid = picture[10 : 10 + 32 * factor, -10 - 32 * factor : -10]
    middles = (np.arange(3) * pitch + 6) * factor
    assert grid[np.ix_(middles, middles)].tolist() == [
        [0, 0, GREY],
        [255, 255, 255],
        [191, GREY, GREY],
    ]
    # Nothing but whole squares of one value.
    np.testing.assert_array_equal(
        grid, grid[::factor, ::factor].repeat(factor, axis=0).repeat(factor, axis=1)
    )


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 900), (1, 600, 1)])
def test_picture_of_many_classes_with_long_names(tmp_path: Path, shape: tuple[int, ...]) -> None:
    y = np.arange(100) % 50
    x = np.random.default_rng(0).integers(0, 256, (100, *shape), np.uint8)
    dataset_picture(x, y, [f"{20 * 'long '}{i}" for i in range(50)], tmp_path / "data.png")
    height, width = pixels(tmp_path / "data.png").shape[:2]
    assert 100 < width < 5000
    assert 100 < height < 15000  # 600 rows of pixels a class are not made fewer


def test_picture_of_vectors_shows_the_means_of_the_classes() -> None:
    # Feature 0 tells the classes apart, 1 does not, 2 is constant, 3 is mostly missing.
    x = np.array([[-1, 5, 7, np.nan], [-1, 9, 7, np.nan], [1, 5, 7, 3], [1, 9, 7, np.nan]])
    figure = feature_figure(x, np.array([0, 0, 1, 1]), ["low", "high"])
    means = next(axes for axes in figure.axes if axes.get_title() == "mean of each class")
    np.testing.assert_allclose(means.images[0].get_array(), [[-1, 0, 0, 0], [1, 0, 0, 0]])
    assert [tick.get_text() for tick in means.get_yticklabels()] == ["low (2)", "high (2)"]


def test_picture_of_vectors_chooses_the_features_that_differ() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 400)
    x = generator.normal(size=(400, 500))
    x[:, 100:164] += 3 * y[:, None]
    figure = feature_figure(x, y, ["a", "b"])
    ticks = [int(tick.get_text()) for tick in figure.axes[0].get_xticklabels()]
    assert (ticks[0], ticks[-1]) == (100, 163)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.ones((3, 2)), np.array([0, 1, 0])),
        (np.full((3, 2), np.nan), np.array([0, 1, -1])),
        (np.random.default_rng(0).normal(size=(1, 100)), np.array([-1])),
        (np.random.default_rng(0).normal(1e9, 1, size=(20_000, 3)), np.arange(20_000) % 2),
        (scipy.sparse.random(50, 3000, 0.01, "csr", random_state=0), np.arange(50) % 2),
    ],
    ids=["constant", "all missing", "one unlabelled", "many", "sparse"],
)
def test_any_vectors_make_a_picture(tmp_path: Path, x: Any, y: NDArray[np.int64]) -> None:
    dataset_picture(x, y, ["a", "b"], tmp_path / "data.png")
    assert pixels(tmp_path / "data.png").std() > 0


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "at least one example"),
        (np.zeros((2, 2)), np.array([0]), "and 1 labels"),
        (np.zeros((2, 2, 2)), np.array([0, 1]), "as .N, C, H, W. or .N, D."),
        (np.zeros((2, 2)), np.array([0, 2]), r"labels in \[0, 2\)"),
        (np.zeros((2, 2)), np.array([0, -2]), "found -2 to 0"),
    ],
)
def test_senseless_data_are_refused(
    tmp_path: Path, x: NDArray[Any], y: NDArray[np.int64], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        dataset_picture(x, y, ["a", "b"], tmp_path / "data.png")


def test_drawing_libraries_are_imported_late_and_pyplot_never(tmp_path: Path) -> None:
    code = f"""
import sys
from dhm.evaluation.pictures import learning_curves
assert not {{"matplotlib", "PIL", "torch"}} & set(sys.modules)
learning_curves([{{"train_loss": 1.0}}], {str(tmp_path / "curves.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
