"""A model and the consistency methods its training is regularised by."""

from collections.abc import Mapping
from math import exp
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dhm.augment.base import Augmentation, NoAugmentation
from dhm.augment.binarizing import drawn_pixels
from dhm.augment.hiding import random_holes
from dhm.consistency.base import ConsistencyMethod, Views
from dhm.models.base import Batch, Loss, Model


class Weighted(NamedTuple):
    """A method and the weight of its C."""

    weight: float
    method: ConsistencyMethod


class Regularized(nn.Module):
    """What is trained: a model's losses, and for the player that owns p(y|x) the methods' too.

        loss + w(t) sum of weight_i C_i

    Labelled inputs are shown to that player as weak copies. Unlabelled ones, from which densities
    are learnt, come as they are: of a model without an unlabelled stream the labelled inputs
    themselves take that place. With `binarize` the pixels of all inputs are drawn first, see
    `drawn_pixels`: whatever follows is of black and white images. With `hide` the model's own
    losses see some inputs with random holes, NaN in place of entries; the methods see inputs whole.

    Arguments:
        model: the model.
        methods: by name, as the terms are logged.
        augmentation: what makes weak and strong copies.
        rampup: epochs over which w rises, see `ramp`.
        hide: the largest share of an input that is hidden, see `random_holes`; 0 is off.
        binarize: whether inputs are images whose grey levels are probabilities.
    """

    def __init__(
        self,
        model: Model,
        methods: Mapping[str, Weighted] | None = None,
        augmentation: Augmentation | None = None,
        rampup: float = 0.0,
        hide: float = 0.0,
        binarize: bool = False,
    ) -> None:
        super().__init__()
        methods = methods or {}
        self.model = model
        self.methods = nn.ModuleDict({name: method for name, (_, method) in methods.items()})
        self.weights = {name: weight for name, (weight, _) in methods.items()}
        self.augmentation = augmentation or NoAugmentation()
        self.rampup = rampup
        self.hide = hide
        self.binarize = binarize
        self.weak_gradient = any(method.weak_gradient for _, method in methods.values())
        self.player = model.classifier_player

    def forward(self, batch: Batch, player: str) -> Loss:
        """One player's loss on a batch."""
        if self.binarize:
            batch = self._drawn(batch)
        if player != self.player:
            return self.model(batch, player)
        loss: Loss = self.model(self._shown(batch), player)
        if not self.methods:
            return loss
        views = Views(self.model, batch, self.augmentation, self.weak_gradient)
        w = ramp(batch.epoch, self.rampup)
        total, terms = loss.total, dict(loss.terms)
        for name, method in self.methods.items():
            c = method(views)
            total = total + w * self.weights[name] * c
            terms[name] = c.detach()
        return Loss(total, terms | views.notes)

    def start_epoch(self, model: Model, epoch: int) -> None:
        """Let the methods do what comes before an epoch, with the model that would be evaluated."""
        for method in self.methods.values():
            assert isinstance(method, ConsistencyMethod)
            method.start_epoch(model, epoch)

    def _drawn(self, batch: Batch) -> Batch:
        standardize = self.model.standardize

        def drawn(x: Tensor) -> Tensor:
            return standardize.inverse(drawn_pixels(standardize(x)))

        x_unlabeled = None if batch.x_unlabeled is None else drawn(batch.x_unlabeled)
        return batch._replace(x=drawn(batch.x), x_unlabeled=x_unlabeled)

    def _shown(self, batch: Batch) -> Batch:
        augments = not isinstance(self.augmentation, NoAugmentation)
        if not (augments or self.hide):
            return batch
        x, x_unlabeled = batch.x, batch.x_unlabeled
        if augments:
            standardize, x_unlabeled = self.model.standardize, batch.main
            x = standardize.inverse(self.augmentation.weak(standardize(x)))
        if self.hide:
            x = self._with_holes(x)
            x_unlabeled = None if x_unlabeled is None else self._with_holes(x_unlabeled)
        return batch._replace(x=x, x_unlabeled=x_unlabeled)

    def _with_holes(self, x: Tensor) -> Tensor:
        return x.float().masked_fill(random_holes(x.shape, self.hide, x.device), torch.nan)


def ramp(epoch: float, length: float) -> float:
    """The factor w of all consistency terms: exp(-5 (1 - t)^2), t from 0 to 1 over `length` epochs.

    Reference:
        Laine & Aila, Temporal ensembling for semi-supervised learning, ICLR 2017.

    Example:
        >>> [round(ramp(e, 10), 4) for e in (0, 5, 10, 20)]
        [0.0067, 0.2865, 1.0, 1.0]
    """
    return exp(-5 * (1 - epoch / length) ** 2) if epoch < length else 1.0
