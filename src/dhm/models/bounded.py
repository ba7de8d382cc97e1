"""Building a model from sizes that nobody vouches for."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from dhm.errors import DataError

# What our layers and torch's make their weights and buffers with.
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full}


class Bounded(TorchFunctionMode):
    """Within it a new tensor of more than so many entries is refused before memory is asked for.

    Not the meta device, which has no memory at all: its first operation imports torch's compiler,
    which takes seconds.

    Raises `DataError`.

    Example:
        >>> with Bounded(1000):
        ...     torch.nn.Linear(10, 1_000_000_000)
        Traceback (most recent call last):
        ...
        dhm.errors.DataError: a layer of shape (1000000000, 10) is larger than any that is stored
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES:
            size = kwargs.get("size", args)
            if size and isinstance(size[0], Sequence):
                size = size[0]
            if prod(size) > self.most:
                raise DataError(f"a layer of shape {tuple(size)} is larger than any that is stored")
        return func(*args, **kwargs)
