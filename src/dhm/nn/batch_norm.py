"""Batch normalisation, and statistics of it that belong to the weights they are used with."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dhm.errors import ConfigError


class BatchNorm(nn.Module):
    """Batch normalisation with a trained shift, of units or of the channels of images.

    In evaluation it uses running statistics, so that what is made of an input does not depend on
    the others of its batch. In training it raises `ConfigError` for a batch of one example.

    Arguments:
        n: number of units or channels.
        scale: whether a scale is trained, too.

    References:
        Ioffe & Szegedy, Batch normalization, 2015.
    """

    weight: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, n: int, *, scale: bool = False) -> None:
        super().__init__()
        self.momentum = 0.1
        if scale:
            self.weight = nn.Parameter(torch.ones(n))
        else:  # on CUDA there is no gradient of a shift without a scale
            self.register_buffer("weight", torch.ones(n), persistent=False)
        self.bias = nn.Parameter(torch.zeros(n))
        self.register_buffer("running_mean", torch.zeros(n))
        self.register_buffer("running_var", torch.ones(n))

    def forward(self, h: Tensor) -> Tensor:
        """(B, n, ...) -> the same shape."""
        if self.training and len(h) < 2:
            raise ConfigError(
                "batch normalisation takes its statistics from two examples or more in each "
                "process, found a batch of one: choose a larger --n_batch or --n_lbl_batch"
            )
        return F.batch_norm(
            h,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=1e-6,
        )


@torch.no_grad()
def refresh_statistics(
    network: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> None:
    """Replace the running statistics of the layers that `forward` uses by means over batches.

    An average of weights has never seen data, and in training the statistics mix those of weak and
    strong copies. Layers that `forward` does not reach keep theirs.

    References:
        Izmailov et al., Averaging weights leads to wider optima, UAI 2018, section 3.2.

    Example:
        >>> layer = BatchNorm(1)
        >>> refresh_statistics(layer, layer, [torch.ones(8, 1), torch.full((8, 1), 3.0)])
        >>> layer.running_mean
        tensor([2.])
    """
    layers = [layer for layer in network.modules() if isinstance(layer, BatchNorm)]
    if not layers:
        return
    training = [(module, module.training) for module in network.modules()]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.train()
    try:
        for i, batch in enumerate(batches):
            for layer in layers:
                layer.momentum = 1 / (i + 1)  # a plain mean: the first replaces what was there
            forward(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, mode in training:
            module.training = mode


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Within it layers normalise as ever, but their running statistics stay as they are.

    Example:
        >>> layer = BatchNorm(1)
        >>> with statistics_kept(layer):
        ...     layer(torch.tensor([[1.0], [3.0]])).round(decimals=3)
        tensor([[-1.],
                [ 1.]], grad_fn=<RoundBackward1>)
        >>> layer.running_mean
        tensor([0.])
    """
    layers = [layer for layer in network.modules() if isinstance(layer, BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
