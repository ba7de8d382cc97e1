"""Minus log p(x)."""

from typing import ClassVar

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import DENSITY, Score


class LogLikelihood(Score):
    """-log p(x) in nats: inputs that the generative part finds improbable are novel.

    On its own it is misled where what is new is simpler than what is known: the combination counts
    too high a likelihood as novel, too.

    References:
        Bishop, Novelty detection and neural network validation, 1994; Nalisnick et al., Do deep
        generative models know what they don't know?, ICLR 2019, for how it fails.
    """

    requires = DENSITY
    two_sided: ClassVar[bool] = True

    def __call__(self, asked: Answers) -> Tensor:
        return -asked.log_px
