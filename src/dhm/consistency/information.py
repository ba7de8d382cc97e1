"""Information maximisation: predictions should be certain one by one and balanced together."""

from math import log
from typing import ClassVar

from torch import Tensor

from dhm.consistency.base import ConsistencyMethod, Views
from dhm.consistency.entropy import conditional_entropy


class Information(ConsistencyMethod):
    """C = E H(y|x) - H(E p(y|x)) = -I(x; y), nats; at least -log K.

    E is over the batch, in several processes over the share of each.

    References:
        Krause et al., Regularized information maximization, NeurIPS 2010; Hu et al., IMSAT,
        ICML 2017.
    """

    weak_gradient: ClassVar[bool] = True

    def forward(self, views: Views) -> Tensor:
        logits = views.weak_logits
        # The logarithm of the mean prediction, without ever leaving logarithms.
        log_mean = logits.log_softmax(1).logsumexp(0) - log(len(logits))
        return conditional_entropy(logits) + (log_mean.exp() * log_mean).sum()
