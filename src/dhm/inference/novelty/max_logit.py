"""The classifier's largest logit."""

from typing import ClassVar

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import CLASSIFIER, Score


class MaxLogit(Score):
    """Minus the largest logit; not in the combination, as the energy.

    References:
        Hendrycks et al., Scaling out-of-distribution detection for real-world settings, ICML 2022.
    """

    requires = CLASSIFIER
    combined: ClassVar[bool] = False

    def __call__(self, asked: Answers) -> Tensor:
        return -asked.logits.amax(1)
