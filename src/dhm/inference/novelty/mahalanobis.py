"""Distance to the nearest class mean, in the metric of a covariance that the classes share."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.gaussians import class_means, squared_distances, whitening
from dhm.inference.novelty.score import CLASSIFIER, LATENT, Score


@dataclass(frozen=True, eq=False)
class Mahalanobis(Score):
    """Square of the Mahalanobis distance to the nearest class mean.

    Up to a constant, minus twice the log-density of the nearest of Gaussians with a mean for each
    class and one covariance. Inputs without a label count for the class that is predicted.

    References:
        Lee et al., A simple unified framework for detecting out-of-distribution samples and
        adversarial attacks, NeurIPS 2018, equation 2.
    """

    means: Tensor
    """(K, d)."""
    whitening: Tensor
    """(d, d): W with W W' the inverse of the covariance."""

    @staticmethod
    @abstractmethod
    def vectors(asked: Answers) -> Tensor:
        """What distances are taken in, (N, d)."""

    @classmethod
    def fit(cls, train: Answers) -> Self:
        found = cls.vectors(train)
        vectors = found.cpu().double()  # not every device has double precision
        means, index = class_means(vectors, train.labels.cpu())
        whiten = whitening(vectors - means[index])
        return cls(means.float().to(found.device), whiten.float().to(found.device))

    def __call__(self, asked: Answers) -> Tensor:
        return squared_distances(self.vectors(asked), self.means, self.whitening).amin(1)


class MahalanobisZ(Mahalanobis):
    """The Mahalanobis distance of z; not in the combination, which has z's neighbours."""

    requires = LATENT
    combined: ClassVar[bool] = False

    @staticmethod
    def vectors(asked: Answers) -> Tensor:
        return asked.z


class MahalanobisFeatures(Mahalanobis):
    """The Mahalanobis distance of the classifier's features."""

    requires = CLASSIFIER

    @staticmethod
    def vectors(asked: Answers) -> Tensor:
        return asked.features
