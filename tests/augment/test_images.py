"""Image augmentation: exact at its ends, known where it can be known, seeded."""

import time
from dataclasses import replace
from itertools import product
from math import log

import pytest
import torch
from torch import Tensor

from dhm.augment.base import NoAugmentation
from dhm.augment.images import ImageAugmentation
from dhm.augment.registry import make_augmentation
from dhm.augment.tables import TableAugmentation
from dhm.data import load
from dhm.data.sources import SOURCES
from dhm.errors import ConfigError

STILL = ImageAugmentation(
    **dict.fromkeys(("shift", "rotation", "log_scale", "shear", "translation"), 0.0),
    **dict.fromkeys(("log_contrast", "brightness", "cutout"), 0.0),
)
SHAPES = [(4, 1, 28, 28), (4, 3, 9, 14), (4, 1, 1, 1), (1, 3, 32, 32)]


def images(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("shape", "scene"), [*product(SHAPES, (False, True))])
def test_without_any_range_nothing_changes(shape: tuple[int, ...], scene: bool) -> None:
    u, still = images(shape), replace(STILL, scene=scene)
    assert torch.equal(still.weak(u), u)
    torch.testing.assert_close(still.strong(u), u, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("shape", "scene"), [*product(SHAPES, (False, True))])
def test_copies_are_images_and_depend_on_the_seed_alone(
    shape: tuple[int, ...], scene: bool
) -> None:
    u, augmentation = images(shape), ImageAugmentation(scene=scene, mirror=True)
    for make in (augmentation.weak, augmentation.strong):
        copies = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            copies.append(make(u))
        assert copies[0].shape == u.shape and copies[0].min() >= 0 and copies[0].max() <= 1
        assert torch.equal(copies[0], copies[1])
        assert u.numel() <= 4 or not torch.equal(copies[0], copies[2])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("scene", [False, True])
def test_a_weak_copy_is_a_translation_by_whole_pixels(scene: bool, mirror: bool) -> None:
    u = images((400, 2, 28, 28))
    torch.manual_seed(0)
    weak = ImageAugmentation(scene=scene, mirror=mirror).weak(u)
    padded = torch.nn.functional.pad(u, (2, 2, 2, 2), mode="reflect" if scene else "constant")
    seen = set()
    for one, copy in zip(padded, weak, strict=True):
        sides = {False: one, True: one.flip(2)}
        matches = [
            (side, i, j)
            for side, i, j in product(sides, range(5), range(5))
            if torch.equal(sides[side][:, i : i + 28, j : j + 28], copy)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == (50 if mirror else 25), "every shift of at most 2 pixels"
    side_8 = ImageAugmentation().weak(torch.ones(200, 1, 8, 8)).sum(3).amax(2)
    assert side_8.min() == 7, "at most 1 pixel at 8"


def test_a_known_translation_moves_a_pixel_there() -> None:
    """At most a quarter of the side: of a dot in the middle of 9x9, 2 pixels of blur included."""
    u = torch.zeros(500, 1, 9, 9)
    u[:, :, 4, 4] = 1
    moved = replace(STILL, translation=2 / 9).strong(u)
    rows = (moved.sum((1, 3)) * torch.arange(9)).sum(1) / moved.sum((1, 2, 3))
    torch.testing.assert_close(moved.sum((1, 2, 3)), torch.ones(500))
    assert 1.95 < (rows - 4).abs().max() <= 2.0001
    assert (rows - 4).mean().abs() < 0.2


def test_a_quarter_turn_turns_the_pixels_of_any_rectangle(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every draw at its upper end, a rotation of 90 degrees maps the grid onto itself."""
    monkeypatch.setattr(torch, "rand", lambda *size, device: torch.ones(size))
    u = torch.zeros(1, 1, 5, 9)
    u[0, 0, 2, 4], u[0, 0, 2, 6] = 1.0, 0.5
    turned = replace(STILL, rotation=90.0).strong(u)
    assert turned[0, 0, 2, 4] == pytest.approx(1, abs=1e-4)
    other = {tuple(place) for place in (turned[0, 0] > 0.4).nonzero().tolist()} - {(2, 4)}
    assert other == {(0, 4)} or other == {(4, 4)}, "two pixels away, now in the column"


@pytest.mark.parametrize(("log_scale", "shear"), [(log(2), 0.0), (0.0, 0.5)])
def test_magnification_and_shear(
    log_scale: float, shear: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every draw at its upper end; where the pixels of a dot's row and column come from."""
    monkeypatch.setattr(torch, "rand", lambda *size, device: torch.ones(size))
    dot = torch.zeros(1, 1, 9, 9)
    dot[0, 0, 2, 4], dot[0, 0, 4, 2] = 1.0, 0.5  # two above and two left of the middle
    seen = replace(STILL, log_scale=log_scale, shear=shear).strong(dot)[0, 0]
    places = {place: dot_ for place, dot_ in (((0, 4), 1.0), ((4, 0), 0.5))}
    if shear:  # a row moves by half its distance from the middle row
        places = {(2, 5): 1.0, (4, 2): 0.5}
    for place, value in places.items():
        assert seen[place] == pytest.approx(value, abs=1e-4)


def test_mirrors_only_where_told() -> None:
    u = torch.zeros(300, 1, 9, 9)
    u[:, :, :, :4] = 1
    for mirror in (False, True):
        augmentation = replace(STILL, mirror=mirror)
        for copies in (augmentation.weak(u), augmentation.strong(u)):
            right = copies[:, 0, 4, 8] > 0.5
            torch.testing.assert_close(copies[~right], u[~right], atol=1e-5, rtol=0)
            torch.testing.assert_close(copies[right], u[right].flip(3), atol=1e-5, rtol=0)
            assert 100 < right.sum() < 200 if mirror else not right.any()


@pytest.mark.parametrize("scene", [False, True])
def test_cutout_is_one_square(scene: bool) -> None:
    u = torch.ones(500, 2, 12, 12)
    cut = replace(STILL, cutout=1 / 3, scene=scene).strong(u)
    gone = cut < 0.9
    assert (cut[gone] == (0.5 if scene else 0.0)).all()
    assert torch.equal(gone[:, 0], gone[:, 1])
    rows, columns = gone[:, 0].any(2).sum(1), gone[:, 0].any(1).sum(1)
    assert torch.equal(gone[:, 0].sum((1, 2)), rows * columns)
    assert rows.max() == columns.max() == 4 and rows.min() >= 2


def test_contrast_and_brightness() -> None:
    u = torch.full((400, 1, 4, 4), 0.5)
    u[:, :, :2] = 0.4
    bright = replace(STILL, brightness=0.1).strong(u)
    change = bright - u
    torch.testing.assert_close(change, change[:, :, :1, :1].expand_as(u), atol=1e-5, rtol=0)
    assert 0.09 < change.max() <= 0.1001 and -0.1001 <= change.min() < -0.09
    sharp = replace(STILL, log_contrast=0.4).strong(u)
    torch.testing.assert_close(sharp.mean((1, 2, 3)), torch.full((400,), 0.45))
    factor = (sharp[:, 0, 3, 0] - sharp[:, 0, 0, 0]) / 0.1
    assert torch.tensor(0.4).exp() * 0.97 < factor.max() <= torch.tensor(0.4).exp() * 1.001
    assert torch.tensor(-0.4).exp() * 0.999 <= factor.min() < torch.tensor(-0.4).exp() * 1.03


def test_only_clothes_and_photographs_may_be_mirrored() -> None:
    assert {n for n, s in SOURCES.items() if s.symmetric} == {"fashion-mnist", "cifar10"}


def test_auto_suits_the_data() -> None:
    digits = load("digits")
    assert make_augmentation("auto", digits.shape, digits.symmetric) == ImageAugmentation()
    assert make_augmentation("auto", (3, 32, 32), True) == ImageAugmentation(
        mirror=True, scene=True, cutout=1 / 3
    )
    assert make_augmentation("auto", (1, 28, 28), True).cutout, "clothes, unlike writing"
    assert make_augmentation("auto", (6,)) == TableAugmentation()
    u = images((4, 1, 8, 8))
    none = make_augmentation("none", (1, 8, 8))
    assert isinstance(none, NoAugmentation) and none.weak(u) is none.strong(u) is u
    for name, shape in (("image", (6,)), ("table", (1, 8, 8))):
        with pytest.raises(ConfigError, match=f"--augment {name} cannot be used on examples"):
            make_augmentation(name, shape)


def test_a_batch_takes_milliseconds() -> None:
    """Some 11 ms on a core of 2020 for 512 images; ten times that on a busy machine."""
    u, augmentation = images((512, 1, 28, 28)), ImageAugmentation()
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        augmentation.strong(u)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.1


def test_strong_copies_take_what_is_missing_for_cut_out() -> None:
    """One missing pixel must not make the whole image one, by the mean that contrast is about."""
    images = torch.rand(20, 1, 12, 12)
    images[:, :, :6] = torch.nan
    for make in (ImageAugmentation(cutout=0.3), ImageAugmentation(mirror=True, scene=True)):
        assert make.strong(images).isfinite().all()
        assert make.weak(images).isnan().any(), "weak copies keep what is missing"


def test_nothing_is_missing_beyond_the_border() -> None:
    u = torch.full((50, 1, 28, 28), torch.nan)
    weak = ImageAugmentation().weak(u)
    assert (weak == 0).any() and set(weak[~weak.isnan()].tolist()) == {0.0}
