"""log p(x), log p(x, y) and the bound, each by importance sampling, with standard errors.

For K draws z_k (and a_k, the auxiliary variable) of q(a, z|x) with the importance weights

    w_k = p(x|z_k) p(a_k, z_k) / q(a_k, z_k|x)

    log p(x)     = log E_q w             estimated by log 1/K sum_k w_k       `log_likelihood`
    log p(x, y)  = log E_q w p(y|x, z)            by log 1/K sum_k w_k p(y|x, z_k)  `log_joint`
    ELBO         = E_q log w                      by 1/K sum_k log w_k              `elbo`

All of them use the same draws for the same seed, so that they fit together exactly: `log_joint`
sums to p(x) over y, and log p(x) is never below the ELBO. What is drawn for an input depends on it
and the seed alone, not on the other inputs (see `dhm.inference.noise`). Memory does not grow with
K: chunks are over examples and samples, and sums run.

References:
    Burda et al., Importance weighted autoencoders, ICLR 2016, section 3; for the standard error,
    the delta method, Owen, Monte Carlo theory, methods and examples, 2013, chapter 9.
"""

from collections.abc import Callable, Iterator
from math import log, prod
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from dhm.errors import ConfigError
from dhm.inference.abilities import require_classifier, require_density
from dhm.inference.chunks import check_examples, evaluating, pairs_at_once, rows, spans
from dhm.inference.noise import RowNoise
from dhm.models.base import GenerativeModel, ImportanceSamples, Model
from dhm.nn.device import to_device


class Estimate(NamedTuple):
    """A number for each example, and how far it may be off."""

    value: Tensor
    """(N,) nats; -inf for an input so far out that its probability is none a float can hold."""
    standard_error: Tensor
    """(N,) nats; NaN for a single sample, and where the value is -inf."""


def log_likelihood(model: Model, x: Any, n_samples: int = 100, *, seed: int = 0) -> Estimate:
    """log p(x) of each example by importance sampling.

    The estimate is below log p(x) on average, and less so the more samples. Its standard error is
    that of the mean weight over the mean weight (delta method). It cannot see weights that were
    never drawn: it is at most 1 by its form, and from about 0.3 on says no more than that there are
    too few samples. `dhm.inference.annealing` is then the check.

    Arguments:
        model: one with a density.
        x: (N, *shape) as stored, an array, memory map or scipy CSR matrix; NaN is missing.
        n_samples: K >= 1.
        seed: of the draws; torch's global generator is left alone.

    Raises:
        UnsupportedError: the model has no p(x).
        DataError: there is no example, or they have another shape than the model's.
        ConfigError: there is no sample.

    Example:
        >>> import dhm, tempfile
        >>> config = dhm.TrainConfig(epochs=1, run_dir=tempfile.mkdtemp(), n_eval_samples=1)
        >>> model = dhm.load_model(dhm.train(config, progress=False)["run"])
        >>> value, standard_error = log_likelihood(model, dhm.load_data("digits").test.x[:3], 50)
        >>> value.shape, bool((standard_error < 1).all())
        (torch.Size([3]), True)
    """
    sums = _sums(model, x, n_samples, seed)
    return Estimate(sums.log_mean(), sums.log_mean_error())


def log_joint(model: Model, x: Any, n_samples: int = 100, *, seed: int = 0) -> Tensor:
    """log p(x, y) of each example with every class, nats, (N, n_classes).

    Its logsumexp over classes is `log_likelihood` of the same number of samples and seed. Less
    that, it is log p(y|x) with z integrated out by the weights, where the model's `logits` take the
    mean of q(z|x) instead. Arguments and errors as `log_likelihood`; `UnsupportedError` also where
    p(y|x) is not trained.
    """
    require_classifier(model)
    hybrid = require_density(model)

    def with_class(part: Tensor, draws: ImportanceSamples) -> Tensor:
        log_py = hybrid.logits_given_z(part, draws.z).log_softmax(-1)
        return draws.log_weight[..., None] + log_py

    return _sums(hybrid, x, n_samples, seed, with_class).log_mean()


def elbo(model: Model, x: Any, n_samples: int = 100, *, seed: int = 0) -> Estimate:
    """The evidence lower bound of log p(x), E_q log w. Arguments and errors as `log_likelihood`."""
    sums = _sums(model, x, n_samples, seed)
    return Estimate(sums.mean(), sums.mean_error())


def gap_to_bound(model: Model, x: Any, n_samples: int = 100, *, seed: int = 0) -> Tensor:
    """log p(x) - ELBO, nats, (N,), never negative: KL(q(a, z|x) || p(a, z|x)) for many samples.

    How far the encoder is from the posterior. Arguments and errors as `log_likelihood`.
    """
    sums = _sums(model, x, n_samples, seed)
    return (sums.log_mean() - sums.mean()).clamp(min=0)  # rounding apart, it is


def bits_per_dimension(log_px: Tensor, shape: tuple[int, ...]) -> Tensor:
    """-log p(x) in bits per entry of x, from nats.

    Comparable between models of 8-bit images where p(x) is a probability of bytes, as with the
    discretised logistic. A density of pixels in [0, 1] lacks the 8 bits of their resolution.

    Example:
        >>> from math import log
        >>> bits_per_dimension(torch.tensor([-64 * 8 * log(2)]), (1, 8, 8))  # as good as guessing
        tensor([8.])
    """
    return -log_px / (prod(shape) * log(2))


def weighted_draws(
    model: GenerativeModel, x: Any, n_samples: int, seed: int
) -> Iterator[tuple[range, Tensor, ImportanceSamples]]:
    """Draws of q(z|x) with their importance weights, chunk after chunk.

    Yields positions of examples, the examples as stored on the model's device, and draws for them;
    the same positions come again until they have had `n_samples`. Gradients are the caller's
    affair, and so is the model's mode.
    """
    check_examples(model, x)
    if n_samples < 1:
        raise ConfigError(f"expected at least 1 sample, found {n_samples}")
    device = model.standardize.scale.device
    pairs = pairs_at_once(model.spec.shape)
    for positions in spans(x.shape[0], max(1, pairs // n_samples)):
        part: NDArray[Any] = rows(x, positions)
        noise = RowNoise(part, seed, device)
        stored = to_device(part, device)
        for samples in spans(n_samples, pairs):
            drawn = model.importance_samples(stored, noise.normal(len(samples), model.n_noise))
            yield positions, stored, drawn


class RunningSums:
    """Sums over K log-weights that arrive in chunks, (k, B, ...), from which the means follow."""

    def __init__(self) -> None:
        self.n = 0

    def add(self, log_w: Tensor) -> None:
        """Take in k more of each."""
        if self.n == 0:
            zeros = torch.zeros_like(log_w[0])
            self.largest = torch.full_like(zeros, -torch.inf)
            # Of w and w^2 relative to the largest w, and of what log w is above the first one.
            self.w, self.w2, self.log_w, self.log_w2 = zeros, zeros, zeros, zeros
            self.first = torch.where(log_w[0].isfinite(), log_w[0], 0.0)
        self.n += len(log_w)
        largest = torch.maximum(self.largest, log_w.amax(0))
        shrink = _relative(self.largest, largest)
        w = _relative(log_w, largest)
        self.w = self.w * shrink + w.sum(0)
        self.w2 = self.w2 * shrink**2 + w.square().sum(0)
        above = log_w - self.first
        self.log_w = self.log_w + above.sum(0)
        self.log_w2 = self.log_w2 + above.square().sum(0)
        self.largest = largest

    def log_mean(self) -> Tensor:
        """log 1/K sum w."""
        return self.largest + torch.log(self.w / self.n)

    def log_mean_error(self) -> Tensor:
        """Standard error of `log_mean`: sd(w) / (mean(w) sqrt(K))."""
        if self.n == 1:
            return torch.full_like(self.w, torch.nan)
        spread = self.n * self.w2 / self.w.square() - 1
        return (spread.clamp(min=0) / (self.n - 1)).sqrt()

    def mean(self) -> Tensor:
        """1/K sum log w."""
        return self.first + self.log_w / self.n

    def mean_error(self) -> Tensor:
        """Standard error of `mean`."""
        if self.n == 1:
            return torch.full_like(self.w, torch.nan)
        variance = (self.log_w2 - self.log_w.square() / self.n) / (self.n - 1)
        return (variance.clamp(min=0) / self.n).sqrt()


def concatenated(parts: list[RunningSums]) -> RunningSums:
    """The sums of all examples from those of chunks of them, with as many samples each."""
    whole = RunningSums()
    whole.n = parts[0].n
    for name in ("largest", "first", "w", "w2", "log_w", "log_w2"):
        setattr(whole, name, torch.cat([getattr(part, name) for part in parts]))
    return whole


def _relative(log_w: Tensor, largest: Tensor) -> Tensor:
    """w relative to the largest; 0 where that is 0 itself."""
    return torch.exp(log_w - torch.where(largest.isfinite(), largest, 0.0))


@torch.no_grad()
def _sums(
    model: Model,
    x: Any,
    n_samples: int,
    seed: int,
    log_w: Callable[[Tensor, ImportanceSamples], Tensor] = lambda _, draws: draws.log_weight,
) -> RunningSums:
    model = require_density(model)
    by_start: dict[int, RunningSums] = {}
    with evaluating(model):
        for positions, part, drawn in weighted_draws(model, x, n_samples, seed):
            by_start.setdefault(positions.start, RunningSums()).add(log_w(part, drawn))
    return concatenated(list(by_start.values()))
