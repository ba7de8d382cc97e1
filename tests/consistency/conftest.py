"""Small models, batches and views to try methods on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dhm.augment.base import NoAugmentation
from dhm.augment.registry import make_augmentation
from dhm.config import TrainConfig
from dhm.consistency.base import Task, Views
from dhm.data.dataset import Dataset, Examples
from dhm.models.base import Batch, Model
from dhm.models.build import build_model

N, K = 24, 4


def dataset(shape: tuple[int, ...], n: int = N, k: int = K) -> Dataset:
    rng = np.random.default_rng(0)
    if len(shape) == 3:
        x = rng.integers(0, 256, (n, *shape)).astype(np.uint8)
    else:
        x = rng.normal(3.0, 2.0, (n, *shape)).astype(np.float32)
    examples = Examples(x, np.arange(n) % k)
    return Dataset("made", examples, examples, tuple("abcdefghij"[:k]))


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """A model of the registry for (1, 8, 8) bytes, or for another shape, with small layers."""

    def make(
        name: str, shape: tuple[int, ...] = (1, 8, 8), k: int = K, network: Any = "small"
    ) -> Model:
        config = TrainConfig(model=name, network=network).for_model()
        options = config.own_options()
        options |= {o: 8 for o in ("n_latent", "n_aux", "n_hidden") if o in options}
        torch.manual_seed(0)
        return build_model(name, network, dataset(shape, k=k), options)

    return make


@pytest.fixture
def make_batch() -> Callable[[Model], Batch]:
    """A batch of 24 for a model, of which 8 labelled where it takes unlabelled examples too."""

    def make(model: Model) -> Batch:
        data = dataset(model.spec.shape, k=model.n_classes).train
        x, y, positions = torch.from_numpy(data.x), torch.from_numpy(data.y), torch.arange(N)
        if model.uses_unlabeled:
            return Batch(x[:8], y[:8], x.flip(0), 1.5, positions.flip(0))
        return Batch(x, y, None, 1.5, positions)

    return make


@pytest.fixture
def make_views(make_batch: Callable[[Model], Batch]) -> Callable[..., Views]:
    """Views of such a batch, augmented as its shape asks for."""

    def make(model: Model, augment: str = "auto", **options: Any) -> Views:
        augmentation = make_augmentation(augment, model.spec.shape)
        return Views(model, make_batch(model), augmentation, **options)

    return make


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """What a method is made from, with settings under which every example matters."""

    def make(model: Model, **settings: Any) -> Task:
        given: dict[str, Any] = {
            "class_prior": None,
            "threshold": 0.0,
            "teacher_decay": 0.9,
            "vat_epsilon": 0.5,
            "spread_every": 1,
        }
        examples = dataset(model.spec.shape, k=model.n_classes).train
        return Task(model, **{"examples": examples} | given | settings)

    return make


@pytest.fixture
def given() -> Callable[..., Views]:
    """Views whose properties have the values given."""

    def make(model: Any = None, batch: Any = None, **values: Tensor) -> Views:
        views = Views(model, batch, NoAugmentation())
        for name, value in values.items():
            setattr(views, name, value)
        return views

    return make


@pytest.fixture
def linear(make_model: Callable[..., Model]) -> Callable[..., Model]:
    """softmax(W x + b) of inputs as they are."""

    def make(weight: Tensor, bias: Tensor) -> Model:
        model = make_model("softmax", (weight.shape[1],), k=len(bias))
        model.standardize.shift.zero_()
        model.standardize.scale.fill_(1)
        layer = next(m for m in model.modules() if isinstance(m, nn.Linear))
        layer.weight.data, layer.bias.data = weight.clone(), bias.clone()
        return model

    return make
