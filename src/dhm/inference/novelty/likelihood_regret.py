"""How much the bound of log p(x) gains when q(z|x) is fitted to the one input."""

from typing import ClassVar

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import DENSITY, Score
from dhm.inference.own_posterior import fit_posterior
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
        # The same noise in every step: chance is no gain.
        noise = asked.normal(DRAWS, model.p_z().event_shape[0]).expand(STEPS + 1, -1, -1, -1)
        bounds = fit_posterior(model, asked.inputs, noise, STEP_SIZE).bounds
        return bounds.amax(0) - bounds[0]
