"""Several scores as one: how improbable each would be for training data, added up."""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

COMBINATION = "combination"
TAIL = 0.1
"""Share of the values that the tail of a distribution is fitted to."""


@dataclass(frozen=True, eq=False)
class Marginal:
    """A score's distribution over training inputs that neither it nor the model was fitted to.

    Example:
        >>> Marginal(torch.arange(99.0)).surprise(torch.tensor([49.0, 98.0, 1000.0]))
        tensor([  0.6733,   4.2073, 204.6517])
    """

    values: Tensor
    """(M,), in ascending order."""
    two_sided: bool = False

    def surprise(self, score: Tensor) -> Tensor:
        """-log P(S >= score) for S of the training distribution, nats, (N,) -> (N,).

        With two sides: -log of twice the smaller of P(S >= score) and P(S <= score).
        """
        above = _surprise_above(self.values, score)
        if not self.two_sided:
            return above
        below = _surprise_above(-self.values.flip(0), -score)
        return (torch.maximum(above, below) - log(2)).clamp(min=0)


def _surprise_above(values: Tensor, score: Tensor) -> Tensor:
    """-log P(S >= score), by ranks up to the tail and by an exponential fitted to it beyond.

    Ranks alone would not tell what is beyond all values from what is far beyond them; that excesses
    over a high threshold are about exponential is the simplest of the limits of extreme values
    (Pickands, Statistical inference using extreme order statistics, 1975).
    """
    n = len(values)
    start = values[min(n - 1, int((1 - TAIL) * n))]
    excess = (values[values >= start] - start).mean()
    # Where the tail is one value, as of a constant score, what is above it is far above it.
    excess = excess.clamp(min=1e-6 * start.abs() + torch.finfo(values.dtype).tiny)
    at_least = n - torch.searchsorted(values, torch.minimum(score, start).contiguous())
    return ((score - start) / excess).clamp(min=0) - ((1 + at_least) / (n + 1)).log()


@dataclass(frozen=True, eq=False)
class Combination:
    """Sum of the surprises of several scores: Fisher's method.

    Scores are not independent, so the sum has no chi-squared distribution; its own distribution is
    measured, as that of every other score. Distances that take correlations into account were tried
    on digits, with two of the classes left out of training, and found much less of what was new:
    a direction in which scores hardly differ is not one in which novelty shows.

    References:
        Fisher, Statistical methods for research workers, 1932, section 21.1; Morningstar et al.,
        Density of states estimation for out-of-distribution detection, AISTATS 2021, and Bergamin
        et al., Model-agnostic out-of-distribution detection using combined statistical tests,
        AISTATS 2022, for several statistics of one model as one test.
    """

    marginals: dict[str, Marginal]
    """By the name of the score."""

    def __call__(self, scores: dict[str, Tensor]) -> Tensor:
        """(N,) nats, from the scores (N,) by name."""
        parts = [marginal.surprise(scores[name]) for name, marginal in self.marginals.items()]
        return torch.stack(parts).sum(0)
