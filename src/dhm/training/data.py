"""The parts of a data set as a run uses them: split, labels hidden, pixels drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dhm.config import TrainConfig
from dhm.data.binarize import binarized
from dhm.data.dataset import Dataset, Examples
from dhm.data.splits import hide_labels, labeled_subset, split_validation
from dhm.errors import ConfigError, DataError
from dhm.models.registry import model_class


@dataclass(frozen=True)
class TrainingData:
    """The parts of a data set as a run uses them."""

    labeled: Examples
    """What log p(y|x, z) is trained on."""
    unlabeled: Examples | None
    """Every training input, for the models that learn from unlabelled ones."""
    validation: Examples | None
    """None where the last weights are to be kept."""
    test: Examples | None = None
    symmetric: bool = False
    """As in `Dataset`."""
    class_counts: NDArray[np.float64] | None = None
    """(K,) labels of each class, where more are known than these; None for those of `labeled`."""

    @property
    def main(self) -> Examples:
        """The examples that an epoch goes through."""
        return self.labeled if self.unlabeled is None else self.unlabeled


def prepare(dataset: Dataset, config: TrainConfig) -> TrainingData:
    """Split off validation examples, then choose the labels that training may use."""
    with _naming("val_size", config.val_size):
        training, validation = split_validation(dataset.train, config.val_size, config.seed_data)
    data = training_data(training, validation, config)
    test = dataset.test
    if config.binarize:
        test = binarized(test, config.seed_data)
    return replace(data, test=test, symmetric=dataset.symmetric)


def training_data(
    training: Examples, validation: Examples | None, config: TrainConfig
) -> TrainingData:
    """The parts of training examples that the options' model learns from."""
    if config.binarize and validation is not None:
        validation = binarized(validation, config.seed_data)

    uses_unlabeled = model_class(config.model).uses_unlabeled
    if config.n_labeled is not None:
        choose = hide_labels if uses_unlabeled else labeled_subset
        with _naming("n_labeled", config.n_labeled):
            training = choose(training, config.n_labeled, config.seed_data)
    known = training.labeled
    labeled = training if known.all() else training.take(known.nonzero()[0])
    return TrainingData(labeled, training if uses_unlabeled else None, validation)


@contextmanager
def _naming(option: str, value: float) -> Iterator[None]:
    """Errors of a split that begin with the option it was asked for by."""
    try:
        yield
    except (ConfigError, DataError) as error:
        reason = str(error).removeprefix(f"{option}: ")
        raise type(error)(f"--{option} {value:.10g}: {reason}") from error
