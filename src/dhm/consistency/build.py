"""The objective that a run's options ask for."""

import numpy as np
import torch
from torch import Tensor

from dhm.augment.registry import make_augmentation
from dhm.config import TrainConfig
from dhm.consistency.base import Task
from dhm.consistency.registry import METHODS, method_class
from dhm.consistency.regularized import Regularized, Weighted
from dhm.data.binarize import binarized
from dhm.data.dataset import Examples
from dhm.models.base import Model

SETTINGS = ("threshold", "teacher_decay", "vat_epsilon", "spread_every")


def regularize(
    model: Model, config: TrainConfig, examples: Examples, symmetric: bool
) -> Regularized:
    """The model with every method whose weight is above 0, and the augmentation chosen.

    Arguments:
        model: the model.
        config: the options, with those of the methods filled in.
        examples: those an epoch goes through; the classes of the labelled may serve as prior.
        symmetric: whether mirror images are good examples, see `Dataset`.

    Raises `ConfigError` for an augmentation that does not fit the examples, or a method that the
    model cannot be used with.
    """
    augmentation = make_augmentation(config.augment or "none", model.spec.shape, symmetric)
    weights = {name: weight for name in METHODS if (weight := getattr(config, name))}
    settings = {f: getattr(config, f) for f in SETTINGS}
    prior = class_prior(config.class_prior, examples, model.n_classes)
    binarize = bool(config.binarize)
    if binarize and weights:
        examples = binarized(examples, config.seed_data)
    task = Task(model, examples, prior, **settings)
    methods = {name: Weighted(weight, method_class(name)(task)) for name, weight in weights.items()}
    holes = config.hide or 0.0
    return Regularized(model, methods, augmentation, config.rampup or 0.0, holes, binarize)


def class_prior(name: str | None, examples: Examples, n_classes: int) -> Tensor | None:
    """The shares (K,) of the classes: as in the labels, all the same, or None where not assumed.

    Example:
        >>> import numpy as np
        >>> class_prior("labels", Examples(np.zeros((4, 1)), np.array([0, 1, 1, 1])), 2)
        tensor([0.2500, 0.7500])
    """
    if name == "uniform":
        return torch.full((n_classes,), 1 / n_classes)
    if name == "labels":
        known = examples.labeled
        weight = None if examples.weight is None else examples.weight[known]
        counts = torch.from_numpy(np.bincount(examples.y[known], weight, n_classes)).float()
        return counts / counts.sum()
    return None
