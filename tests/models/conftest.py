"""What the tests of several models need."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dhm.models.base import Model


@pytest.fixture
def gradients() -> Callable[[Model, Tensor], dict[str, Tensor]]:
    """By name, the gradient of every parameter; zero where none reaches it."""

    def compute(model: Model, total: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        total.backward()
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in model.named_parameters()
        }

    return compute
