"""Interpolation consistency: between two inputs, predictions should lie between theirs."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dhm.consistency.base import ConsistencyMethod, Views


class Mixup(ConsistencyMethod):
    """C = E 1/K ||p(y | m x + (1 - m) x') - (m p(y|x) + (1 - m) p(y|x'))||^2, m uniform in [0, 1].

    x and x' are weak copies of two examples of the batch; their own predictions are taken as they
    are. Needs no augmentation, so it suits tables.

    References:
        Verma et al., Interpolation consistency training, IJCAI 2019, with the model itself as
        teacher and Beta(1, 1).
    """

    def forward(self, views: Views) -> Tensor:
        u, targets = views.weak, views.targets
        other = torch.randperm(len(u), device=u.device)
        m = torch.rand(len(u), 1, device=u.device)
        mixed = torch.lerp(u[other], u, m.view(-1, *[1] * (u.dim() - 1)))
        p = views.logits(mixed).softmax(1)
        return F.mse_loss(p, torch.lerp(targets[other], targets, m))
