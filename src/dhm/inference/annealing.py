"""log p(x) by annealed importance sampling: the tight check on what importance sampling finds.

From a Gaussian r(z|x) a chain of T Hamiltonian Monte Carlo transitions moves each z to the
posterior, through densities in between,

    f_t(z) = r(z|x)^(1 - b_t) [p(z) p(x|z)]^(b_t)      0 = b_0 < ... < b_T = 1

and collects the weight w = prod_t f_t(z_{t-1}) / f_{t-1}(z_{t-1}), whose mean is p(x). The
auxiliary variable has no part in it, as p(x, z) does not depend on it.

Step sizes are found during the run by chains that are not counted: were they found by the chains
that are, a step would depend on where the chain had been, and the mean of w not be p(x).

References:
    Neal, Annealed importance sampling, Statistics and Computing 2001; Wu et al., On the
    quantitative analysis of decoder-based generative models, ICLR 2017 (b_t, HMC, adaptation).
"""

from itertools import pairwise
from math import log, pi
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dhm.errors import ConfigError
from dhm.inference.abilities import require_density
from dhm.inference.chunks import check_examples, evaluating, pairs_at_once, rows, spans
from dhm.inference.likelihood import Estimate, RunningSums, concatenated
from dhm.inference.noise import RowNoise
from dhm.models.base import GenerativeModel
from dhm.nn.device import to_device

STARTS = ("posterior", "prior")
N_PILOTS = 4
ACCEPTANCE = 0.65
"""The share of accepted proposals that step sizes aim at, the best for HMC (Neal 2011)."""


def annealed_log_likelihood(
    model: GenerativeModel,
    x: Any,
    n_chains: int = 16,
    n_temperatures: int = 200,
    *,
    n_leapfrog: int = 5,
    start: str = "posterior",
    seed: int = 0,
) -> Estimate:
    """log p(x) of each example by annealed importance sampling.

    It takes (n_chains + 4) x n_temperatures x n_leapfrog gradients of log p(x, z) an example,
    20,000 by default: for a check on tens or hundreds of examples. Like any logarithm of an
    average of weights it is below log p(x) on average; more temperatures bring it nearer.

    Arguments:
        model: one with a density.
        x: (N, *shape) as stored; NaN is missing.
        n_chains: weights that are averaged, and that the standard error is from (delta method).
        n_temperatures: T, the number of transitions.
        n_leapfrog: steps of a transition.
        start: r(z|x), "posterior" for the encoder's Gaussian, or "prior" for a Gaussian with the
            prior's mean and variance, the prior itself unless it is one of classes; far more
            temperatures are needed then, but the encoder has no part in the result.
        seed: of the draws; torch's global generator is left alone.

    Raises:
        UnsupportedError: the model has no p(x).
        DataError: there is no example, or they have another shape than the model's.
        ConfigError: a number is below 1, or the start is unknown.

    Example:
        >>> import dhm, tempfile
        >>> config = dhm.TrainConfig(epochs=1, run_dir=tempfile.mkdtemp(), n_eval_samples=1)
        >>> model = dhm.load_model(dhm.train(config, progress=False)["run"])
        >>> x = dhm.load_data("digits").test.x[:3]
        >>> annealed_log_likelihood(model, x, 4, 10).value.shape
        torch.Size([3])
    """
    if start not in STARTS:
        raise ConfigError(f"expected start to be one of {', '.join(STARTS)}, found {start!r}")
    if min(n_chains, n_temperatures, n_leapfrog) < 1:
        raise ConfigError(
            "expected at least 1 chain, temperature and leapfrog step, found "
            f"{n_chains}, {n_temperatures} and {n_leapfrog}"
        )
    model = require_density(model)
    check_examples(model, x)
    device = model.standardize.scale.device
    # Gradients hold what lies between z and log p(x|z) as well.
    pairs = max(1, pairs_at_once(model.spec.shape) // 4)
    together = min(n_chains, max(1, pairs - N_PILOTS))
    parts = []
    with evaluating(model):
        for positions in spans(x.shape[0], max(1, pairs // (together + N_PILOTS))):
            part = rows(x, positions)
            noise = RowNoise(part, seed, device)
            stored = to_device(part, device)
            target = _Target(model, stored, start)
            sums = RunningSums()
            for chains in spans(n_chains, together):
                sums.add(_anneal(target, noise, len(chains), n_temperatures, n_leapfrog))
            parts.append(sums)
    whole = concatenated(parts)
    return Estimate(whole.log_mean(), whole.log_mean_error())


def temperatures(n: int) -> Tensor:
    """b_0 = 0 to b_n = 1, close together at both ends, as a sigmoid from -4 to 4.

    Example:
        >>> temperatures(4)
        tensor([0.0000, 0.1050, 0.5000, 0.8950, 1.0000])
    """
    b = torch.sigmoid(torch.linspace(-4, 4, n + 1))
    return (b - b[0]) / (b[-1] - b[0])


class _Point(NamedTuple):
    """Where chains are: u, in which r is N(0, I), with both ends' log-densities and gradients."""

    u: Tensor
    """(K, B, n_latent)."""
    log_r: Tensor
    """(K, B) nats, up to the constant that both ends share."""
    log_p: Tensor
    """(K, B) nats, log p(x, z) and the volume that z = mean + scale u has to u, less the same."""
    grad_p: Tensor
    """Of log_p by u; that of log_r is -u."""

    def log_density(self, b: Tensor) -> Tensor:
        return (1 - b) * self.log_r + b * self.log_p

    def gradient(self, b: Tensor) -> Tensor:
        return b * self.grad_p - (1 - b) * self.u


class _Target:
    """r(z|x) and p(x, z) of B inputs, as functions of u = (z - mean) / scale."""

    def __init__(self, model: GenerativeModel, stored: Tensor, start: str) -> None:
        self.model, self.stored = model, stored
        with torch.no_grad():
            r = model.posterior(stored) if start == "posterior" else model.p_z()
            # One for each input, as every chain has its own place.
            self.mean = r.mean.expand(len(stored), -1)
            self.scale = r.stddev.expand(len(stored), -1)
            self.constant = (self.scale.log() + 0.5 * log(2 * pi)).sum(-1)

    def at(self, u: Tensor) -> _Point:
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            z = self.mean + self.scale * u
            log_pxz = self.model.p_z().log_prob(z) + self.model.log_px_given_z(self.stored, z)
            (gradient,) = torch.autograd.grad(log_pxz.sum(), u)
        u = u.detach()
        return _Point(u, -0.5 * u.square().sum(-1), log_pxz.detach() + self.constant, gradient)


@torch.no_grad()
def _anneal(
    target: _Target, noise: RowNoise, n_chains: int, n_temperatures: int, n_leapfrog: int
) -> Tensor:
    """log w of each chain, nats, (n_chains, B)."""
    n = n_chains + N_PILOTS
    n_latent = target.mean.shape[-1]
    point = target.at(noise.normal(n, n_latent))
    log_w = torch.zeros_like(point.log_r)
    # The step size of each input; 1 / n_latent^(1/4) is how it goes with the dimension (Neal 2011).
    step = torch.full_like(log_w[0], n_latent**-0.25)
    path = temperatures(n_temperatures).to(log_w)
    for before, b in pairwise(path):
        log_w += (b - before) * (point.log_p - point.log_r)
        momentum, chance = noise.normal(n, n_latent), noise.uniform(n)
        proposed, log_ratio = _leapfrog(target, point, momentum, step[:, None], b, n_leapfrog)
        accepted = chance.log() < log_ratio  # never where the density is not a number any more
        point = _where(accepted, proposed, point)
        probability = log_ratio.nan_to_num(-torch.inf).clamp(max=0).exp()[:N_PILOTS].mean(0)
        step = step * torch.exp(0.3 * (probability - ACCEPTANCE))
    return log_w[N_PILOTS:]


def _leapfrog(
    target: _Target, point: _Point, momentum: Tensor, step: Tensor, b: Tensor, n_leapfrog: int
) -> tuple[_Point, Tensor]:
    """Where Hamiltonian dynamics lead, and the log of the ratio to be accepted by."""
    energy = 0.5 * momentum.square().sum(-1) - point.log_density(b)
    for _ in range(n_leapfrog):
        momentum = momentum + 0.5 * step * point.gradient(b)
        point = target.at(point.u + step * momentum)
        momentum = momentum + 0.5 * step * point.gradient(b)
    return point, energy - (0.5 * momentum.square().sum(-1) - point.log_density(b))


def _where(accepted: Tensor, proposed: _Point, point: _Point) -> _Point:
    """Each chain at the point proposed to it, if accepted (K, B), else where it was."""
    wide = accepted[..., None]
    return _Point(
        torch.where(wide, proposed.u, point.u),
        torch.where(accepted, proposed.log_r, point.log_r),
        torch.where(accepted, proposed.log_p, point.log_p),
        torch.where(wide, proposed.grad_p, point.grad_p),
    )
