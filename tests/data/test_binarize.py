"""Fixed draws of black and white images: their mean, their seed, their types."""

from pathlib import Path

import numpy as np
import pytest

from dhm.data import Examples
from dhm.data import binarize as module
from dhm.data.binarize import binarized
from dhm.errors import ConfigError

LEVELS = np.arange(256, dtype=np.uint8)


def images(n: int = 400, dtype: str = "uint8") -> Examples:
    """Every image has all 256 grey levels."""
    x = np.broadcast_to(LEVELS.reshape(1, 1, 16, 16), (n, 1, 16, 16))
    x = x.copy() if dtype == "uint8" else (x / 255).astype(dtype)
    return Examples(x, np.zeros(n, np.int64))


@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("float32", 1)])
def test_pixels_are_white_as_often_as_their_grey_level_says(dtype: str, white: int) -> None:
    grey = images(dtype=dtype)
    drawn = binarized(grey, 0)
    assert drawn.x.dtype == grey.x.dtype and set(np.unique(drawn.x)) == {0, white}
    share = (drawn.x == white).mean(0).ravel()
    p = LEVELS / 255
    assert share[0] == 0 and share[-1] == 1, "black and white are certain"
    deviations = (share - p)[1:-1] / np.sqrt(p * (1 - p) / len(grey))[1:-1]
    assert np.abs(deviations).max() < 5 and deviations.std() == pytest.approx(1, abs=0.2)
    assert grey.x.max() == white and len(np.unique(grey.x)) == 256, "the grey ones are kept"


def test_a_seed_is_a_draw_and_what_is_drawn_stays() -> None:
    drawn = binarized(images(), 3)
    assert np.array_equal(binarized(images(), 3).x, drawn.x)
    assert not np.array_equal(binarized(images(), 4).x, drawn.x)
    assert np.array_equal(binarized(drawn, 5).x, drawn.x)
    assert not np.array_equal(drawn.x[0], drawn.x[1]), "each image has a draw of its own"


def test_missing_pixels_stay_missing_and_weights_and_labels_stay() -> None:
    grey = images(dtype="float32")
    grey.x[:, :, 3] = np.nan
    y = np.arange(len(grey))
    drawn = binarized(Examples(grey.x, y, np.ones(len(y))), 0)
    assert np.array_equal(np.isnan(drawn.x), np.isnan(grey.x))
    assert drawn.y is y and drawn.weight is not None


def test_memory_mapped_images_give_the_same_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    grey = images(20)
    np.save(tmp_path / "x.npy", grey.x)
    mapped = Examples(np.load(tmp_path / "x.npy", mmap_mode="r"), grey.y)
    order = np.arange(20)[::-1]
    rows = mapped.take(order)
    assert np.array_equal(binarized(rows, 0).x, binarized(grey.take(order), 0).x)


def test_vectors_are_refused() -> None:
    with pytest.raises(ConfigError, match="--binarize draws the pixels of images, found vectors"):
        binarized(Examples(np.zeros((3, 4), np.float32), np.zeros(3, np.int64)), 0)
