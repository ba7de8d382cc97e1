"""The choices of `--prior`: p(z), and what z says of the class under it."""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

# The share of a class's own Gaussian in what z of the class are proposed from.
_OWN_CLASS = 0.9


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

    def propose(self, label: int, n: int) -> tuple[Tensor, Tensor]:
        """n draws of p(z), (n, n_latent), and zeros (n,): see `ClassMixture.propose`."""
        z = self().sample(torch.Size([n]))
        return z, z.new_zeros(n)


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

    def propose(self, label: int, n: int) -> tuple[Tensor, Tensor]:
        """n draws of z where this class is likely, and log p(z) - log r(z) for each.

        r(z) = 0.9 p(z|y) + 0.1 p(z). The second part bounds the weights p(z) / r(z) by 10, so that
        a z that p(y|x, z) gives to the class, and p(z|y) does not, is found too.

        References:
            Hesterberg, Weighted average importance sampling and defensive mixture distributions,
            Technometrics 1995.

        Returns:
            (n, n_latent) and (n,) nats.
        """
        z = self().sample(torch.Size([n]))
        own = _unit_gaussian(self.means[label]).sample(torch.Size([n]))
        z = torch.where(torch.rand(n, 1, device=z.device) < _OWN_CLASS, own, z)
        # p(z|y) / p(z) = K p(y|z)
        log_lift = self.class_logits(z).log_softmax(-1)[:, label] + log(len(self.means))
        log_own = log_lift + log(_OWN_CLASS)
        return z, -torch.logaddexp(log_own, torch.full_like(log_own, log(1 - _OWN_CLASS)))


Prior = GaussianPrior | ClassMixture
PRIORS: dict[str, Callable[[int, int], Prior]] = {
    "gaussian": GaussianPrior,
    "classes": ClassMixture,
}


def _unit_gaussian(means: Tensor) -> Independent:
    means = means.float()
    return Independent(Normal(means, torch.ones_like(means), validate_args=False), 1)


def spherical(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Points on the way from one z to another by angle and length, for a Gaussian prior.

    Its draws lie near a sphere around 0. The straight line between two of them leaves it, by up to
    a factor of sqrt(2) in length half-way, for a z that the prior hardly ever draws.

    References:
        White, Sampling generative networks, 2016.

    Arguments:
        start: (n_latent,), and `end` alike.
        t: (T,) in [0, 1].

    Returns:
        (T, n_latent).

    Example:
        >>> spherical(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]), torch.tensor([0.5]))
        tensor([[1.4142, 1.4142]])
    """
    t = t[:, None]
    lengths = start.norm(), end.norm()
    directions = [v / length for v, length in zip((start, end), lengths, strict=True)]
    angle = torch.arccos((directions[0] @ directions[1]).clamp(-1, 1))
    if not 1e-3 < angle < torch.pi - 1e-3:  # the same or opposite directions, or no length at all
        return torch.lerp(start, end, t)
    direction = torch.sin((1 - t) * angle) * directions[0] + torch.sin(t * angle) * directions[1]
    return torch.lerp(lengths[0], lengths[1], t) * direction / torch.sin(angle)
