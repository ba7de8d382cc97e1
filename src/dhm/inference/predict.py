"""Logits and features of many examples, in batches of bounded memory."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dhm.inference.chunks import evaluating
from dhm.models.base import LatentModel, Model, check_inputs
from dhm.nn.device import to_device

BATCH = 1000
MOST_INPUTS = 1024
"""Entries of an input that `predict_inputs` keeps apart."""


def predict_logits(model: Model, x: Any) -> Tensor:
    """Logits of p(y|x), (N, K) on the model's device, from an array as stored."""
    return _in_batches(model, x, model.logits)


def predict_latent(model: LatentModel, x: Any) -> Tensor:
    """z of each input, (N, n_latent) on the model's device: E(x), or the mean of q(z|x)."""
    return _in_batches(model, x, model.encode)


def reconstruct(model: LatentModel, x: Any) -> Tensor:
    """What the model makes of z of each input, (N, *shape) in the units of stored inputs."""

    def compute(part: Tensor) -> Tensor:
        return model.standardize.inverse(model.decode(model.encode(part)))

    return _in_batches(model, x, compute)


def predict_features(model: Model, x: Any) -> Tensor:
    """What the last layer of p(y|x) sees, (N, d) on the model's device."""
    return _in_batches(model, x, model.features)


def predict_inputs(model: Model, x: Any) -> Tensor:
    """What the networks see of each input, (N, d) on the model's device.

    More than 1,024 entries are hashed to so many: sums of entries with random signs, which keep the
    products of inputs on average, so that memory does not grow with the size of an input.

    References:
        Weinberger et al., Feature hashing for large scale multitask learning, ICML 2009.
    """
    size = prod(model.spec.shape)
    generator = torch.Generator().manual_seed(0)
    place = torch.randint(MOST_INPUTS, (size,), generator=generator)
    sign = 2.0 * torch.randint(2, (size,), generator=generator) - 1
    place, sign = (t.to(model.standardize.scale.device) for t in (place, sign))

    def compute(part: Tensor) -> Tensor:
        u = model.fill(model.standardize(part)).flatten(1)
        if size <= MOST_INPUTS:
            return u
        return u.new_zeros(len(u), MOST_INPUTS).index_add_(1, place, u * sign)

    return _in_batches(model, x, compute)


@torch.no_grad()
def _in_batches(model: Model, x: Any, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """What is computed of all examples, a batch at a time, with the model in evaluation mode."""
    check_inputs(model, x)
    device = model.standardize.scale.device
    n = x.shape[0]
    # Positions, not a slice: a copy, so that nothing done to it reaches the caller's array.
    rows = np.split(np.arange(n), range(BATCH, n, BATCH))
    with evaluating(model):
        return torch.cat([compute(to_device(x[r], device)).float() for r in rows])
