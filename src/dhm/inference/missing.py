"""What is missing of an input, NaN, filled in from the rest, and its class predicted all the same.

With x_o what is observed and x_m what is missing, draws z_k of q(z|x_o) with weights
w_k = p(x_o, z_k) / q(z_k|x_o), normalised, stand for p(z|x_o):

    p(x_m|x_o) ~ sum_k w_k p(x_m|z_k)        p(y|x_o) ~ E_p(x_m|x_o) p(y|x_o, x_m)

Both are exact in the limit of many draws.

References:
    Mattei & Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets,
    ICML 2019, equations 12 to 14; Ipsen et al., How to deal with missing data in supervised deep
    learning?, ICLR 2022.
"""

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dhm.errors import ConfigError
from dhm.inference.abilities import require_density
from dhm.inference.noise import seeded
from dhm.inference.predict import BATCH, in_batches
from dhm.models.base import GenerativeModel, Model
from dhm.nn.distributions import is_grey

ENTRIES = 2**22
"""Entries of p(x|z) held at a time."""


class Imputation(NamedTuple):
    """Inputs with their missing entries filled in, in the units they are stored in, as floats."""

    mean: Tensor
    """(N, *shape): E[x|x_o], the guess of least square error; observed entries as they were."""
    standard_deviation: Tensor
    """(N, *shape): of each missing entry given x_o; 0 where observed."""
    draws: Tensor
    """(n_draws, N, *shape): draws of x_m from p(x_m|x_o), all entries of one draw together."""


def impute(
    model: Model, x: Any, n_draws: int = 1, *, n_samples: int = 100, seed: int = 0
) -> Imputation:
    """Fill in the entries of inputs that are missing, from those observed.

    Grey levels under a Bernoulli p(x|z) count as probabilities, so the draws of images take its
    mean for a pixel, and the standard deviation is that of the means.

    Arguments:
        model: a model with p(x|z); trained with `hide` it guesses best.
        x: (N, *shape) as stored, NaN where missing: floats, in 0..255 if the model learnt bytes.
        n_draws: how many fillings to draw of each input.
        n_samples: importance samples of z for each input.
        seed: of the draws; the global generator is left as it was.

    Raises `UnsupportedError` for a model without p(x|z), `ConfigError` for numbers below 1,
    `DataError` for inputs of another shape.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from dhm import TrainConfig, load_data, load_model, train
        >>> config = TrainConfig(n_labeled=50, epochs=1, hide=0.5, run_dir=tempfile.mkdtemp())
        >>> model = load_model(train(config, progress=False)["run"])
        >>> x = load_data("digits").test.x[:5].astype(np.float32)
        >>> x[:, :, :4] = np.nan  # the upper half
        >>> filled = impute(model, x, n_draws=3)
        >>> filled.mean.shape, filled.draws.shape, filled.mean.isfinite().all().item()
        (torch.Size([5, 1, 8, 8]), torch.Size([3, 5, 1, 8, 8]), True)
    """
    generative = require_density(model)
    _check(n_draws, "n_draws")
    _check(n_samples, "n_samples")

    def compute(part: Tensor) -> Tensor:
        z, weights = _posterior(generative, part, n_samples)
        mean, spread = _moments(generative, z, weights)
        draws = _draws(generative, z, weights, n_draws)
        stored = model.standardize.inverse(torch.cat([mean[None], draws]))
        missing = part.isnan()
        filled = torch.where(missing, stored, part)
        spread = spread * model.standardize.scale * missing
        return torch.cat([spread[None], filled]).transpose(0, 1)

    with seeded(seed, model.standardize.scale.device):
        at_a_time = _rows_at_a_time(model, max(n_samples, n_draws))
        rows = in_batches(model, x, at_a_time, compute).transpose(0, 1)
    return Imputation(rows[1], rows[0], rows[2:])


def predict_proba(model: Model, x: Any, *, n_samples: int = 100, seed: int = 0) -> Tensor:
    """p(y|x_o), (N, n_classes), of inputs with or without missing entries.

    Of an input without, softmax of the model's logits. For others p(y|x) is averaged over draws of
    what is missing, from p(x_m|x_o). A model that was trained with `hide` has also learnt p(y|x_o)
    itself: of these two estimates, whose errors differ, the mean is taken. Networks that have no
    p(x|z) see what `Model.fill` puts in the place of NaN.

    Arguments:
        model: the model.
        x: (N, *shape) as stored, NaN where missing: floats, in 0..255 if the model learnt bytes.
        n_samples: importance samples of z for each input with missing entries, of which a fifth as
            many completions are drawn.
        seed: of the draws; the global generator is left as it was.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from dhm import TrainConfig, load_data, load_model, train
        >>> config = TrainConfig(n_labeled=50, epochs=1, run_dir=tempfile.mkdtemp())
        >>> model = load_model(train(config, progress=False)["run"])
        >>> x = load_data("digits").test.x[:5].astype(np.float32)
        >>> x[:3, :, :4] = np.nan  # the upper half of three
        >>> predict_proba(model, x, n_samples=20).sum(1).round(decimals=4)
        tensor([1., 1., 1., 1., 1.])
    """
    _check(n_samples, "n_samples")
    completes = isinstance(model, GenerativeModel) and model.has_density
    learnt = 0.5 if model.spec.options.get("hide") else 0.0

    def compute(part: Tensor) -> Tensor:
        p_y = model.logits(part).float().softmax(1)
        if not completes or not part.is_floating_point():
            return p_y
        incomplete = part.isnan().flatten(1).any(1).nonzero()[:, 0]
        at_a_time = _rows_at_a_time(model, n_samples)
        for rows in incomplete.split(at_a_time) if len(incomplete) else ():
            averaged = _averaged(require_density(model), part[rows], n_samples)
            p_y[rows] = learnt * p_y[rows] + (1 - learnt) * averaged
        return p_y

    with seeded(seed, model.standardize.scale.device):
        return in_batches(model, x, BATCH, compute)


def _averaged(model: GenerativeModel, x: Tensor, n_samples: int) -> Tensor:
    """E p(y|x_o, x_m), (B, n_classes)."""
    # A few draws of z carry the weight: as many completions as draws would be much alike.
    n = max(1, n_samples // 5)
    z, weights = _posterior(model, x, n_samples)
    draws = model.standardize.inverse(_draws(model, z, weights, n))
    completions = torch.where(x.isnan(), draws, x)
    p_y = model.logits(completions.flatten(0, 1)).float().softmax(1)
    return p_y.unflatten(0, (n, len(x))).mean(0)


def _posterior(model: GenerativeModel, x: Tensor, n_samples: int) -> tuple[Tensor, Tensor]:
    """Draws of z, (K, B, n_latent), that with their weights (K, B) stand for p(z|x_o)."""
    noise = torch.randn(n_samples, len(x), model.n_noise, device=x.device)
    drawn = model.importance_samples(x, noise)
    return drawn.z, drawn.log_weight.softmax(0)


def _moments(model: GenerativeModel, z: Tensor, weights: Tensor) -> Tensor:
    """Mean and standard deviation of x under p(x|x_o), (2, B, *shape), network inputs."""
    p = model.p_x(z)
    means = p.mean
    weights = weights.view(*weights.shape, *(1 for _ in p.event_shape))
    mean = (weights * means).sum(0)
    variance = (weights * (means - mean).square()).sum(0)
    if not is_grey(p):
        variance = variance + (weights * p.variance).sum(0)
    return torch.stack([mean, variance.sqrt()])


def _draws(model: GenerativeModel, z: Tensor, weights: Tensor, n: int) -> Tensor:
    """Draws of x from p(x|x_o), (n, B, *shape), network inputs."""
    chosen = torch.multinomial(weights.T, n, replacement=True).T
    return model.draw(z[chosen, torch.arange(len(chosen[0]), device=chosen.device)])


def _rows_at_a_time(model: Model, n: int) -> int:
    return max(1, ENTRIES // (n * prod(model.spec.shape)))


def _check(n: int, name: str) -> None:
    if n < 1:
        raise ConfigError(f"{name} should be at least 1, found {n}")
