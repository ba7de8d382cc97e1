"""How much the bound of log p(x) gains when q(z|x) is fitted to the one input."""

from typing import ClassVar

import torch
from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import DENSITY, Score
from dhm.inference.own_posterior import elbo
from dhm.models.base import GenerativeModel

STEPS, STEP_SIZE, DRAWS = 20, 0.1, 2


class LikelihoodRegret(Score):
    """The largest ELBO over Gaussians q(z), minus that of the encoder's q(z|x), nats; at least 0.

    An encoder that was trained on such inputs leaves little to gain, however simple or complex the
    input is. Mean and standard deviations of q take 20 steps of Adam, for all inputs at once; the
    auxiliary variable is integrated out of p(x, z) and has no part in it. Not in the combination:
    it takes longer than all the others together.

    References:
        Xiao et al., Likelihood regret: an out-of-distribution detection score for variational
        auto-encoder, NeurIPS 2020, equation 6, with q itself in place of the encoder's weights.
    """

    requires = DENSITY
    combined: ClassVar[bool] = False

    def __call__(self, asked: Answers) -> Tensor:
        model = asked.model
        assert isinstance(model, GenerativeModel)
        with torch.no_grad():
            q = model.posterior(asked.inputs)
        mean, log_sd = q.mean.clone().requires_grad_(), q.stddev.log().requires_grad_()
        # The same noise in every step: chance is no gain.
        noise = asked.normal(DRAWS, mean.shape[1])
        optimizer = torch.optim.Adam([mean, log_sd], STEP_SIZE)
        bounds = []
        for _ in range(STEPS + 1):
            with torch.enable_grad():
                bound = elbo(model, asked.inputs, mean, log_sd, noise)
                # An input's bound depends on its own q alone: the sum fits each of them by itself.
                mean.grad, log_sd.grad = torch.autograd.grad(-bound.sum(), [mean, log_sd])
            optimizer.step()
            bounds.append(bound.detach())
        return torch.stack(bounds).amax(0) - bounds[0]
