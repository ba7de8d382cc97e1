"""The choices of `--prior`: p(z), and what z says of the class under it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal


class GaussianPrior(nn.Module):
    """p(z) = N(0, I): the class has no part in it.

    Example:
        >>> GaussianPrior(2, 10)().log_prob(torch.zeros(2))
        tensor(-1.8379)
    """

    zeros: Tensor

    def __init__(self, n_latent: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(n_latent), persistent=False)

    def forward(self) -> Distribution:
        """p(z), an event of shape (n_latent,)."""
        return _unit_gaussian(self.zeros)


class ClassMixture(nn.Module):
    """p(z) = 1/K sum_y N(z; mu_y, I): a unit Gaussian for each class around a learnt mean.

    The generative model is then one of x and y, p(y) p(z|y) p(x|z), whose labelled examples pull
    the z of a class together and whose unlabelled ones are drawn to the nearest class.

    References:
        Kingma et al., Semi-supervised learning with deep generative models, NeurIPS 2014, for a
        generative model that knows of classes; Jiang et al., Variational deep embedding,
        IJCAI 2017, for the mixture.

    Example:
        >>> prior = ClassMixture(2, 3)
        >>> prior().log_prob(torch.zeros(5, 2)).shape, prior.class_logits(torch.zeros(5, 2)).shape
        (torch.Size([5]), torch.Size([5, 3]))
    """

    def __init__(self, n_latent: int, n_classes: int) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.randn(n_classes, n_latent))

    def forward(self) -> Distribution:
        """p(z), an event of shape (n_latent,)."""
        even = Categorical(logits=self.means.new_zeros(len(self.means)), validate_args=False)
        return MixtureSameFamily(even, _unit_gaussian(self.means), validate_args=False)

    def class_logits(self, z: Tensor) -> Tensor:
        """Logits of p(y|z) = p(z|y) / sum p(z|y'), (..., n_latent) -> (..., K)."""
        return _unit_gaussian(self.means).log_prob(z.unsqueeze(-2))


Prior = GaussianPrior | ClassMixture
PRIORS: dict[str, Callable[[int, int], Prior]] = {
    "gaussian": GaussianPrior,
    "classes": ClassMixture,
}


def _unit_gaussian(means: Tensor) -> Independent:
    means = means.float()
    return Independent(Normal(means, torch.ones_like(means), validate_args=False), 1)
