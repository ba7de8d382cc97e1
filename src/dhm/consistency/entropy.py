"""Entropy minimisation: predictions should be certain."""

from typing import ClassVar

from torch import Tensor

from dhm.consistency.base import ConsistencyMethod, Views


class Entropy(ConsistencyMethod):
    """C = E H(y|x), nats: the boundary between classes avoids the examples.

    References:
        Grandvalet & Bengio, Semi-supervised learning by entropy minimization, NeurIPS 2005.
    """

    weak_gradient: ClassVar[bool] = True

    def forward(self, views: Views) -> Tensor:
        return conditional_entropy(views.weak_logits)


def conditional_entropy(logits: Tensor) -> Tensor:
    """Mean entropy, nats, of B predictions given by logits (B, K).

    Example:
        >>> import torch
        >>> conditional_entropy(torch.zeros(3, 2))
        tensor(0.6931)
    """
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1).mean()
