"""The few layers every network here is made of."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions import Independent
from torch.nn import functional as F

from dhm.errors import ConfigError
from dhm.nn.distributions import Likelihood, diagonal_gaussian


def orthogonal(module: nn.Module) -> None:
    """Orthogonal weights and zero biases, in place: the original's initialisation."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def normal(module: nn.Module, std: float) -> None:
    """Weights from N(0, std) and zero biases, in place."""
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=std)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def images_only(shape: tuple[int, ...], network: str) -> tuple[int, int, int]:
    """Channels, height and width; raises `ConfigError` for the shape of a vector."""
    if len(shape) != 3:
        raise ConfigError(
            f"--network {network} has convolutions and takes images (C, H, W), found vectors of "
            f"shape {shape}; use --network small"
        )
    return shape


def linear(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer, also from or to no units, as without the auxiliary variable."""
    # Made with at least one unit and cut to size: torch warns of initialising none.
    layer = nn.Linear(max(n_in, 1), max(n_out, 1))
    layer.weight = nn.Parameter(layer.weight.detach()[:n_out, :n_in].clone())
    assert layer.bias is not None
    layer.bias = nn.Parameter(layer.bias.detach()[:n_out].clone())
    return layer


def dense(
    sizes: Sequence[int], *, dropout: float = 0.0, activation: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Dense layers of these sizes, each followed by the activation and dropout.

    Example:
        >>> import torch
        >>> dense([4, 8, 8])(torch.zeros(2, 4)).shape
        torch.Size([2, 8])
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [linear(n_in, n_out), activation()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


FAR = 1e20
"""How many standard deviations from its mean a value of a table counts as at most.

So far out that its density is 0 in floats, and near enough for what the networks make of it to be
numbers still: infinities would cancel to none.
"""


class Standardize(nn.Module):
    """Maps raw inputs to what the networks and p(x|z) see: (x - shift) / scale, in float32.

    Bytes become pixels in [0, 1] by scale 255; a table's features get mean 0 and variance 1 by
    the training set's statistics. What is further out than `FAR` counts as that far. Kept with the
    weights, so a loaded model takes raw inputs.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        # One number a feature for vectors, one for all pixels of an image.
        size = shape if len(shape) == 1 else (1,) * len(shape)
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """(..., *shape) of any real dtype -> the same shape, float32."""
        return ((x.to(torch.float32) - self.shift) / self.scale).clamp(-FAR, FAR)

    def inverse(self, u: Tensor) -> Tensor:
        """The raw input of a network input."""
        return u * self.scale + self.shift


class Dropout(nn.Module):
    """Dropout that costs a CPU half of torch's own, which draws its masks one at a time.

    Each unit is kept or not by 16 random bits, so p is exact to 1/65536.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, h: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        if not self.training:
            return h
        if h.device.type != "cpu":
            return F.dropout(h, self.p)
        bits = torch.empty_like(h, dtype=torch.int16).random_(-(2**15), 2**15)
        kept = bits >= round(self.p * 2**16) - 2**15
        return h * (kept.to(h.dtype) * (1 / (1 - self.p)))


class GaussianNoise(nn.Module):
    """Adds Gaussian noise of this standard deviation in training."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, h: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return h + self.std * torch.randn_like(h) if self.training else h


class GaussianHead(nn.Module):
    """A linear layer onto the mean and log-variance of a diagonal Gaussian."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.mean = linear(n_in, n_out)
        self.log_variance = linear(n_in, n_out)

    def forward(self, h: Tensor) -> Independent:
        """(..., n_in) -> Gaussian over (..., n_out)."""
        return diagonal_gaussian(torch.stack([self.mean(h), self.log_variance(h)], -2))


class LikelihoodHead(nn.Module):
    """A linear layer onto the parameters of p(x|z) for x of a given shape."""

    def __init__(self, n_in: int, shape: tuple[int, ...], likelihood: Likelihood) -> None:
        super().__init__()
        self.shape, self.likelihood = shape, likelihood
        self.linear = nn.Linear(n_in, likelihood.n_parameters * prod(shape))

    def forward(self, h: Tensor) -> Independent:
        """(..., n_in) -> p(x|z) over (..., *shape)."""
        parameters = self.linear(h).unflatten(-1, (self.likelihood.n_parameters, *self.shape))
        return self.likelihood.make(parameters, len(self.shape))
