"""Invariant information: the classes of two copies of an input should say all of each other."""

from typing import ClassVar

import torch
from torch import Tensor

from dhm.consistency.base import ConsistencyMethod, Views


class IIC(ConsistencyMethod):
    """C = -I(y'; y''), nats, at least -log K, of the classes of a weak and a strong copy of x.

    Their joint distribution is the mean over the batch of p(y|x') p(y|x'')^T, made symmetric; in
    several processes over the share of each.

    References:
        Ji et al., Invariant information clustering, ICCV 2019, equations 2 and 3.
    """

    weak_gradient: ClassVar[bool] = True

    def forward(self, views: Views) -> Tensor:
        weak, strong = views.weak_logits.softmax(1), views.strong_logits.softmax(1)
        # In mixed precision a product would be rounded to three digits, and its logarithm is next.
        with torch.autocast(weak.device.type, enabled=False):
            joint = weak.T @ strong / len(weak)
        return -mutual_information((joint + joint.T) / 2)


def mutual_information(joint: Tensor) -> Tensor:
    """I(a; b), nats, of a joint distribution (K, L).

    Example:
        >>> import torch
        >>> mutual_information(torch.eye(4) / 4)
        tensor(1.3863)
    """
    # 0 log 0 is 0; at 0 itself the gradient of p log p would be infinite.
    log_joint, *log_margins = (
        p.clamp(min=1e-12).log() for p in (joint, joint.sum(1, keepdim=True), joint.sum(0))
    )
    return (joint * (log_joint - log_margins[0] - log_margins[1])).sum()
