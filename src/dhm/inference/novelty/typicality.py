"""How far log p(x) is from its mean over the training data."""

from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import DENSITY, Score


@dataclass(frozen=True, eq=False)
class Typicality(Score):
    """| -log p(x) - its mean over training inputs |, nats.

    Samples of a density in many dimensions lie where its logarithm is near minus the entropy, not
    where it is highest. Not in the combination, where the two-sided log-likelihood is the same
    idea with the quantiles of the training data in place of their mean.

    References:
        Nalisnick et al., Detecting out-of-distribution inputs to deep generative models using
        typicality, 2019, equation 4 with a batch of one.
    """

    requires = DENSITY
    combined: ClassVar[bool] = False
    entropy: Tensor
    """Mean of -log p(x) over training inputs, 0-d."""

    @classmethod
    def fit(cls, train: Answers) -> Self:
        return cls(-train.log_px.mean())

    def __call__(self, asked: Answers) -> Tensor:
        return (-asked.log_px - self.entropy).abs()
