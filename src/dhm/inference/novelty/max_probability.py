"""The classifier's confidence."""

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import CLASSIFIER, Score


class MaxProbability(Score):
    """Minus the log of the largest probability, nats.

    The logarithm changes no ranks, but in float32 the probabilities of many inputs are exactly 1.

    References:
        Hendrycks & Gimpel, A baseline for detecting misclassified and out-of-distribution examples
        in neural networks, ICLR 2017.
    """

    requires = CLASSIFIER

    def __call__(self, asked: Answers) -> Tensor:
        # By the others' logits: 1 - max p is then exact where it is far below float32's epsilon.
        top, others = asked.logits.max(1), asked.logits.clone()
        others.scatter_(1, top.indices[:, None], float("-inf"))
        return (others.logsumexp(1) - top.values).exp().log1p()
