"""The networks of Kuleshov & Ermon's explicit models, layer for layer, with K outputs.

From the authors' code: 5x5 convolutions with 3x3/2 max pools for p(y|x, z), one hidden layer of 499
for every density, orthogonal weights, dropout 0.2 on the input and 0.5 before the last layer.
"""

from math import prod

import torch
from torch import Tensor, nn

from dhm.nn.distributions import Likelihood
from dhm.nn.hybrid import ClassifierOnLatent, Decoder, Encoder, HybridParts
from dhm.nn.layers import GaussianHead, LikelihoodHead, dense, images_only, orthogonal


class ConvFeatures(nn.Sequential):
    """Three 5x5 convolutions, each with a 3x3/2 max pool, on inputs with 20 % dropout; flattened.

    A pool is left out where fewer than 3x3 pixels remain (images under 15x15).
    """

    def __init__(self, shape: tuple[int, ...], widths: tuple[int, int, int]) -> None:
        n_in, height, width = images_only(shape, "paper")
        layers: list[nn.Module] = [nn.Dropout(0.2)]
        for n_out in widths:
            layers += [nn.Conv2d(n_in, n_out, 5, padding="same"), nn.ReLU()]
            if min(height, width) >= 3:
                layers.append(nn.MaxPool2d(3, stride=2))
                height, width = (height - 1) // 2, (width - 1) // 2
            n_in = n_out
        super().__init__(*layers, nn.Flatten())
        self.n_features = n_in * height * width


class Classifier(ClassifierOnLatent):
    """p(y|x, z): convolutional features of x joined with z, one hidden layer of 500."""

    def __init__(self, shape: tuple[int, ...], n_classes: int, n_latent: int) -> None:
        super().__init__()
        self.convolutions = ConvFeatures(shape, (128, 128, 256))
        self.hidden = dense([self.convolutions.n_features + n_latent, 500], dropout=0.5)
        self.logits = nn.Linear(500, n_classes)

    def of_x(self, h: Tensor) -> Tensor:
        """(B, C, H, W) -> convolutional features."""
        return self.convolutions(h)

    def join(self, from_x: Tensor, z: Tensor) -> Tensor:
        """(B, e), (B, n_latent) -> (B, 500)."""
        return self.hidden(torch.cat([from_x, z], 1))


def hybrid(
    shape: tuple[int, ...],
    n_classes: int,
    likelihood: Likelihood,
    *,
    n_latent: int,
    n_aux: int,
    n_hidden: int,
) -> HybridParts:
    """The auxiliary deep generative model and its classifier; x itself is all they share."""
    parts = HybridParts(
        trunk=nn.Identity(),
        encoder=Encoder(prod(shape), n_latent, n_aux, n_hidden),
        decoder=Decoder(
            nn.Sequential(dense([n_latent, n_hidden]), LikelihoodHead(n_hidden, shape, likelihood)),
            nn.Sequential(dense([n_latent, n_hidden]), GaussianHead(n_hidden, n_aux)),
        ),
        classifier=Classifier(shape, n_classes, n_latent),
    )
    for part in (parts.encoder, parts.decoder, parts.classifier):
        orthogonal(part)
    return parts


def cnn(shape: tuple[int, ...], n_classes: int) -> nn.Sequential:
    """The original's convolutional classifier: 64-64-128 filters and a hidden layer of 1000."""
    features = ConvFeatures(shape, (64, 64, 128))
    hidden = dense([features.n_features, 1000], dropout=0.5)
    return _glorot(nn.Sequential(features, hidden, nn.Linear(1000, n_classes)))


def mlp(shape: tuple[int, ...], n_classes: int) -> nn.Sequential:
    """The original's four hidden layers of 2000 with 20 % dropout before each layer."""
    hidden = dense([prod(shape), 2000, 2000, 2000, 2000], dropout=0.2)
    return _glorot(nn.Sequential(nn.Flatten(), nn.Dropout(0.2), hidden, nn.Linear(2000, n_classes)))


def _glorot(network: nn.Sequential) -> nn.Sequential:
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
