"""Distance to the k-th nearest of the training examples."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import CLASSIFIER, LATENT, Score

K = 10
"""Which neighbour: as robust as a larger number where an index holds a few thousand."""


@dataclass(frozen=True, eq=False)
class Neighbours(Score):
    """Euclidean distance to the k-th nearest neighbour among training examples, k = 10.

    References:
        Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022.
    """

    index: Tensor
    """(M, d), the training examples."""

    @staticmethod
    @abstractmethod
    def vectors(asked: Answers) -> Tensor:
        """What distances are taken between, (N, d)."""

    @classmethod
    def fit(cls, train: Answers) -> Self:
        return cls(cls.vectors(train).float().clone())

    def __call__(self, asked: Answers) -> Tensor:
        distances = torch.cdist(self.vectors(asked), self.index)
        return distances.kthvalue(min(K, len(self.index)), 1).values


class NeighboursZ(Neighbours):
    """The distance of z to its neighbours."""

    requires = LATENT

    @staticmethod
    def vectors(asked: Answers) -> Tensor:
        return asked.z


class NeighboursFeatures(Neighbours):
    """The distance of the classifier's features, scaled to length 1, to their neighbours."""

    requires = CLASSIFIER

    @staticmethod
    def vectors(asked: Answers) -> Tensor:
        return F.normalize(asked.features)
