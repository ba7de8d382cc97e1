"""The small network with strides in place of pools, which is less work, and batch normalisation.

For training with few labels, where every step takes several passes and most of what there is to
gain comes from more of them.
"""

from functools import partial
from itertools import pairwise
from math import ceil, log2

from torch import nn

from dhm.nn import small
from dhm.nn.batch_norm import BatchNorm
from dhm.nn.small import N_FEATURES, WIDTH, mlp

__all__ = ["cnn", "hybrid", "mlp"]


class Trunk(nn.Sequential):
    """256 features of x: 3x3 convolutions with strides to about 7x7, one dense layer.

    Two dense layers for vectors. Batch normalisation after each.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        if len(shape) == 1:
            super().__init__(*_dense(shape[0]), *_dense(N_FEATURES))
            return
        n_in, height, width = shape
        n_strides = max(0, ceil(log2(max(height, width) / 7)))
        widths = [n_in, WIDTH] + [2 * WIDTH] * max(2, n_strides - 1)
        layers: list[nn.Module] = []
        for i, (n_from, n_to) in enumerate(pairwise(widths)):
            stride = 2 if i < n_strides else 1
            height, width = ceil(height / stride), ceil(width / stride)
            convolution = nn.Conv2d(n_from, n_to, 3, stride, padding=1, bias=False)
            layers += [convolution, BatchNorm(n_to, scale=True), nn.ReLU()]
        super().__init__(*layers, nn.Flatten(), *_dense(widths[-1] * height * width))


def _dense(n_in: int) -> list[nn.Module]:
    layer = nn.Linear(n_in, N_FEATURES, bias=False)
    return [layer, BatchNorm(N_FEATURES, scale=True), nn.ReLU()]


hybrid = partial(small.hybrid, trunk=Trunk)
cnn = partial(small.cnn, trunk=Trunk)
