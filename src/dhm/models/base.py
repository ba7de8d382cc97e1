"""The contract between a model and the loop that trains it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from dhm.errors import DataError
from dhm.nn.distributions import draw
from dhm.nn.layers import Standardize
from dhm.nn.priors import spherical


class Batch(NamedTuple):
    """What a model is shown in one step, as stored: bytes or floats, on the model's device."""

    x: Tensor
    """(B, *shape)."""
    y: Tensor
    """(B,) class indices; -1 where unknown."""
    x_unlabeled: Tensor | None = None
    """(U, *shape) for the models that learn from unlabelled examples."""
    epoch: float = 0.0
    """Epochs trained so far, with the fraction of this one: what ramps and warm-ups depend on."""
    positions: Tensor | None = None
    """Where those of `main` stand among all of their kind."""

    @property
    def main(self) -> Tensor:
        """The inputs that an epoch goes through: the unlabelled, or the labelled without them."""
        return self.x if self.x_unlabeled is None else self.x_unlabeled


class Loss(NamedTuple):
    """What a player minimises, and what there is to log about it."""

    total: Tensor
    """0-d, with the graph."""
    terms: dict[str, Tensor]
    """Named parts, 0-d, detached: nats per example, but for "error", a fraction, and what
    "feature_matching" and the consistency methods say of theirs."""


class ImportanceSamples(NamedTuple):
    """K draws of q(z|x) for each of B inputs, with their weights."""

    log_weight: Tensor
    """log p(x, z) / q(z|x), nats, (K, B): with the auxiliary variable where there is one.

    -inf where numbers overflow: such a draw counts for nothing, and its z is 0."""
    z: Tensor
    """(K, B, n_latent)."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything that is needed to build a model anew: kept beside its weights."""

    model: str
    network: str
    """A key of the tables in `dhm.nn.networks`."""
    shape: tuple[int, ...]
    """Shape of one example: (C, H, W) or (D,)."""
    dtype: str
    """numpy name of the inputs' type, "uint8" or "float32"."""
    classes: tuple[str, ...]
    options: Mapping[str, Any]
    """The model's own options, all of them, with their values."""
    features: tuple[str, ...] | None = None
    """Names of a table's columns, by which later tables are read; None where they had none."""


class Model(nn.Module, ABC):
    """A set of players on shared modules.

    Inputs as stored may have missing entries, NaN: every answer is then one about what is observed.

    Each player owns parameters and a loss; the loop minimises them in turn. A loss is computed by
    `forward`, so that hooks on the module (mixed precision, several processes) see every pass.
    `self.standardize` maps stored inputs to network inputs, where NaN is still NaN; subclasses call
    it first, and show their networks what `fill` makes of the result.
    """

    options: ClassVar[Mapping[str, Mapping[str, Any]]]
    """By network, the model's own options and their defaults. An option absent here is refused.

    Options that all models have may stand here too, where another default suits this one better.
    """
    uses_unlabeled: ClassVar[bool] = False
    """True where batches carry unlabelled examples too."""
    learns_from_incomplete: ClassVar[bool] = True
    """False where training inputs may have no missing entries."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.standardize = Standardize(spec.shape)

    @abstractmethod
    def players(self) -> dict[str, list[nn.Parameter]]:
        """The players in the order of their turns, each with the parameters it owns.

        A parameter has one owner at most; what nobody owns stays as it is.
        """

    def initialize(self, batch: Batch) -> None:
        """Adapt the initial weights to a batch of training data; by default nothing is done.

        Called once, before the first step, unless weights come from elsewhere.
        """

    def fill(self, u: Tensor) -> Tensor:
        """What the networks see of network inputs, NaN where missing: a table's mean, or black."""
        # A value that no pixel has would tell a hole from black, but shifts what layers see on
        # average, most where they are batch normalised: errors of MNIST with holes were higher.
        return u.masked_fill(u.isnan(), 0.0)

    @abstractmethod
    def forward(self, batch: Batch, player: str) -> Loss:
        """One player's loss on a batch."""

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Logits of p(y|x), (B, n_classes), from inputs as stored."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """What the last layer of p(y|x) sees, (B, d), from inputs as stored."""

    @property
    def classifier_player(self) -> str:
        """The player that owns p(y|x), to whose loss consistency terms are added."""
        return next(iter(self.players()))

    @property
    def has_classifier(self) -> bool:
        """Whether p(y|x) is trained, so that its figures mean something."""
        return True

    @property
    def has_density(self) -> bool:
        """Whether p(x) is trained, so that the methods of `GenerativeModel` mean something."""
        return False

    @property
    def has_samples(self) -> bool:
        """Whether what makes x from z is trained, so that `LatentModel.decode` means something."""
        return False

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return len(self.spec.classes)

    def data_domain(self) -> str:
        """What inputs must be: "real", "unit" for [0, 1] or "bytes" for 8-bit pixels."""
        return "real"

    def n_parameters(self) -> int:
        """Number of trained weights."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class LatentModel(Model):
    """A model with a latent variable z: features of an input, and inputs made from z."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """z of inputs as stored, (B, n_latent): E(x), or the mean of q(z|x)."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """(B, n_latent) -> network inputs (B, *shape), pixels in [0, 1]: G(z), or p(x|z)'s mean."""

    @abstractmethod
    def sample_prior(self, n: int) -> Tensor:
        """n draws of z from the prior, (n, n_latent)."""

    @abstractmethod
    def logits_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        """Logits of p(y|x, z), (K, B, n_classes), of B inputs as stored, z (K, B, n_latent)."""

    def draw(self, z: Tensor) -> Tensor:
        """A draw of p(x|z), or G(z), for each z (..., n_latent): network inputs (..., *shape)."""
        return self.decode(z)

    def propose(self, label: int, n: int) -> tuple[Tensor, Tensor]:
        """n draws of z where a class may be looked for, and log p(z) - log r(z), r what drew them.

        The prior itself, and zeros, where z alone says nothing of the class.
        """
        return self.sample_prior(n), torch.zeros(n, device=self.standardize.scale.device)

    def inside(self, z: Tensor) -> Tensor:
        """z, (..., n_latent), moved to the nearest points that p(z) can draw."""
        return z

    def path(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """z at the fractions t (T,) of the way between two, (T, n_latent), likely under the prior.

        A straight line: between two points of a uniform prior's cube it stays in the cube.
        """
        return torch.lerp(start, end, t[:, None])


class GenerativeModel(LatentModel):
    """A latent model with densities, p(x) and p(x|z)."""

    @abstractmethod
    def log_likelihood(self, x: Tensor, n_samples: int) -> Tensor:
        """Importance-weighted estimate of log p(x), nats, (B,); one sample gives the ELBO."""

    @abstractmethod
    def p_x(self, z: Tensor) -> Independent:
        """p(x|z) for each z, (..., n_latent), over network inputs, entry by entry."""

    @property
    @abstractmethod
    def n_noise(self) -> int:
        """How many standard normal numbers a draw of q(z|x) is made from."""

    @abstractmethod
    def importance_samples(self, x: Tensor, noise: Tensor) -> ImportanceSamples:
        """Weighted draws of q(z|x) of inputs as stored, from normal numbers (K, B, n_noise).

        Of an x with missing entries only the observed ones count.
        """

    @abstractmethod
    def posterior(self, x: Tensor) -> Independent:
        """A Gaussian near p(z|x) for each input as stored, batch (B,): q(z|x) at the mean of a."""

    @abstractmethod
    def p_z(self) -> Distribution:
        """p(z), an event of shape (n_latent,)."""

    @abstractmethod
    def log_px_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of inputs as stored, nats, (K, B), for z (K, B, n_latent)."""

    @property
    def has_samples(self) -> bool:
        return self.has_density

    def draw(self, z: Tensor) -> Tensor:
        return draw(self.p_x(z))

    def path(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        return spherical(start, end, t)

    def decode(self, z: Tensor) -> Tensor:
        return self.p_x(z).mean

    def sample(self, n: int) -> Independent:
        """p(x|z) for n draws of z from the prior."""
        return self.p_x(self.sample_prior(n))

    def reconstruct(self, x: Tensor) -> Independent:
        """p(x|z) at the posterior mean of each input."""
        return self.p_x(self.encode(x))


def semisupervised(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A supervised model's table of options, for its twin with unlabelled batches too."""
    return {network: {**own, "n_lbl_batch": 100} for network, own in options.items()}


def check_inputs(model: Model, x: Tensor) -> None:
    """Refuse inputs whose shape is not the one the model was made for, with `DataError`."""
    if tuple(x.shape[1:]) != model.spec.shape:
        raise DataError(
            f"the model takes examples of shape {model.spec.shape}, found {tuple(x.shape[1:])}"
        )


def fit_standardization(model: Model, x: Any) -> None:
    """Set the model's input scaling from training inputs, an array or a scipy CSR matrix.

    Bytes are divided by 255; the features of a table get mean 0 and standard deviation 1, unless
    p(x|z) asks for values in [0, 1]; float images stay as they are. Missing entries are left out,
    and a feature without any other keeps its units.
    """
    standardize = model.standardize
    if model.spec.dtype == "uint8":
        standardize.scale.fill_(255.0)
    elif len(model.spec.shape) == 1 and model.data_domain() == "real":
        from sklearn.preprocessing import StandardScaler

        # A memory-mapped table is read whole here, and only here.
        with np.errstate(invalid="ignore"):  # the mean of a feature that is always missing
            moments = StandardScaler(with_mean=False).fit(
                x if hasattr(x, "tocsr") else np.asarray(x)
            )
        standardize.shift.copy_(torch.as_tensor(np.nan_to_num(moments.mean_)))
        standardize.scale.copy_(torch.as_tensor(np.nan_to_num(moments.scale_, nan=1.0)))
