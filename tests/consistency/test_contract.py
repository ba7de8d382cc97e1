"""What every consistency method must keep, on every model."""

import copy
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dhm.augment.registry import make_augmentation
from dhm.config import TrainConfig
from dhm.consistency.base import ConsistencyMethod, Task, Views
from dhm.consistency.registry import METHODS, method_class
from dhm.consistency.regularized import Regularized, Weighted
from dhm.data.dataset import Examples
from dhm.errors import ConfigError
from dhm.models.base import Batch, LatentModel, Model
from dhm.models.registry import MODELS

Make = Callable[..., Any]
N = 24  # as many as in the batch of the fixture
SHAPES = [(1, 8, 8), (6,)]


def fitted(name: str, task: Task) -> ConsistencyMethod | None:
    """The method; None after a check that one the model cannot be used with is refused in words."""
    if name == "latent_vat" and not isinstance(task.model, LatentModel):
        with pytest.raises(ConfigError, match=rf"--latent_vat .*--model {task.model.spec.model}"):
            method_class(name)(task)
        return None
    return method_class(name)(task)


def test_every_method_has_its_weight() -> None:
    options = {f.name: f for f in fields(TrainConfig) if f.metadata["group"] == "consistency"}
    settings = {name for name, f in options.items() if f.metadata["used_by"]} | {"augment"}
    assert options.keys() - settings == METHODS.keys()
    assert all(options[name].default == 0 for name in METHODS)


@pytest.mark.parametrize(("name", "model_name", "shape"), [*product(METHODS, MODELS, SHAPES)])
def test_every_method_on_every_model(
    name: str,
    model_name: str,
    shape: tuple[int, ...],
    make_model: Make,
    make_task: Make,
    make_views: Make,
) -> None:
    model: Model = make_model(model_name, shape).train()
    method = fitted(name, make_task(model))
    if method is None:
        return
    assert not any(p.requires_grad for p in method.parameters())
    F.cross_entropy(model.logits(make_views(model).batch.x), make_views(model).batch.y).backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached
    method.start_epoch(model, 1)
    # Temporal ensembling has nothing to agree with before the second epoch.
    for _ in range(2):
        model.zero_grad()
        views: Views = make_views(model, weak_gradient=method.weak_gradient)
        c = method(views)
        assert c.shape == () and c.isfinite() and c.dtype == torch.float32
        if c.requires_grad:
            c.backward()
    for name_, p in model.named_parameters():
        # Dropout may leave a hidden unit out of one pass but not a whole parameter.
        assert name_ not in reached or (p.grad is not None and p.grad.any()), name_
    assert all(not note.requires_grad and note.shape == () for note in views.notes.values())
    assert all(m.training for m in model.modules()), "left as it was"


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("network", ["small", "mlp"])
def test_what_samples_are_made_by_is_left_alone(
    name: str, network: str, make_model: Make, make_task: Make, make_views: Make
) -> None:
    """A generator's running statistics are of z from the prior, whatever else passes through it."""
    model = make_model("semisup-ali", network=network).train()
    before = {key: value.clone() for key, value in model.generator.state_dict().items()}
    method = method_class(name)(make_task(model))
    method.start_epoch(model, 1)
    method(make_views(model))
    assert all(torch.equal(value, before[k]) for k, value in model.generator.state_dict().items())


@pytest.mark.parametrize("name", METHODS)
def test_consistent_and_certain_predictions_cost_nothing(
    name: str, linear: Make, make_task: Make, make_views: Make
) -> None:
    """Predictions that are the same everywhere, and certain; and so without any information."""
    model = linear(torch.zeros(4, 6), torch.tensor([0.0, 100.0, 0.0, 0.0]))
    x = torch.randn(N, 6).numpy()
    method = fitted(name, make_task(model, examples=Examples(x, np.full(N, 1))))
    if method is None:
        return
    method.start_epoch(model, 1)
    for _ in range(2):
        assert abs(method(make_views(model)).item()) < 1e-6


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_state_goes_on_where_it_was_left(
    name: str,
    shape: tuple[int, ...],
    make_model: Make,
    make_task: Make,
    make_batch: Make,
) -> None:
    model: Model = make_model("semisup-hdgm", shape).train()
    batch: Batch = make_batch(model)

    if fitted(name, make_task(model)) is None:
        return

    def make() -> Regularized:
        own = copy.deepcopy(model)
        task = make_task(own, class_prior=torch.ones(4) / 4)
        weighted = Weighted(2.0, method_class(name)(task))
        augmentation = make_augmentation("auto", shape)
        return Regularized(own, {name: weighted}, augmentation, 2.0).train()

    one = make()
    one.start_epoch(one.model, 1)
    optimizer = torch.optim.SGD(one.model.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        one(batch, "hybrid").total.backward()
        optimizer.step()
    other = make()
    fresh = make()
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    fresh.model.load_state_dict(one.model.state_dict())
    losses = []
    for each in (one, other, fresh):
        torch.manual_seed(1)
        losses.append(each(batch, "hybrid").terms[name])
    assert torch.equal(losses[0], losses[1])
    if one.methods[name].state_dict() and name != "fixmatch":
        assert losses[0] != losses[2], "what it remembers matters"
