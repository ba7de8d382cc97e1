"""Draws of training: their mean, and that they are new each time."""

import torch

from dhm.augment.binarizing import drawn_pixels


def test_draws_are_new_and_have_the_mean() -> None:
    torch.manual_seed(0)
    u = torch.linspace(0, 1, 101).expand(4000, 1, 1, 101)
    drawn = drawn_pixels(u)
    assert drawn.dtype == u.dtype and set(drawn.unique().tolist()) == {0, 1}
    share = drawn.mean(0).squeeze()
    assert share[0] == 0 and share[-1] == 1
    deviations = ((share - u[0, 0, 0]) / (u * (1 - u) / 4000)[0, 0, 0].sqrt())[1:-1]
    assert deviations.abs().max() < 5
    assert not torch.equal(drawn_pixels(u), drawn)


def test_missing_pixels_stay_missing() -> None:
    u = torch.tensor([0.5, torch.nan, 1.0])
    assert drawn_pixels(u).isnan().tolist() == [False, True, False]
