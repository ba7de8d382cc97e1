"""Holes that training makes: how many, how large, and where."""

import pytest
import torch

from dhm.augment.hiding import random_holes

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(3, 16, 20), (40,)])
@pytest.mark.parametrize("most", [0.3, 1.0])
def test_half_of_the_examples_lose_a_uniform_share(shape: tuple[int, ...], most: float) -> None:
    torch.manual_seed(0)
    n = 4000
    holes = random_holes(torch.Size((n, *shape)), most, CPU)
    assert holes.shape == (n, *((1, *shape[1:]) if len(shape) == 3 else shape))
    shares = holes.flatten(1).float().mean(1)
    assert (shares == 0).float().mean().item() == pytest.approx(0.5, abs=0.06)
    # The mean of half the examples at a uniform share; rectangles have whole pixels as sides.
    assert shares.mean().item() == pytest.approx(most / 4, abs=0.02)
    assert shares.max() > 0.8 * most
    assert not random_holes(torch.Size((n, *shape)), 0.0, CPU).any()


def test_images_lose_scattered_pixels_or_rectangles() -> None:
    torch.manual_seed(0)
    holes = random_holes(torch.Size((2000, 1, 16, 20)), 0.9, CPU)[:, 0]
    holes = holes[holes.flatten(1).any(1)]
    # A rectangle is the product of the rows and the columns that it covers.
    rows, columns = holes.any(2), holes.any(1)
    rectangles = (holes == (rows[:, :, None] & columns[:, None, :])).all(2).all(1)
    assert rectangles.float().mean().item() == pytest.approx(0.5, abs=0.06)
    at_the_border = rows[rectangles][:, 0] | rows[rectangles][:, -1]
    assert at_the_border.float().mean() > 0.45
