"""The strided networks against the small one."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dhm.nn import halving, small, strided
from dhm.nn.batch_norm import BatchNorm


def total_work(trunk: nn.Module, shape: tuple[int, ...]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trunk(torch.zeros(2, *shape))
    return counter.get_total_flops()


def test_a_fifth_of_the_multiplications_on_28_pixels() -> None:
    shape = (1, 28, 28)
    ratio = total_work(strided.Trunk(shape), shape) / total_work(small.Trunk(shape), shape)
    assert ratio == pytest.approx(1 / 5, abs=0.02)


def test_halving_is_twice_that_work_and_the_same_on_small_images() -> None:
    def ratio(shape: tuple[int, ...]) -> float:
        return total_work(halving.cnn(shape, 10), shape) / total_work(strided.cnn(shape, 10), shape)

    assert ratio((1, 28, 28)) == pytest.approx(2, abs=0.05)
    assert ratio((1, 8, 8)) == 1


def convolution_work(trunk: nn.Module, shape: tuple[int, ...]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert trunk(torch.zeros(2, *shape)).shape == (2, 256)
    counts: Any = counter.get_flop_counts()["Global"]
    return counts[torch.ops.aten.convolution]


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_its_convolutions_are_less_work(shape: tuple[int, ...]) -> None:
    work = [convolution_work(network.Trunk(shape), shape) for network in (small, strided)]
    assert work[1] < work[0]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 30), (3, 40, 2), (1, 3, 20)])
def test_strips_of_any_width(shape: tuple[int, ...]) -> None:
    assert strided.Trunk(shape)(torch.zeros(2, *shape)).shape == (2, 256)


@pytest.mark.parametrize(
    ("shape", "n_layers"), [((1, 5, 7), 3), ((1, 28, 28), 3), ((3, 64, 64), 5), ((6,), 2)]
)
def test_every_layer_is_normalised(shape: tuple[int, ...], n_layers: int) -> None:
    trunk = strided.Trunk(shape)
    weighted = [m for m in trunk if isinstance(m, nn.Conv2d | nn.Linear)]
    normalised = [m for m in trunk if isinstance(m, BatchNorm)]
    assert len(weighted) == len(normalised) == n_layers
    assert all(m.bias is None for m in weighted), "the normalisation's shift takes its place"
