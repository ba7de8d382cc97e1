"""How much nearer a class is than the training data as a whole."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.gaussians import class_means, squared_distances, whitening
from dhm.inference.novelty.score import CLASSIFIER, Score


@dataclass(frozen=True, eq=False)
class RelativeMahalanobis(Score):
    """Mahalanobis distance to the nearest class, minus that to one Gaussian of all features.

    What varies alike in every class and between them cancels; what tells the classes apart is left.

    References:
        Ren et al., A simple fix to Mahalanobis distance for improving near-OOD detection, 2021,
        equation 4.
    """

    requires = CLASSIFIER
    means: Tensor
    """(K, d)."""
    whitening: Tensor
    """(d, d), of the covariance within classes."""
    mean: Tensor
    """(1, d), of all features."""
    background: Tensor
    """(d, d), the whitening of all features' covariance."""

    @classmethod
    def fit(cls, train: Answers) -> Self:
        found = train.features
        vectors = found.cpu().double()  # not every device has double precision
        means, index = class_means(vectors, train.labels.cpu())
        mean = vectors.mean(0, keepdim=True)
        within, overall = whitening(vectors - means[index]), whitening(vectors - mean)
        parts = (means, within, mean, overall)
        return cls(*(part.float().to(found.device) for part in parts))

    def __call__(self, asked: Answers) -> Tensor:
        nearest = squared_distances(asked.features, self.means, self.whitening).amin(1)
        return nearest - squared_distances(asked.features, self.mean, self.background)[:, 0]
