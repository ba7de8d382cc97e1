"""A Gaussian q(z) fitted to one input, in place of the encoder's guess for all inputs."""

import torch
from torch import Tensor

from dhm.models.base import GenerativeModel

STEPS, STEP_SIZE = 50, 0.05


def fit_posterior(model: GenerativeModel, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation, (B, n_latent), of the q(z) of largest bound for each input.

    From the encoder's q(z|x) on, by as many steps of Adam as there is noise. Only observed entries
    count, and the auxiliary variable is integrated out. What an encoder makes of an input of which
    most is missing is a poor guess; a handful of steps make it a good one. An input whose bound is
    not finite keeps its guess.

    Arguments:
        model: in evaluation mode.
        x: inputs as stored (B, *shape), NaN where missing.
        noise: standard normal draws (STEPS, B, n_latent): one for each step.

    References:
        Kim et al., Semi-amortized variational autoencoders, ICML 2018.
    """
    with torch.no_grad():
        q = model.posterior(x)
    mean, log_sd = q.mean.clone().requires_grad_(), q.stddev.log().requires_grad_()
    optimizer = torch.optim.Adam([mean, log_sd], STEP_SIZE)
    for draw in noise:
        with torch.enable_grad():
            bound = elbo(model, x, mean, log_sd, draw[None])
            # An input's bound depends on its own q alone: the sum fits each of them by itself.
            gradients = torch.autograd.grad(-bound.sum(), [mean, log_sd])
        mean.grad, log_sd.grad = (g.nan_to_num(0.0, 0.0, 0.0) for g in gradients)
        optimizer.step()
    return mean.detach(), log_sd.detach()


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
