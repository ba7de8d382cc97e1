"""Mean teacher: predictions should agree with those of an average of the weights."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dhm.consistency.base import ConsistencyMethod, Task, Views
from dhm.models.base import Model
from dhm.nn.average import MovingAverage


class MeanTeacher(ConsistencyMethod):
    """C = E 1/K ||p(y|x') - p_teacher(y|x'')||^2 for two weak copies of x.

    The teacher's weights are a moving average of the model's, brought up to date before each use.
    Both predict with dropout; only the model gets a gradient.

    References:
        Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017.
    """

    weak_gradient: ClassVar[bool] = True

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.average = MovingAverage(task.model, task.teacher_decay).requires_grad_(False)

    @property
    def teacher(self) -> Model:
        """The model with averaged weights."""
        module = self.average.module
        assert isinstance(module, Model)
        return module

    def forward(self, views: Views) -> Tensor:
        with torch.no_grad():
            self.average.update(views.model)
            target = views.logits(views.other_weak, self.teacher).softmax(1)
        return F.mse_loss(views.weak_logits.softmax(1), target)
