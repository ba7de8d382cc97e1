"""The moving average of a model's weights."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the weights that soon forgets where training started.

    The n-th update has decay min(decay, (1 + n) / (10 + n)), so that the average of a short run is
    not that of its first steps. The original started at zero, without a correction. Buffers are
    averaged too: the statistics of batch normalisation are then those of the averaged weights'
    time, and not of the last few steps.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = moving_average(model, 0.999)
        >>> for value in (0.0, 1.0, 1.0):
        ...     _ = nn.init.constant_(model.weight, value)
        ...     average.update_parameters(model)
        >>> round(average.module.weight.item(), 4)  # 1 - (2/11) (3/12)
        0.9545
    """

    def update(averaged: Any, current: Any, n_averaged: Any) -> None:
        n = float(n_averaged)
        step: Callable[..., None] = get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))
        step(averaged, current, n_averaged)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
