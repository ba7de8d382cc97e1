"""Temporal ensembling: predictions should agree with the mean of those of earlier epochs."""

from typing import ClassVar

import torch
from torch import Tensor

from dhm.consistency.base import ConsistencyMethod, Task, Views
from dhm.consistency.processes import gather_rows

ALPHA = 0.6


class TemporalEnsembling(ConsistencyMethod):
    """C = E 1/K ||p(y|x) - z / (1 - alpha^t)||^2, z <- alpha z + (1 - alpha) p(y|x) after it.

    t counts the predictions that z, which starts at 0, has seen of this example, one an epoch. C is
    0 until there is one.

    References:
        Laine & Aila, Temporal ensembling for semi-supervised learning, ICLR 2017, algorithm 2.
    """

    weak_gradient: ClassVar[bool] = True
    of_examples: ClassVar[bool] = True
    sums: Tensor
    counts: Tensor

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.register_buffer("sums", torch.zeros(len(task.examples), task.model.n_classes))
        self.register_buffer("counts", torch.zeros(len(task.examples), dtype=torch.int32))

    def forward(self, views: Views) -> Tensor:
        index = views.batch.positions
        assert index is not None, "the feed says which examples a batch holds"
        p = views.weak_logits.softmax(1)
        count = self.counts[index]
        seen = count > 0
        target = self.sums[index] / (1 - ALPHA ** count.clamp(min=1))[:, None]
        loss = ((p - target).square().mean(1) * seen).mean()
        self._remember(index, p.detach())
        return loss

    @torch.no_grad()
    def _remember(self, index: Tensor, p: Tensor) -> None:
        # Every process keeps all of the table: a checkpoint is written by one.
        index, p = gather_rows(index), gather_rows(p)
        self.sums[index] = ALPHA * self.sums[index] + (1 - ALPHA) * p
        self.counts[index] += 1
