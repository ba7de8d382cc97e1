"""Networks a laptop trains in minutes; for images of any size and for vectors.

Unlike the paper's, encoder and classifier share a trunk, so that what p(x, z) learns of x reaches
p(y|x, z) through common features as well as through z.
"""

from collections.abc import Callable
from math import ceil, log2, prod

import torch
from torch import Tensor, nn

from dhm.nn.distributions import Likelihood
from dhm.nn.hybrid import ClassifierOnLatent, Decoder, Encoder, HybridParts
from dhm.nn.layers import GaussianHead, LikelihoodHead, dense

WIDTH = 32
N_FEATURES = 256
DROPOUT = 0.5


def n_halvings(height: int, width: int) -> int:
    """How often an image is halved to about 7x7."""
    return max(0, ceil(log2(max(height, width) / 7)))


class Trunk(nn.Sequential):
    """256 features of x: 3x3 convolutions pooled to about 7x7, one dense layer; two for vectors."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        if len(shape) == 1:
            super().__init__(dense([shape[0], N_FEATURES, N_FEATURES]))
            return
        n_in, height, width = shape
        layers: list[nn.Module] = []
        n_pools = n_halvings(height, width)
        for stage in reversed(range(max(2, n_pools))):
            n_out = 2 * WIDTH if layers else WIDTH
            layers.append(nn.Conv2d(n_in, n_out, 3, padding=1))
            if stage < n_pools:
                # The maximum commutes with ReLU, which costs a quarter behind the pool.
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                height, width = ceil(height / 2), ceil(width / 2)
            layers.append(nn.ReLU())
            n_in = n_out
        super().__init__(*layers, nn.Flatten(), dense([n_in * height * width, N_FEATURES]))


class Classifier(ClassifierOnLatent):
    """p(y|x, z): a linear layer on the trunk's features, with dropout, and z."""

    def __init__(self, n_latent: int, n_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT)
        self.logits = nn.Linear(N_FEATURES + n_latent, n_classes)

    def of_x(self, h: Tensor) -> Tensor:
        """(B, 256) -> the same, with dropout."""
        return self.dropout(h)

    def join(self, from_x: Tensor, z: Tensor) -> Tensor:
        """(B, 256), (B, n_latent) -> (B, 256 + n_latent)."""
        return torch.cat([from_x, z], 1)


def decoder(
    n_latent: int, n_hidden: int, shape: tuple[int, ...], likelihood: Likelihood
) -> nn.Module:
    """p(x|z) from two hidden layers."""
    hidden = dense([n_latent, n_hidden, n_hidden])
    return nn.Sequential(hidden, LikelihoodHead(n_hidden, shape, likelihood))


def hybrid(
    shape: tuple[int, ...],
    n_classes: int,
    likelihood: Likelihood,
    *,
    n_latent: int,
    n_aux: int,
    n_hidden: int,
    trunk: Callable[[tuple[int, ...]], nn.Module] = Trunk,
    decoder: Callable[[int, int, tuple[int, ...], Likelihood], nn.Module] = decoder,
) -> HybridParts:
    """A shared trunk, Gaussian posteriors on it, and a decoder of two hidden layers."""
    return HybridParts(
        trunk=trunk(shape),
        encoder=Encoder(N_FEATURES, n_latent, n_aux, n_hidden),
        decoder=Decoder(
            decoder(n_latent, n_hidden, shape, likelihood),
            nn.Sequential(dense([n_latent, n_hidden]), GaussianHead(n_hidden, n_aux)),
        ),
        classifier=Classifier(n_latent, n_classes),
    )


def cnn(
    shape: tuple[int, ...],
    n_classes: int,
    trunk: Callable[[tuple[int, ...]], nn.Module] = Trunk,
) -> nn.Sequential:
    """The hybrid's trunk and classifier without z."""
    return nn.Sequential(trunk(shape), nn.Dropout(DROPOUT), nn.Linear(N_FEATURES, n_classes))


def mlp(shape: tuple[int, ...], n_classes: int) -> nn.Sequential:
    """Two hidden layers of 256 with dropout."""
    hidden = dense([prod(shape), 256, 256], dropout=0.3)
    return nn.Sequential(nn.Flatten(), hidden, nn.Linear(256, n_classes))
