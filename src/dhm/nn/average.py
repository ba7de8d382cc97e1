"""The moving average of a model's weights."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class MovingAverage(nn.Module):
    """An exponential moving average of the weights that soon forgets where training started.

    The first update copies; the n-th after it has decay min(decay, (1 + n) / (10 + n)), so that the
    average of a short run is not that of its first steps. The original started at zero, without a
    correction. Buffers are averaged too: the statistics of batch normalisation are then those of
    the averaged weights' time, and not of the last few steps.

    The number of updates is the host's: torch's `AveragedModel` has it on the device, and waits for
    the device at each update to read it.

    Arguments:
        model: what `module` is a copy of.
        decay: in [0, 1).

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = MovingAverage(model, 0.999)
        >>> for value in (0.0, 1.0, 1.0):
        ...     _ = nn.init.constant_(model.weight, value)
        ...     average.update(model)
        >>> round(average.module.weight.item(), 4)  # 1 - (2/11) (3/12)
        0.9545
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = deepcopy(model)
        self.decay = decay
        self.n_updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the model's weights, as they are now, into the average."""
        n = self.n_updates
        decay = min(self.decay, (1 + n) / (10 + n)) if n else 0.0
        torch._foreach_lerp_(_tensors(self.module), _tensors(model), 1 - decay)
        self.n_updates = n + 1

    def get_extra_state(self) -> Tensor:
        """The number of updates, for checkpoints."""
        return torch.tensor(self.n_updates)

    def set_extra_state(self, state: Any) -> None:
        """Take it back."""
        self.n_updates = int(state)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]
