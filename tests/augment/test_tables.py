"""Augmentation of tables: the noise and the share of replaced features that it says."""

import torch

from dhm.augment.tables import TableAugmentation


def test_without_noise_and_replacement_nothing_changes() -> None:
    u = torch.randn(5, 3)
    still = TableAugmentation(0.0, 0.0, 0.0)
    assert torch.equal(still.weak(u), u) and torch.equal(still.strong(u), u)


def test_noise_has_the_deviation_it_says() -> None:
    u = torch.randn(500, 40)
    augmentation = TableAugmentation(replaced=0.0)
    for copies, deviation in ((augmentation.weak(u), 0.05), (augmentation.strong(u), 0.2)):
        noise = copies - u
        assert abs(noise.std() / deviation - 1) < 0.05 and noise.mean().abs() < 0.05 * deviation


def test_replaced_features_are_those_of_other_rows() -> None:
    u = torch.arange(200.0 * 30).view(200, 30)
    copies = TableAugmentation(strong_noise=0.0).strong(u)
    replaced = copies != u
    assert 0.18 < replaced.float().mean() < 0.22
    assert torch.equal(copies % 30, u % 30), "from the same column"
    rows = copies.div(30, rounding_mode="floor")
    assert max(len(row[r].unique()) for row, r in zip(rows, replaced, strict=True)) > 3


def test_the_seed_decides() -> None:
    u = torch.randn(5, 3)
    for make in (TableAugmentation().weak, TableAugmentation().strong):
        copies = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            copies.append(make(u))
        assert torch.equal(copies[0], copies[1]) and not torch.equal(copies[0], copies[2])
