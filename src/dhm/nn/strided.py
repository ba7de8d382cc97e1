"""The small network with a fifth of its multiplications: strided convolutions, batch normalised.

For training with few labels, where every step takes several passes and what there is to gain comes
from more of them.
"""

from functools import partial
from math import ceil, prod

import torch
from torch import nn

from dhm.nn import small
from dhm.nn.batch_norm import BatchNorm
from dhm.nn.small import N_FEATURES, WIDTH, mlp

__all__ = ["cnn", "hybrid", "mlp"]


class Trunk(nn.Sequential):
    """256 features of x: convolutions with strides to 5x5 or less, one dense layer.

    The first convolution is 5x5 with stride 3 (`first`), or 3x3 where images are small or a strip
    narrower than that leaves room for; those that follow are 3x3 with stride 2. Two dense layers
    for vectors. Batch normalisation after each.
    """

    def __init__(self, shape: tuple[int, ...], first: int = 3) -> None:
        if len(shape) == 1:
            super().__init__(*_dense(shape[0]), *_dense(N_FEATURES))
            return
        n_in, *sides = shape
        kernel, stride = (5, first) if max(sides) >= 20 and min(sides) >= 3 else (3, 1)
        layers = _convolution(n_in, WIDTH, kernel, stride)
        sides = [(side + 2 - kernel) // stride + 1 for side in sides]
        n_in = WIDTH
        while n_in == WIDTH or max(sides) > 5:
            layers += _convolution(n_in, 2 * WIDTH, 3, 2)
            sides = [ceil(side / 2) for side in sides]
            n_in = 2 * WIDTH
        super().__init__(*layers, nn.Flatten(), *_dense(n_in * prod(sides)))
        # Channels beside each other in memory: a step on a CPU takes a fifth less.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _convolution(n_in: int, n_out: int, kernel: int, stride: int) -> list[nn.Module]:
    layer = nn.Conv2d(n_in, n_out, kernel, stride, padding=1, bias=False)
    return [layer, BatchNorm(n_out, scale=True), nn.ReLU()]


def _dense(n_in: int) -> list[nn.Module]:
    layer = nn.Linear(n_in, N_FEATURES, bias=False)
    return [layer, BatchNorm(N_FEATURES, scale=True), nn.ReLU()]


hybrid = partial(small.hybrid, trunk=Trunk)
cnn = partial(small.cnn, trunk=Trunk)
