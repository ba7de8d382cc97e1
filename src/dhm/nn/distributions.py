"""The densities p(x|z) a decoder can parametrise, and the Gaussian of every latent variable."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, constraints
from torch.nn import functional as F

from dhm.errors import ConfigError

LOG_VARIANCE_FLOOR, LOG_VARIANCE_CEILING = -10.0, 20.0


def diagonal_gaussian(parameters: Tensor, event_dims: int = 1) -> Independent:
    """Gaussian with independent entries from its mean and log-variance.

    Arguments:
        parameters: (..., 2, *event), means then log-variances. A log-variance below -10 counts as
            -10, so that a density stays finite where the data is constant; one above 20, which only
            inputs far from all data and training out of control have, as 20, so that a draw, its
            square and their gradients stay finite.
        event_dims: how many of the last dimensions are one event.

    Example:
        >>> import torch
        >>> diagonal_gaussian(torch.zeros(3, 2, 5)).log_prob(torch.zeros(3, 5)).shape
        torch.Size([3])
    """
    mean, log_variance = parameters.float().unbind(-event_dims - 1)
    log_variance = LOG_VARIANCE_FLOOR + F.hardtanh(
        log_variance - LOG_VARIANCE_FLOOR, 0.0, LOG_VARIANCE_CEILING - LOG_VARIANCE_FLOOR
    )
    # The log-variance becomes a standard deviation here and nowhere else.
    gaussian = Normal(mean, torch.exp(0.5 * log_variance), validate_args=False)
    return Independent(gaussian, event_dims, validate_args=False)


def observed_log_prob(p: Independent, x: Tensor) -> Tensor:
    """log p of those entries of x that are not NaN, nats; the others are integrated out.

    As entries are independent given the parameters, that is the sum over the observed ones: of an x
    without NaN it is `p.log_prob(x)`, bit for bit. No gradient comes from a missing entry.

    References:
        Mattei & Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets,
        ICML 2019, equation 4.

    Arguments:
        p: p(x|z), batch (...) and event (*event).
        x: (..., *event), of a shape that broadcasts with p's.

    Example:
        >>> import torch
        >>> p = diagonal_gaussian(torch.zeros(2, 3))  # three entries, each N(0, 1)
        >>> observed_log_prob(p, torch.tensor([0.0, torch.nan, torch.nan]))
        tensor(-0.9189)
    """
    missing = x.isnan()
    entries = p.base_dist.log_prob(x.masked_fill(missing, 0.0)).masked_fill(missing, 0.0)
    return entries.flatten(-p.reinterpreted_batch_ndims).sum(-1)


def is_grey(p: Independent) -> bool:
    """Whether values are themselves probabilities: grey levels of images under a Bernoulli p(x|z).

    A draw of zeros and ones is then no image of the kind that the model has seen.
    """
    grey = isinstance(p.base_dist, Bernoulli) and not isinstance(p.base_dist, BinaryPixels)
    return grey and len(p.event_shape) == 3


def draw(p: Independent, u: Callable[[], Tensor] | None = None) -> Tensor:
    """A draw of x from p(x|z); of grey levels, that a Bernoulli takes as probabilities, the mean.

    From torch's global generator, or from what `u` gives: uniform numbers on [0, 1), one for each
    entry of x, of which the draw is the quantile. The mean needs none.

    Example:
        >>> import torch
        >>> draw(LIKELIHOODS["bernoulli"].make(torch.zeros(1, 1, 2, 2), 3))
        tensor([[[0.5000, 0.5000],
                 [0.5000, 0.5000]]])
    """
    if is_grey(p):
        return p.mean
    if u is None:
        return p.sample()
    p_entry = p.base_dist
    if isinstance(p_entry, Bernoulli):
        return (u() >= 1 - p_entry.probs).float()
    eps = torch.finfo(torch.float32).eps / 2
    return p_entry.icdf(u().clamp(eps, 1 - eps))


class BinaryPixels(Bernoulli):
    """A Bernoulli of pixels that are black or white, rather than of grey levels."""


class DiscretizedLogistic(Distribution):
    """Logistic density integrated over the `levels` equal bins of an 8-bit pixel in [0, 1].

    The bins at 0 and 1 reach to minus and plus infinity, so the probabilities sum to one.

    References:
        Kingma et al., Improved variational inference with inverse autoregressive flow, 2016;
        Salimans et al., PixelCNN++, 2017.

    Arguments:
        location: centre of the logistic, in pixels; any real number.
        log_scale: logarithm of its scale.

    Example:
        >>> import torch
        >>> p = DiscretizedLogistic(torch.tensor(0.3), torch.tensor(-2.0))
        >>> p.log_prob(torch.arange(256) / 255).exp().sum().round(decimals=5)
        tensor(1.)
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "location": constraints.real,
        "log_scale": constraints.real,
    }

    def __init__(self, location: Tensor, log_scale: Tensor, levels: int = 256) -> None:
        self.location, self.log_scale = torch.broadcast_tensors(location, log_scale)
        self.levels = levels
        super().__init__(self.location.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Exact mean: the average over the inner bin edges of P(x above the edge)."""
        first = torch.zeros_like(self.location)
        for above in self._above():
            first = first + above
        return first / (self.levels - 1)

    @property
    def variance(self) -> Tensor:
        """Exact variance: k^2 is the sum of 2j + 1 over the j below k, as k is that of 1."""
        first = second = torch.zeros_like(self.location)
        for j, above in enumerate(self._above()):
            first, second = first + above, second + (2 * j + 1) * above
        top = self.levels - 1
        return (second / top**2 - (first / top) ** 2).clamp(min=0)

    def _above(self) -> Iterator[Tensor]:
        """Of each pixel, the probability to be above each inner edge of the bins, edge by edge.

        All edges together would be 255 times the images.
        """
        top, inverse_scale = self.levels - 1, torch.exp(-self.log_scale)
        for j in range(top):
            yield torch.sigmoid((self.location - (j + 0.5) / top) * inverse_scale)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Pixels on the grid of levels, shape `sample_shape + batch_shape`."""
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.location.shape
            u = torch.rand(shape, device=self.location.device, dtype=self.location.dtype)
            return self.icdf(u)

    def icdf(self, value: Tensor) -> Tensor:
        """Pixels on the grid of levels that are the quantiles of uniform numbers."""
        x = self.location + self.log_scale.exp() * torch.logit(value, eps=1e-6)
        top = self.levels - 1
        return (x * top).round().clamp(0, top) / top

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability (nats) of pixels k / (levels - 1); shape broadcast with the batch."""
        # With s the logistic sigmoid: s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)), all of it stable.
        half_bin = 0.5 / (self.levels - 1)
        inverse_scale = torch.exp(-self.log_scale)
        centred = value - self.location
        upper = F.logsigmoid((centred + half_bin) * inverse_scale)
        lower = F.logsigmoid((half_bin - centred) * inverse_scale)
        width = torch.log(-torch.expm1(-2 * half_bin * inverse_scale))
        at_bottom, at_top = value < half_bin, value > 1 - half_bin
        inside = upper + lower + width
        return torch.where(at_bottom, upper, torch.where(at_top, lower, inside))


def _bernoulli(parameters: Tensor, event_dims: int) -> Independent:
    (logits,) = parameters.float().unbind(-event_dims - 1)
    # Unvalidated: a grey value in [0, 1] counts as the probability of a white pixel.
    return Independent(Bernoulli(logits=logits, validate_args=False), event_dims)


def _binary(parameters: Tensor, event_dims: int) -> Independent:
    (logits,) = parameters.float().unbind(-event_dims - 1)
    # Unvalidated: who asks may give a grey image, which a classifier makes sense of.
    return Independent(BinaryPixels(logits=logits, validate_args=False), event_dims)


def _discretized_logistic(parameters: Tensor, event_dims: int) -> Independent:
    location, log_scale = parameters.float().unbind(-event_dims - 1)
    # Zero parameters mean grey with a wide scale, exp(-2); at the floor, exp(-9), one of the 256
    # bins of [0, 1] holds all but 1e-6 of the mass, and a smaller scale could only overflow.
    log_scale = F.softplus(log_scale + 7.0) - 9.0
    return Independent(DiscretizedLogistic(location + 0.5, log_scale), event_dims)


@dataclass(frozen=True)
class Likelihood:
    """A family p(x|z): how many parameters an entry of x takes, and the distribution they make."""

    n_parameters: int
    """Parameters for each entry of x."""
    make: Callable[[Tensor, int], Independent]
    """(..., n_parameters, *event) and the number of event dimensions -> p(x|z)."""
    is_density: bool
    """True for a density over real x, False for the probability of a discrete x."""
    domain: str
    """What x must be: "unit" for [0, 1], "bytes" for 8-bit pixels, "real" for any number."""


LIKELIHOODS = {
    "bernoulli": Likelihood(1, _bernoulli, is_density=False, domain="unit"),
    "gaussian": Likelihood(2, diagonal_gaussian, is_density=True, domain="real"),
    "discretized-logistic": Likelihood(2, _discretized_logistic, is_density=False, domain="bytes"),
}


def binary(likelihood: Likelihood, shape: tuple[int, ...]) -> Likelihood:
    """The Bernoulli likelihood of images whose pixels are black or white: its draws are so, too.

    Raises `ConfigError` for another likelihood, or for vectors.

    Example:
        >>> p = binary(LIKELIHOODS["bernoulli"], (1, 2, 2)).make(torch.zeros(1, 1, 2, 2), 3)
        >>> draw(p).unique().tolist() in ([0.0], [1.0], [0.0, 1.0])
        True
    """
    if likelihood is not LIKELIHOODS["bernoulli"] or len(shape) != 3:
        name = next(name for name, other in LIKELIHOODS.items() if other is likelihood)
        what = "images" if len(shape) == 3 else f"vectors of shape {shape}"
        raise ConfigError(
            f"--binarize draws black or white pixels of images, for --likelihood bernoulli; found "
            f"{what} under --likelihood {name}: leave out --binarize"
        )
    return replace(likelihood, make=_binary)
