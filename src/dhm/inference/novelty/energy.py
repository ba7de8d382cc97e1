"""The classifier's free energy."""

from typing import ClassVar

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import CLASSIFIER, Score


class Energy(Score):
    """-logsumexp of the logits, nats.

    Not in the combination, to which it would bring little beside the confidence. Of the implicit
    family it is a function of D(x, z): what the critic thinks of x as data.

    References:
        Liu et al., Energy-based out-of-distribution detection, NeurIPS 2020, equation 4 with T = 1.
    """

    requires = CLASSIFIER
    combined: ClassVar[bool] = False

    def __call__(self, asked: Answers) -> Tensor:
        return -asked.logits.logsumexp(1)
