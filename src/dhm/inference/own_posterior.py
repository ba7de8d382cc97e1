"""A Gaussian q(z) fitted to one input, in place of the encoder's guess for all inputs."""

from typing import NamedTuple

import torch
from torch import Tensor

from dhm.models.base import GenerativeModel


class OwnPosterior(NamedTuple):
    """A Gaussian q(z) of its own for each of B inputs."""

    mean: Tensor
    """(B, n_latent)."""
    log_sd: Tensor
    """(B, n_latent), logarithms of standard deviations."""
    bounds: Tensor
    """(steps, B), nats up to a constant: the `elbo` before each step, the encoder's first."""


def fit_posterior(
    model: GenerativeModel, x: Tensor, noise: Tensor, step_size: float
) -> OwnPosterior:
    """The q(z) of largest bound for each input: from the encoder's q(z|x) on, by steps of Adam.

    Only observed entries count, and the auxiliary variable is integrated out. What an encoder makes
    of an input of which most is missing is a poor guess; a handful of steps make it a good one.

    Arguments:
        model: in evaluation mode.
        x: inputs as stored (B, *shape), NaN where missing.
        noise: standard normal draws (steps, S, B, n_latent), S of them for each step.
        step_size: of Adam. A gradient that is not finite counts as 0.

    References:
        Kim et al., Semi-amortized variational autoencoders, ICML 2018.
    """
    with torch.no_grad():
        q = model.posterior(x)
    mean, log_sd = q.mean.clone().requires_grad_(), q.stddev.log().requires_grad_()
    optimizer = torch.optim.Adam([mean, log_sd], step_size)
    bounds = []
    for draws in noise:
        with torch.enable_grad():
            bound = elbo(model, x, mean, log_sd, draws)
            # An input's bound depends on its own q alone: the sum fits each of them by itself.
            gradients = torch.autograd.grad(-bound.sum(), [mean, log_sd])
        mean.grad, log_sd.grad = (g.nan_to_num(0.0, 0.0, 0.0) for g in gradients)
        optimizer.step()
        bounds.append(bound.detach())
    return OwnPosterior(mean.detach(), log_sd.detach(), torch.stack(bounds))


def elbo(model: GenerativeModel, x: Tensor, mean: Tensor, log_sd: Tensor, noise: Tensor) -> Tensor:
    """E_q [log p(x|z) + log p(z)] + the entropy of q, nats up to a constant, (B,).

    Arguments:
        model: gives p(x|z) and p(z).
        x: inputs as stored (B, *shape).
        mean: (B, n_latent), of q(z); `log_sd`, the logarithms of its standard deviations.
        noise: standard normal draws (S, B, n_latent) that estimate the expectation.
    """
    z = mean + log_sd.exp() * noise
    log_joint = model.log_px_given_z(x, z) + model.p_z().log_prob(z)
    return log_joint.mean(0) + log_sd.sum(1)
