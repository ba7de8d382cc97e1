"""FixMatch: confident predictions on weak copies are the labels of strong copies."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dhm.consistency.base import ConsistencyMethod, Task, Views
from dhm.consistency.processes import total

MEMORY = 0.99


class FixMatch(ConsistencyMethod):
    """C = E 1[max q >= threshold] (-log p(argmax q | strong copy)), nats, q from the weak copy.

    q is p(y|weak copy). Where a class prior is given, q is made to agree with it on average:
    multiplied by prior / (running mean of p) and normalised.

    References:
        Sohn et al., FixMatch, NeurIPS 2020, equation 4; Berthelot et al., ReMixMatch, ICLR 2020,
        section 3.1, for the alignment of distributions.
    """

    prior: Tensor | None
    mean: Tensor
    steps: Tensor

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.threshold = task.threshold
        self.register_buffer("prior", task.class_prior, persistent=False)
        self.register_buffer("mean", torch.zeros(task.model.n_classes))
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, views: Views) -> Tensor:
        q = views.targets
        if self.prior is not None:
            self._observe(q)
            q = q * self.prior / self.mean.clamp(min=1e-6)
            q = q / q.sum(1, keepdim=True).clamp(min=1e-12)
        confidence, label = q.max(1)
        used = (confidence >= self.threshold).float()
        views.notes["fixmatch_used"] = used.mean()
        return (F.cross_entropy(views.strong_logits, label, reduction="none") * used).mean()

    def _observe(self, p: Tensor) -> None:
        """Take predictions, those of all processes, into their running mean."""
        sums = total(torch.cat([p.sum(0), p.new_full((1,), len(p))]))
        # At first the plain mean of all batches, so that it soon forgets how training started.
        self.steps += 1
        weight = torch.clamp(1 / self.steps, min=1 - MEMORY)
        self.mean.lerp_(sums[:-1] / sums[-1], weight)
