"""Weight normalisation, and its initialisation from data.

References:
    Salimans & Kingma, Weight normalization, 2016, sections 2 and 3.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Layer = TypeVar("Layer", bound=nn.Module)


class WeightNorm(nn.Module):
    """A weight as g v / |v|, with one scale g and one norm |v| for each output unit.

    Not torch's `weight_norm`, which always trains g: the implicit networks keep the scale that the
    data gave it, in all layers but the last.
    """

    g: Tensor

    def __init__(self, layer: nn.Module, std: float, train_scale: bool) -> None:
        super().__init__()
        weight = layer.weight
        assert isinstance(weight, Tensor)
        unit = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        self.std = std
        self.dims = [d for d in range(weight.dim()) if d != unit]
        self.shape = [-1 if d == unit else 1 for d in range(weight.dim())]
        g = torch.ones(weight.shape[unit])
        if train_scale:
            self.g = nn.Parameter(g)
        else:
            self.register_buffer("g", g)

    def forward(self, v: Tensor) -> Tensor:
        """v -> w, of the same shape."""
        squares = v.square().sum(self.dims, keepdim=True)
        return v * (self.g.view(self.shape) * torch.rsqrt(squares + 1e-6))


def weight_norm(layer: Layer, *, std: float = 1.0, train_scale: bool = False) -> Layer:
    """The layer, its weight normalised.

    Arguments:
        layer: a linear or (transposed) convolutional layer with a bias.
        std: standard deviation that `initializing` gives to what the layer returns.
        train_scale: whether the scale g is trained, too.

    Example:
        >>> layer = weight_norm(nn.Linear(3, 2))
        >>> layer.weight.norm(dim=1).round(decimals=4)
        tensor([1., 1.], grad_fn=<RoundBackward1>)
    """
    parametrize.register_parametrization(layer, "weight", WeightNorm(layer, std, train_scale))
    return layer


@contextmanager
def initializing(module: nn.Module) -> Iterator[None]:
    """Within it a pass through the module sets scale and bias of its normalised layers from data.

    What such a layer returns then has, over batch and pixels, mean 0 and the standard deviation
    the layer was made with, one layer after another in a single pass. To be used without gradient.

    Example:
        >>> layer = weight_norm(nn.Linear(3, 2), std=0.1)
        >>> x = 5 + torch.randn(100, 3)
        >>> with torch.no_grad(), initializing(layer):
        ...     _ = layer(x)
        >>> layer(x).std(0, unbiased=False).round(decimals=4)
        tensor([0.1000, 0.1000], grad_fn=<RoundBackward1>)
    """
    hooks = [
        layer.register_forward_hook(_standardize_output)
        for layer in module.modules()
        if parametrize.is_parametrized(layer, "weight")
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _standardize_output(layer: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    (norm,) = layer.parametrizations.weight
    dims = [d for d in range(output.dim()) if d != 1]
    mean, std = output.mean(dims), output.std(dims, unbiased=False)
    # A unit that is constant on this batch keeps its scale.
    scale = torch.where(std > 1e-6, norm.std / std, 1.0)
    norm.g.mul_(scale)
    layer.bias.sub_(mean).mul_(scale)
    shape = [1, -1] + [1] * (output.dim() - 2)
    return (output - mean.view(shape)) * scale.view(shape)
