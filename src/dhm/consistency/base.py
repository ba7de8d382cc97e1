"""The contract between a consistency method and the objective it is added to."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from dhm.augment.base import Augmentation
from dhm.data.dataset import Examples
from dhm.models.base import Batch, Model


class Views:
    """One batch's unlabelled inputs, random copies of them, and what the model says of each.

    Everything is computed when it is first asked for, and once: methods share copies and passes.
    """

    def __init__(
        self, model: Model, batch: Batch, augmentation: Augmentation, weak_gradient: bool = True
    ) -> None:
        self.model, self.batch, self.augmentation = model, batch, augmentation
        self.weak_gradient = weak_gradient
        self.notes: dict[str, Tensor] = {}
        """What methods have to log beside their loss: 0-d, detached."""

    @cached_property
    def inputs(self) -> Tensor:
        """Network inputs (U, *shape): the unlabelled ones, the labelled ones where these are all.

        Unlike the inputs of `Batch`, in the units that augmentations work on.
        """
        return self.model.standardize(self.batch.main)

    @cached_property
    def weak(self) -> Tensor:
        """Weak copies."""
        return self._copies(strong=False)

    @cached_property
    def other_weak(self) -> Tensor:
        """Weak copies, drawn anew."""
        return self._copies(strong=False)

    @cached_property
    def strong(self) -> Tensor:
        """Strong copies."""
        return self._copies(strong=True)

    @cached_property
    def weak_logits(self) -> Tensor:
        """Logits (U, K) of the weak copies; with the graph if a method said it needs it."""
        with torch.set_grad_enabled(self.weak_gradient and torch.is_grad_enabled()):
            return self.logits(self.weak)

    @cached_property
    def other_weak_logits(self) -> Tensor:
        """Logits (U, K) of the other weak copies, with the graph."""
        return self.logits(self.other_weak)

    @cached_property
    def strong_logits(self) -> Tensor:
        """Logits (U, K) of the strong copies, with the graph."""
        return self.logits(self.strong)

    @cached_property
    def targets(self) -> Tensor:
        """Probabilities (U, K) of the weak copies' classes, without the graph."""
        return self.weak_logits.detach().softmax(1)

    def logits(self, u: Tensor, model: Model | None = None) -> Tensor:
        """float32 logits of network inputs, of this model or of a copy of it."""
        model = model or self.model
        return model.logits(model.standardize.inverse(u)).float()

    def _copies(self, strong: bool) -> Tensor:
        # A map from place to place has no digits to lose to mixed precision.
        with torch.no_grad(), torch.autocast(self.inputs.device.type, enabled=False):
            make = self.augmentation.strong if strong else self.augmentation.weak
            return make(self.inputs)


@dataclass(frozen=True)
class Task:
    """What a method is made for and from."""

    model: Model
    examples: Examples
    """The examples that `Batch.positions` point into; -1 marks the unlabelled."""
    class_prior: Tensor | None
    """(K,) the shares of the classes, None where they are not assumed to be known."""
    threshold: float
    teacher_decay: float
    vat_epsilon: float
    spread_every: int


class ConsistencyMethod(nn.Module, ABC):
    """A regulariser C of predictions, added to the loss of the player that owns the classifier.

    What it remembers between steps is in buffers, or in parameters without gradient, so that a
    checkpoint holds it; in several processes it must be the same in all of them.
    """

    weak_gradient: ClassVar[bool] = False
    """True where the gradient of C goes through `Views.weak_logits`."""
    of_examples: ClassVar[bool] = False
    """True where what it remembers is of the examples it was made for, and of no use with others.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()

    def start_epoch(self, model: Model, epoch: int) -> None:
        """What a method has to do before an epoch, of which the first is 0, with all examples.

        `model` is the one that would be evaluated now: the average of weights, if one is taken.
        """

    @abstractmethod
    def forward(self, views: Views) -> Tensor:
        """C of a batch before its weight: 0-d, a mean over examples."""
