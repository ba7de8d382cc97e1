"""What is missing of an input, NaN, filled in from the rest, and its class predicted all the same.

With x_o what is observed and x_m what is missing, draws z_k of a Gaussian q(z), fitted to x_o by
`own_posterior`, with weights w_k = p(x_o, z_k) / q(z_k), normalised, stand for p(z|x_o):

    p(x_m|x_o) ~ sum_k w_k p(x_m|z_k)        p(y|x_o) ~ E_p(x_m|x_o) p(y|x_o, x_m)

Both are exact in the limit of many draws.

References:
    Mattei & Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets,
    ICML 2019, equations 12 to 14; Ipsen et al., How to deal with missing data in supervised deep
    learning?, ICLR 2022.
"""

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dhm.errors import ConfigError
from dhm.inference.abilities import require_density
from dhm.inference.chunks import (
    PAIRS,
    check_examples,
    check_size,
    evaluating,
    pairs_at_once,
    rows,
    spans,
)
from dhm.inference.noise import RowNoise
from dhm.inference.own_posterior import fit_posterior
from dhm.inference.predict import predict_logits
from dhm.models.base import GenerativeModel, Model
from dhm.nn.device import to_device
from dhm.nn.distributions import diagonal_gaussian, draw, is_grey
from dhm.nn.generators import seeded

STEPS, STEP_SIZE = 50, 0.05
"""Of the fit of q(z) to each input."""


class Imputation(NamedTuple):
    """Inputs with their missing entries filled in, in the units they are stored in, as floats."""

    mean: Tensor
    """(N, *shape): E[x|x_o], the guess of least square error; observed entries as they were."""
    standard_deviation: Tensor
    """(N, *shape): of each missing entry given x_o; 0 where observed."""
    draws: Tensor
    """(n_draws, N, *shape): draws of x_m from p(x_m|x_o), all entries of one draw together."""


@torch.no_grad()
def impute(
    model: Model, x: Any, n_draws: int = 1, *, n_samples: int = 100, seed: int = 0
) -> Imputation:
    """Fill in the entries of inputs that are missing, from those observed.

    What is drawn for an input depends on it and the seed alone. An observed value so far out that
    p(x_o, z) is 0 in floats for every draw says nothing of z: it is then drawn from the prior.

    Grey levels under a Bernoulli p(x|z) count as probabilities, so the draws of images take its
    mean for a pixel, and the standard deviation is that of the means.

    Arguments:
        model: a model with p(x|z); trained with `hide` it guesses best.
        x: (N, *shape) as stored, NaN where missing: floats, in 0..255 if the model learnt bytes.
        n_draws: how many fillings to draw of each input.
        n_samples: importance samples of z for each input.
        seed: of the draws; the global generator is left as it was.

    Raises `UnsupportedError` for a model without p(x|z), `ConfigError` for numbers below 1 and for
    more than memory should hold, `DataError` for no inputs or some of another shape.

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

    check_examples(model, x)
    n, shape, device = x.shape[0], model.spec.shape, model.standardize.scale.device
    check_size(
        f"{n_draws} fillings of {n} inputs and their moments",
        (n_draws + 2) * n,
        shape,
        "draw fewer, or give fewer inputs at a time",
    )
    mean, deviation = torch.empty(2, n, *shape, device=device)
    draws = torch.empty(n_draws, n, *shape, device=device)
    with evaluating(model):
        for span in spans(n, _rows_at_a_time(model, n_samples)):
            at = slice(span.start, span.stop)
            part, posterior = _posterior(generative, rows(x, span), n_samples, seed)
            missing = part.isnan()

            def filled(u: Tensor, part: Tensor = part, missing: Tensor = missing) -> Tensor:
                return torch.where(missing, model.standardize.inverse(u), part)

            mean_u, deviation_u = _moments(generative, posterior)
            mean[at] = filled(mean_u)
            deviation[at] = deviation_u * model.standardize.scale * missing
            for drawn, u in _draws(generative, posterior, n_draws):
                draws[drawn.start : drawn.stop, at] = filled(u)
    return Imputation(mean, deviation, draws)


@torch.no_grad()
def predict_proba(model: Model, x: Any, *, n_samples: int = 100, seed: int = 0) -> Tensor:
    """p(y|x_o), (N, n_classes), of inputs with or without missing entries.

    Of an input without, softmax of the model's logits. For others p(y|x) is averaged over draws of
    what is missing, from p(x_m|x_o). A model that was trained with `hide` has also learnt p(y|x_o)
    itself: of these two estimates, whose errors differ, the mean is taken. Networks that have no
    p(x|z) see what `Model.fill` puts in the place of NaN. An answer depends on the input and the
    seed alone.

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
    x = x.cpu().numpy() if isinstance(x, Tensor) else x
    p_y = predict_logits(model, x).softmax(1)
    if not model.has_density:
        return p_y
    generative = require_density(model)
    learnt = 0.5 if model.spec.options.get("hide") else 0.0
    incomplete = _incomplete(x)
    with evaluating(model):
        for span in spans(len(incomplete), _rows_at_a_time(model, n_samples)):
            at = incomplete[span.start : span.stop]
            averaged = _averaged(generative, rows(x[at], range(len(at))), n_samples, seed)
            p_y[at] = learnt * p_y[at] + (1 - learnt) * averaged
    return p_y


class _Posterior(NamedTuple):
    """Draws of z that with their weights stand for p(z|x_o), of B inputs."""

    z: Tensor
    """(K, B, n_latent)."""
    weights: Tensor
    """(K, B), which sum to 1 over the draws."""
    noise: RowNoise
    """What further draws for these inputs are made from."""


def _incomplete(x: Any) -> NDArray[np.intp]:
    """The positions of inputs with missing entries."""
    if x.dtype.kind != "f":
        return np.zeros(0, np.intp)
    parts = (np.isnan(rows(x, span)).reshape(len(span), -1) for span in spans(x.shape[0], PAIRS))
    return np.flatnonzero(np.concatenate([part.any(1) for part in parts]))


def _averaged(model: GenerativeModel, x: NDArray[Any], n_samples: int, seed: int) -> Tensor:
    """E p(y|x_o, x_m), (B, n_classes)."""
    # A few draws of z carry the weight: as many completions as draws would be much alike.
    n = max(1, n_samples // 5)
    part, posterior = _posterior(model, x, n_samples, seed)
    total = torch.zeros(len(x), model.n_classes, device=part.device)
    for _, u in _draws(model, posterior, n):
        completions = torch.where(part.isnan(), model.standardize.inverse(u), part)
        p_y = model.logits(completions.flatten(0, 1)).float().softmax(1)
        total += p_y.unflatten(0, u.shape[:2]).sum(0)
    return total / n


def _posterior(
    model: GenerativeModel, x: NDArray[Any], n_samples: int, seed: int
) -> tuple[Tensor, _Posterior]:
    """Inputs as stored on the model's device, and draws of their z."""
    device = model.standardize.scale.device
    part, noise = to_device(x, device), RowNoise(x, seed, device)
    p_z = model.p_z()
    (n_latent,) = p_z.event_shape
    check_size("the draws of z", n_samples, (n_latent,), "use a smaller n_samples")
    fit = fit_posterior(model, part, noise.normal(STEPS, n_latent)[:, None], STEP_SIZE)
    q = diagonal_gaussian(torch.stack([fit.mean, 2 * fit.log_sd], 1))
    draws, log_weights = [], []
    for samples in spans(n_samples, pairs_at_once(model.spec.shape)):
        z = q.mean + q.stddev * noise.normal(len(samples), n_latent)
        draws.append(z)
        log_weights.append(p_z.log_prob(z) + model.log_px_given_z(part, z) - q.log_prob(z))
    z, log_weight = torch.cat(draws), torch.cat(log_weights)
    finite = log_weight.isfinite()
    z = torch.where(finite[..., None], z, 0.0)  # such a draw counts for nothing
    log_weight = torch.where(finite, log_weight, -torch.inf)
    hopeless = ~finite.any(0)
    if hopeless.any():
        with seeded(seed, device):
            prior = model.sample_prior(n_samples)
        z = torch.where(hopeless[:, None], prior[:, None], z)
        log_weight = log_weight.masked_fill(hopeless, 0.0)
    return part, _Posterior(z, log_weight.softmax(0), noise)


def _moments(model: GenerativeModel, posterior: _Posterior) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of x under p(x|x_o), (B, *shape) each, network inputs."""
    z, weights, _ = posterior
    # Both are taken relative to a point near the mean, so that squares do not cancel.
    centre = model.p_x((weights[..., None] * z).sum(0)).mean
    first, second = torch.zeros_like(centre), torch.zeros_like(centre)
    for span in spans(len(z), pairs_at_once(model.spec.shape)):
        p = model.p_x(z[span.start : span.stop])
        w = weights[span.start : span.stop]
        w = w.view(*w.shape, *(1 for _ in p.event_shape))
        above = p.mean - centre
        first += (w * above).sum(0)
        second += (w * (above.square() if is_grey(p) else above.square() + p.variance)).sum(0)
    return centre + first, (second - first.square()).clamp(min=0).sqrt()


def _draws(model: GenerativeModel, posterior: _Posterior, n: int) -> Iterator[tuple[range, Tensor]]:
    """n draws of x from p(x|x_o), some (k, B, *shape) at a time with their numbers."""
    z, weights, noise = posterior
    at_most = torch.cumsum(weights, 0).T.contiguous()
    u = noise.uniform(n).T * at_most[:, -1:]
    chosen = torch.searchsorted(at_most, u.contiguous(), right=True).clamp(max=len(z) - 1).T
    shape = model.spec.shape
    for span in spans(n, max(1, pairs_at_once(shape) // z.shape[1])):
        picked = chosen[span.start : span.stop]
        k, b = picked.shape

        def uniform(k: int = k, b: int = b) -> Tensor:
            return noise.uniform(k * prod(shape)).view(k, prod(shape), b).mT.reshape(k, b, *shape)

        yield span, draw(model.p_x(z[picked, torch.arange(b, device=z.device)]), uniform)


def _rows_at_a_time(model: Model, n: int) -> int:
    return max(1, pairs_at_once(model.spec.shape) // n)


def _check(n: int, name: str) -> None:
    if n < 1:
        raise ConfigError(f"{name} should be at least 1, found {n}")
