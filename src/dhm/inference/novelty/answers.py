"""What a trained model says of inputs: the material that scores of novelty are made of."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dhm.inference.likelihood import log_likelihood
from dhm.inference.noise import RowNoise
from dhm.inference.predict import predict_features, predict_latent, predict_logits
from dhm.models.base import GenerativeModel, LatentModel, Model
from dhm.nn.device import to_device

N_SAMPLES = 16
"""Importance samples of each log p(x): ranks of inputs need fewer than values do."""


class Answers:
    """A model's answers about N inputs as stored, each computed when first asked for, and once.

    Arguments:
        model: the trained model.
        x: (N, *shape), an array as stored.
        y: (N,) class indices, -1 where unknown; none are known by default.
        seed: of what is drawn for an input, which depends on it and the seed alone.
    """

    def __init__(self, model: Model, x: Any, y: Any = None, seed: int = 0) -> None:
        self.model, self.x, self.seed = model, x, seed
        self.y = np.full(x.shape[0], -1) if y is None else np.asarray(y)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def inputs(self) -> Tensor:
        """(N, *shape) on the model's device, as stored."""
        return to_device(self.x, self.model.standardize.scale.device)

    @cached_property
    def logits(self) -> Tensor:
        """Logits of p(y|x), (N, K)."""
        return predict_logits(self.model, self.x)

    @cached_property
    def features(self) -> Tensor:
        """What the last layer of p(y|x) sees, (N, d)."""
        return predict_features(self.model, self.x)

    @cached_property
    def z(self) -> Tensor:
        """The mean of q(z|x), or E(x), (N, n_latent)."""
        assert isinstance(self.model, LatentModel)
        return predict_latent(self.model, self.x)

    @cached_property
    def log_px(self) -> Tensor:
        """Estimates of log p(x), nats, (N,)."""
        assert isinstance(self.model, GenerativeModel)
        return log_likelihood(self.model, self.x, N_SAMPLES, seed=self.seed).value

    @cached_property
    def reconstruction_error(self) -> Tensor:
        """Mean square, over the entries of a network input, of what its z leaves out, (N,)."""
        assert isinstance(self.model, LatentModel)
        left_out = self.model.standardize(self.inputs) - self.model.decode(self.z)
        return left_out.square().flatten(1).nanmean(1)

    def normal(self, k: int, n: int) -> Tensor:
        """k draws of n standard normal numbers for each input, (k, N, n)."""
        x = self.x.toarray() if hasattr(self.x, "toarray") else self.x
        return RowNoise(x, self.seed, self.inputs.device).normal(k, n)

    @cached_property
    def labels(self) -> Tensor:
        """The class of each input, (N,): as given, else predicted, else 0 for all of them."""
        y = torch.from_numpy(self.y).to(self.model.standardize.scale.device)
        if (self.y >= 0).all():
            return y
        if not self.model.has_classifier:
            return torch.zeros_like(y)
        return torch.where(y >= 0, y, self.logits.argmax(1))
