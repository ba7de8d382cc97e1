"""The parts of an explicit hybrid: q(a, z|x), p(x, a|z) and what holds them together."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn
from torch.distributions import Independent

from dhm.nn.layers import GaussianHead, dense


@dataclass(frozen=True)
class HybridParts:
    """One network's parts; `trunk` computes what encoder and classifier share of x."""

    trunk: nn.Module
    """x -> h."""
    encoder: nn.Module
    """h -> `Posterior`, q(a, z|x)."""
    decoder: nn.Module
    """z -> `Conditionals`, p(x|z) and p(a|z)."""
    classifier: "ClassifierOnLatent"
    """(h, z) -> logits of p(y|x, z)."""


class ClassifierOnLatent(nn.Module, ABC):
    """p(y|x, z): a linear layer on features of h and z.

    In two steps, so that what is known of x is computed once for any number of its z.
    """

    logits: nn.Linear

    @abstractmethod
    def of_x(self, h: Tensor) -> Tensor:
        """What does not depend on z, (B, ...) -> (B, e)."""

    @abstractmethod
    def join(self, from_x: Tensor, z: Tensor) -> Tensor:
        """(B, e), (B, n_latent) -> features (B, d)."""

    def features(self, h: Tensor, z: Tensor) -> Tensor:
        """(B, ...), (B, n_latent) -> (B, d)."""
        return self.join(self.of_x(h), z)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """(B, ...), (B, n_latent) -> logits (B, n_classes)."""
        return self.logits(self.features(h, z))


class Posterior(NamedTuple):
    """q(a, z|x) = q(a|x) q(z|a, x)."""

    a: Independent
    z: Callable[[Tensor], Independent]


class Conditionals(NamedTuple):
    """p(x|z) and p(a|z)."""

    x: Independent
    a: Independent


class Encoder(nn.Module):
    """q(a|x) and q(z|a, x), Gaussians from one hidden layer each.

    References:
        Maaløe et al., Auxiliary deep generative models, 2016.
    """

    def __init__(self, n_in: int, n_latent: int, n_aux: int, n_hidden: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.a = nn.Sequential(dense([n_in, n_hidden]), GaussianHead(n_hidden, n_aux))
        self.x_to_z = dense([n_in, n_hidden])
        self.a_to_z = dense([n_aux, n_hidden])
        self.z = GaussianHead(n_hidden, n_latent)

    def forward(self, h: Tensor) -> Posterior:
        """(B, ...) -> q(a, z|x) for each of the B inputs."""
        h = self.flatten(h)
        from_x = self.x_to_z(h)
        return Posterior(self.a(h), lambda a: self.z(self.a_to_z(a) + from_x))


class Decoder(nn.Module):
    """p(x|z) and p(a|z)."""

    def __init__(self, x: nn.Module, a: nn.Module) -> None:
        super().__init__()
        self.x, self.a = x, a

    def forward(self, z: Tensor) -> Conditionals:
        """(..., n_latent) -> p(x|z), p(a|z)."""
        return Conditionals(self.x(z), self.a(z))
