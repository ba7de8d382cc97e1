"""The parts of an implicit hybrid, critic, generator and encoder, and what they are built from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dhm.nn.batch_norm import BatchNorm

Size = tuple[int, int]


class Judgement(NamedTuple):
    """What a critic makes of B pairs (x, z)."""

    features: Tensor
    """(B, F), its last hidden layer."""
    logits: Tensor
    """(B, n_classes)."""


class Critic(nn.Module):
    """K logits of a pair (x, z): features of each, joined, and a linear layer."""

    def __init__(self, x: nn.Module, z: nn.Module, joint: nn.Module, logits: nn.Module) -> None:
        super().__init__()
        self.x, self.z, self.joint, self.logits = x, z, joint, logits

    def join(self, from_x: Tensor, z: Tensor) -> Judgement:
        """The judgement of pairs of which the features of x, `self.x(x)`, are known already."""
        features = self.joint(torch.cat([from_x, self.z(z)], 1))
        return Judgement(features, self.logits(features))

    def forward(self, x: Tensor, z: Tensor) -> Judgement:
        """(B, *shape), (B, n_latent) -> the judgement of each pair."""
        return self.join(self.x(x), z)


@dataclass(frozen=True)
class ImplicitParts:
    """One network's parts; x is a network input, with pixels in [0, 1], and z lies in [0, 1]."""

    critic: Critic
    """(x, z) -> `Judgement`."""
    generator: nn.Module
    """z -> x."""
    encoder: nn.Module
    """x -> z."""


def halvings(height: int, width: int, times: int) -> list[Size]:
    """The sizes of an image before, between and after layers of stride 2.

    Example:
        >>> halvings(28, 9, 3)
        [(28, 9), (14, 5), (7, 3), (4, 2)]
    """
    sizes = [(height, width)]
    for _ in range(times):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def upsampling(
    n_in: int, n_out: int, kernel: int, size: Size, *, bias: bool = False
) -> nn.ConvTranspose2d:
    """A transposed convolution of stride 2 onto an image of this size, from one of half of it.

    An odd side is made from its half rounded up, so nothing is computed that is cut off after.
    """
    return nn.ConvTranspose2d(
        n_in,
        n_out,
        kernel,
        stride=2,
        padding=kernel // 2,
        output_padding=(1 - size[0] % 2, 1 - size[1] % 2),
        bias=bias,
    )


def normalized(layer: nn.Module, n: int, activation: nn.Module) -> Iterator[nn.Module]:
    """A layer of n units, batch normalisation and activation, in this order."""
    yield from (layer, BatchNorm(n), activation)


def leaky() -> nn.Module:
    """The implicit networks' leaky ReLU."""
    # In place: no layer in front of it needs what it returned, and images are large.
    return nn.LeakyReLU(0.2, inplace=True)
