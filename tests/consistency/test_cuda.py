"""On CUDA: no step of training waits for the device, whatever regularises it."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
import torch

from dhm.augment.registry import make_augmentation
from dhm.consistency.registry import METHODS, method_class
from dhm.consistency.regularized import Regularized, Weighted
from dhm.models.base import Batch, LatentModel, Model
from dhm.models.registry import MODELS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
CUDA = torch.device("cuda")
SHAPES = [(1, 8, 8), (6,)]
Make = Callable[..., Any]


@contextmanager
def no_waiting() -> Iterator[None]:
    """An error for every operation that makes the host wait for the device."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def on_cuda(batch: Batch) -> Batch:
    return Batch(*(part.to(CUDA) if isinstance(part, torch.Tensor) else part for part in batch))


@pytest.mark.parametrize(("name", "shape"), [*product(MODELS, SHAPES)])
def test_no_step_waits_for_the_device(
    name: str, shape: tuple[int, ...], make_model: Make, make_task: Make, make_batch: Make
) -> None:
    """With every consistency method at once; the first step may wait, for it sets libraries up."""
    model: Model = make_model(name, shape).to(CUDA).train()
    fitting = [m for m in METHODS if m != "latent_vat" or isinstance(model, LatentModel)]
    task = make_task(model, class_prior=torch.ones(model.n_classes) / model.n_classes)
    methods = {m: Weighted(1.0, method_class(m)(task)) for m in fitting if model.has_classifier}
    objective = Regularized(model, methods, make_augmentation("auto", shape), 0.0).to(CUDA)
    objective.start_epoch(model, 0)
    batch = on_cuda(make_batch(model))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        for player in model.players():
            objective(batch, player).total.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    with no_waiting():
        step()
