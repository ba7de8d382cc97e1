"""The Pi model: two random passes over an input should give the same prediction."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from dhm.consistency.base import ConsistencyMethod, Views


class PiModel(ConsistencyMethod):
    """C = E 1/K ||p(y|x') - p(y|x'')||^2 for two weak copies of x, each with dropout of its own.

    References:
        Laine & Aila, Temporal ensembling for semi-supervised learning, ICLR 2017, algorithm 1.
    """

    weak_gradient: ClassVar[bool] = True

    def forward(self, views: Views) -> Tensor:
        return F.mse_loss(views.weak_logits.softmax(1), views.other_weak_logits.softmax(1))
