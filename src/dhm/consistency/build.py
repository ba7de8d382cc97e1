"""The objective that a run's options ask for."""

import numpy as np
import torch
from numpy.typing import NDArray
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
    model: Model,
    config: TrainConfig,
    examples: Examples,
    symmetric: bool,
    class_counts: NDArray[np.float64] | None = None,
) -> Regularized:
    """The model with every method whose weight is above 0, and the augmentation chosen.

    Arguments:
        model: the model.
        config: the options, with those of the methods filled in.
        examples: those an epoch goes through; the classes of the labelled may serve as prior.
        symmetric: whether mirror images are good examples, see `Dataset`.
        class_counts: (K,) labels of each class, where more are known than those of the examples.

    Raises `ConfigError` for an augmentation that does not fit the examples, or a method that the
    model cannot be used with.
    """
    augmentation = make_augmentation(config.augment or "none", model.spec.shape, symmetric)
    weights = {name: weight for name in METHODS if (weight := getattr(config, name))}
    settings = {f: getattr(config, f) for f in SETTINGS}
    if class_counts is None:
        class_counts = examples.class_counts(model.n_classes)
    prior = class_prior(config.class_prior, class_counts)
    binarize = bool(config.binarize)
    if binarize and weights:
        examples = binarized(examples, config.seed_data)
    task = Task(model, examples, prior, **settings)
    methods = {name: Weighted(weight, method_class(name)(task)) for name, weight in weights.items()}
    holes = config.hide or 0.0
    return Regularized(model, methods, augmentation, config.rampup or 0.0, holes, binarize)


def class_prior(name: str | None, counts: NDArray[np.float64]) -> Tensor | None:
    """The shares (K,) of the classes: as in the labels, all the same, or None where not assumed.

    Example:
        >>> import numpy as np
        >>> class_prior("labels", np.array([1.0, 3.0]))
        tensor([0.2500, 0.7500])
    """
    if name == "uniform":
        return torch.full((len(counts),), 1 / len(counts))
    if name == "labels":
        return torch.from_numpy(counts / counts.sum()).float()
    return None
