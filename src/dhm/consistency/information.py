"""Information maximisation: predictions should be certain one by one, the classes' shares known."""

from math import log
from typing import ClassVar

from torch import Tensor

from dhm.consistency.base import ConsistencyMethod, Task, Views
from dhm.consistency.entropy import conditional_entropy


class Information(ConsistencyMethod):
    """C = E H(y|x) + KL(E p(y|x) || prior), nats, at least 0.

    E is over the batch, in several processes over the share of each. Without a class prior the
    second term is -H(E p(y|x)), as if all classes were as frequent, and C = -I(x; y), at least
    -log K.

    References:
        Krause et al., Regularized information maximization, NeurIPS 2010, section 4.4 for the
        prior; Hu et al., IMSAT, ICML 2017.
    """

    weak_gradient: ClassVar[bool] = True
    log_prior: Tensor | None

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        prior = task.class_prior
        # A class without a label is not thought impossible.
        log_prior = None if prior is None else (p := prior.clamp(min=1e-3)).log() - p.sum().log()
        self.register_buffer("log_prior", log_prior, persistent=False)

    def forward(self, views: Views) -> Tensor:
        logits = views.weak_logits
        # The logarithm of the mean prediction, without ever leaving logarithms.
        log_mean = logits.log_softmax(1).logsumexp(0) - log(len(logits))
        surprise = log_mean if self.log_prior is None else log_mean - self.log_prior
        return conditional_entropy(logits) + (log_mean.exp() * surprise).sum()
