"""Statistics of batch normalisation that belong to the weights they are used with."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


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
        >>> layer = nn.BatchNorm1d(1)
        >>> refresh_statistics(layer, layer, [torch.ones(8, 1), torch.full((8, 1), 3.0)])
        >>> layer.running_mean
        tensor([2.])
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        return
    training = [(module, module.training) for module in network.modules()]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.train()
    for i, batch in enumerate(batches):
        for layer in layers:
            layer.momentum = 1 / (i + 1)  # a plain mean: the first batch replaces what was there
        forward(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for module, mode in training:
        module.training = mode
