"""The scores of novelty by name."""

from dhm.inference.novelty.energy import Energy
from dhm.inference.novelty.likelihood_regret import LikelihoodRegret
from dhm.inference.novelty.log_likelihood import LogLikelihood
from dhm.inference.novelty.mahalanobis import MahalanobisFeatures, MahalanobisZ
from dhm.inference.novelty.max_logit import MaxLogit
from dhm.inference.novelty.max_probability import MaxProbability
from dhm.inference.novelty.neighbours import NeighboursFeatures, NeighboursZ
from dhm.inference.novelty.reconstruction import Reconstruction
from dhm.inference.novelty.relative_mahalanobis import RelativeMahalanobis
from dhm.inference.novelty.score import Score
from dhm.inference.novelty.typicality import Typicality

SCORES: dict[str, type[Score]] = {
    "log-likelihood": LogLikelihood,
    "typicality": Typicality,
    "likelihood-regret": LikelihoodRegret,
    "reconstruction": Reconstruction,
    "max-probability": MaxProbability,
    "max-logit": MaxLogit,
    "energy": Energy,
    "mahalanobis-z": MahalanobisZ,
    "mahalanobis-features": MahalanobisFeatures,
    "relative-mahalanobis": RelativeMahalanobis,
    "neighbours-z": NeighboursZ,
    "neighbours-features": NeighboursFeatures,
}
