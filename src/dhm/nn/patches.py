"""The strided network with a better p(x|z) of images: patches of 4x4 pixels from common parts.

Dense layers make a grid of features of z, one vector for each patch, and a small network that all
patches share makes pixels of them. What strokes look like is so learnt once and not at every place.
All of it is products of matrices, for which a processor takes far less time than for transposed
convolutions.
"""

from functools import partial
from math import ceil, prod

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from dhm.nn import small, strided
from dhm.nn.distributions import Likelihood
from dhm.nn.layers import dense

__all__ = ["hybrid"]

SIDE = 4
"""Pixels."""
N_CHANNELS = 64
N_SHARED = 128


class PatchDecoder(nn.Module):
    """p(x|z) of images: two normalised dense layers, then the pixels of each patch."""

    def __init__(
        self, n_latent: int, n_hidden: int, shape: tuple[int, ...], likelihood: Likelihood
    ) -> None:
        super().__init__()
        channels, *sides = shape
        grid = [ceil(side / SIDE) for side in sides]
        self.shape, self.likelihood = shape, likelihood
        self.features = nn.Sequential(
            *_normalized(n_latent, n_hidden),
            *_normalized(n_hidden, prod(grid) * N_CHANNELS),
            nn.Unflatten(-1, (*grid, N_CHANNELS)),
        )
        n_out = likelihood.n_parameters * channels
        self.pixels = nn.Sequential(
            dense([N_CHANNELS, N_SHARED]),
            nn.Linear(N_SHARED, n_out * SIDE**2),
            nn.Unflatten(-1, (n_out, SIDE, SIDE)),
        )
        # Patches have no place of their own, but borders of images are not as their middle.
        self.bias = nn.Parameter(torch.zeros(likelihood.n_parameters, *shape))

    def forward(self, z: Tensor) -> Independent:
        """(..., n_latent) -> p(x|z) over (..., *shape)."""
        patches = self.pixels(self.features(z))
        # Rows of patches and of pixels in them, columns of both: side by side they make the image.
        image = torch.einsum("...ijcuv->...ciujv", patches).flatten(-2).flatten(-3, -2)
        _, height, width = self.shape
        parameters = image[..., :height, :width].unflatten(-3, self.bias.shape[:2]) + self.bias
        return self.likelihood.make(parameters, 3)


def _normalized(n_in: int, n_out: int) -> list[nn.Module]:
    # Not over the batch: what is drawn for a z does not depend on others.
    return [nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.ReLU()]


def _decoder(
    n_latent: int, n_hidden: int, shape: tuple[int, ...], likelihood: Likelihood
) -> nn.Module:
    kind = PatchDecoder if len(shape) == 3 else small.decoder
    return kind(n_latent, n_hidden, shape, likelihood)


hybrid = partial(small.hybrid, trunk=strided.Trunk, decoder=_decoder)
