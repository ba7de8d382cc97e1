"""Gaussians that share a covariance: fitting them, and distances to their means."""

import torch
from torch import Tensor


def class_means(vectors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Means (K, d) of the K classes that occur, and which of them each vector (N, d) is of."""
    classes, index = labels.unique(return_inverse=True)
    sums = vectors.new_zeros(len(classes), vectors.shape[1]).index_add_(0, index, vectors)
    return sums / index.bincount(minlength=len(classes))[:, None], index


def whitening(centred: Tensor) -> Tensor:
    """W, (d, d), with W W' the inverse of the covariance of vectors (N, d) whose mean is 0.

    The covariance is Ledoit and Wolf's: drawn towards a multiple of the identity, by as much as its
    entries are uncertain. It is regular where the features are more than the vectors, or constant.

    References:
        Ledoit & Wolf, A well-conditioned estimator for large-dimensional covariance matrices,
        Journal of Multivariate Analysis, 2004.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> (whitening(x) @ whitening(x).T).round()
        tensor([[2., 0.],
                [0., 2.]])
    """
    n, d = centred.shape
    empirical = centred.T @ centred / n
    scale = empirical.diagonal().mean()
    target = scale * torch.eye(d, dtype=centred.dtype, device=centred.device)
    spread = (empirical - target).square().sum()
    uncertainty = (centred.square().sum(1).square().mean() - empirical.square().sum()) / n
    shrinkage = (uncertainty / spread).clamp(0, 1) if spread > 0 else scale.new_ones(())
    # A floor for what is constant in every direction: distances are then 0 or very large.
    floor = torch.finfo(torch.float32).tiny ** 0.5 if not scale > 0 else 0.0
    covariance = torch.lerp(empirical, target, shrinkage) + floor * torch.eye(d).to(target)
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=1e-12 * scale).rsqrt()


def squared_distances(vectors: Tensor, means: Tensor, whiten: Tensor) -> Tensor:
    """Squares of the Mahalanobis distances of (N, d) vectors to (K, d) means, (N, K)."""
    # Differences are taken before the products: the expanded square would lose small distances.
    return torch.stack([((vectors - mean) @ whiten).square().sum(1) for mean in means], 1)
