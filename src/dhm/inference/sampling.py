"""New x from p(x) and from p(x|y), and what lies between two x, in units of the stored inputs."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dhm.errors import ConfigError, DataError, FewEffectiveSamplesWarning
from dhm.inference.abilities import require_classifier, require_samples
from dhm.inference.chunks import check_size, evaluating, pairs_at_once, spans
from dhm.models.base import LatentModel, Model, check_inputs
from dhm.nn.device import to_device
from dhm.nn.generators import seeded

CANDIDATES = 2000
"""Most candidates for draws of p(x|y) at a time: each is classified."""
PER_DRAW = 4
"""The effective sample size wanted for each draw of p(x|y)."""


class Draws(NamedTuple):
    """n draws of p(x|y)."""

    x: Tensor
    """(n, *shape), in units of the stored inputs."""
    z: Tensor
    """(n, n_latent), what each was made from."""
    effective_sample_size: float
    """How many equally weighted candidates those that these were chosen from are worth."""


@torch.no_grad()
def sample(model: Model, n: int, *, seed: int = 0, mean: bool = False) -> Tensor:
    """n draws of p(x), (n, *shape), float32 in units of the stored inputs.

    Arguments:
        model: one with a generative part.
        n: how many, at least 1.
        seed: of the draws; torch's global generator is left alone.
        mean: the mean of p(x|z) for each z drawn, instead of a draw of it: the better picture.

    Raises:
        UnsupportedError: the model has no generative part.
        ConfigError: n is below 1, or more than memory should hold.

    Example:
        >>> import dhm, tempfile
        >>> config = dhm.TrainConfig(epochs=1, run_dir=tempfile.mkdtemp(), n_eval_samples=1)
        >>> model = dhm.load_model(dhm.train(config, progress=False)["run"])
        >>> sample(model, 5).shape
        torch.Size([5, 1, 8, 8])
    """
    model = require_samples(model)
    check_draws(model, n)
    with evaluating(model), seeded(seed, model.standardize.scale.device):
        return decoded(model, model.sample_prior(n), mean=mean)


@torch.no_grad()
def decoded(model: LatentModel, z: Tensor, *, mean: bool = True) -> Tensor:
    """x of each z in units of the stored inputs, (n, *shape): p(x|z)'s mean, or a draw of it.

    Drawn from torch's global generator.
    """
    with evaluating(model):
        decode = model.decode if mean else model.draw
        parts = [
            model.standardize.inverse(decode(z[span.start : span.stop]))
            for span in spans(len(z), pairs_at_once(model.spec.shape))
        ]
    return torch.cat(parts)


@torch.no_grad()
def sample_given_label(
    model: Model, label: int, n: int, *, n_candidates: int = 100_000, seed: int = 0
) -> Draws:
    """n draws of p(x|y) by sampling-importance-resampling, exact in the limit of many candidates.

    Candidates x come from p(x), and n of them are chosen with probabilities proportional to p(y|x),
    none twice. That is p(y|x, z) at the mean of q(z|x), as in training and prediction, and not at
    the z that x was made from: the classifier has learnt nothing of z that data do not have, and
    where p(x) has little weight in training the prior draws many of them. With `--prior classes`
    candidates come from where p(z|y) has its mass, and p(z) over that joins the weight. More are
    drawn until they are worth 4 n equally weighted ones, or there are `n_candidates`; only those
    chosen so far are kept.

    References:
        Rubin, The SIR algorithm, JASA 1987; for the choice without replacement, Ohlsson, Sequential
        Poisson sampling, Journal of Official Statistics 1998.

    Arguments:
        model: one with a generative part and a classifier.
        label: index of the class.
        n: how many, at least 1.
        n_candidates: when to stop looking, at least n.
        seed: of the draws, which are other ones for each class; torch's global generator is left
            alone.

    Raises:
        UnsupportedError: the model has no generative part, or no classifier.
        ConfigError: there is no such class, or a number is too small.

    Warns:
        FewEffectiveSamplesWarning: the candidates were worth fewer than 4 n; p(x) hardly ever
            makes this class, and what was drawn is in part of others.

    Example:
        >>> import dhm, tempfile
        >>> config = dhm.TrainConfig(epochs=5, run_dir=tempfile.mkdtemp(), n_eval_samples=1)
        >>> model = dhm.load_model(dhm.train(config, progress=False)["run"])
        >>> threes = sample_given_label(model, 3, 5)
        >>> threes.x.shape, threes.effective_sample_size >= 20
        (torch.Size([5, 1, 8, 8]), True)
    """
    require_classifier(model)
    model = require_samples(model)
    if not 0 <= label < model.n_classes:
        raise ConfigError(f"expected a class from 0 to {model.n_classes - 1}, found {label}")
    check_draws(model, n)
    if n_candidates < n:
        raise ConfigError(f"expected n_candidates of at least n = {n}, found {n_candidates}")
    reservoir = _Reservoir(n)
    # In double precision, as sums of squares of many small weights would be lost.
    total = squares = torch.zeros((), dtype=torch.float64)
    effective = 0.0
    # Of the same candidates, the same few would be chosen for every class that is as likely.
    with evaluating(model), seeded(seed, model.standardize.scale.device, part=label):
        for chunk in spans(n_candidates, min(CANDIDATES, pairs_at_once(model.spec.shape))):
            x, z, log_w = _candidates(model, label, len(chunk))
            reservoir.add(x, z, log_w)
            w = log_w.cpu().double().exp()  # not every device has doubles
            total, squares = total + w.sum(), squares + w.square().sum()
            effective = float(total**2 / squares) if squares > 0 else 0.0
            if effective >= PER_DRAW * n and chunk.stop >= n:
                break
    if effective < PER_DRAW * n:
        warnings.warn(
            f"{chunk.stop} candidates for class {model.spec.classes[label]!r} are worth "
            f"{effective:.0f} equally weighted ones, fewer than {PER_DRAW * n}, {PER_DRAW} for "
            f"each of {n} draws: some may be of other classes; ask for fewer, or allow more "
            "candidates",
            FewEffectiveSamplesWarning,
            stacklevel=2,
        )
    return Draws(reservoir.x, reservoir.z, effective)


@torch.no_grad()
def interpolate(model: Model, x0: Any, x1: Any, n: int) -> Tensor:
    """n steps from one input to another through z, ends included: (n, *shape).

    Both ends are encoded, and what is on the way between their z is decoded (means of p(x|z)). The
    way is a straight line where the prior is uniform, whose cube a line stays in; where it is
    Gaussian it goes by angle and length, as the middle of a line would be nearer 0 than any z that
    the prior draws (`dhm.nn.priors.spherical`).

    Arguments:
        model: one with a generative part.
        x0: an input as stored, of the model's shape.
        x1: another.
        n: how many, at least 2.

    Raises:
        UnsupportedError: the model has no generative part.
        DataError: an input has another shape than the model's.
        ConfigError: n is below 2.

    Example:
        >>> import dhm, tempfile
        >>> config = dhm.TrainConfig(epochs=1, run_dir=tempfile.mkdtemp(), n_eval_samples=1)
        >>> model = dhm.load_model(dhm.train(config, progress=False)["run"])
        >>> x = dhm.load_data("digits").test.x
        >>> interpolate(model, x[0], x[1], 7).shape
        torch.Size([7, 1, 8, 8])
    """
    model = require_samples(model)
    _check_count("steps", n, least=2)
    ends = [np.asarray(x) for x in (x0, x1)]
    if ends[0].shape != ends[1].shape:
        raise DataError(
            f"expected two inputs of one shape, found {ends[0].shape} and {ends[1].shape}"
        )
    both: Any = np.stack(ends)
    check_inputs(model, both)
    with evaluating(model):
        start, end = model.encode(to_device(both, model.standardize.scale.device))
        t = torch.linspace(0, 1, n, device=start.device)
        return decoded(model, model.path(start, end, t))


def check_draws(model: Model, n: int) -> None:
    """Refuse, with `ConfigError`, fewer draws than one, or more than memory should hold."""
    _check_count("draws", n)
    check_size(f"{n} draws", n, model.spec.shape, "draw fewer at a time, with several seeds")


def _candidates(model: LatentModel, label: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """n pairs (x, z), x as stored, and the logarithms of their weights as draws of p(x, z|y)."""
    z, log_ratio = model.propose(label, n)
    x = model.standardize.inverse(model.draw(z))
    log_py = model.logits(x).log_softmax(-1)[:, label]
    return x, z, log_ratio + log_py


class _Reservoir:
    """n of the weighted pairs that come by, none twice, chosen in proportion to their weights.

    Those with the n smallest u / w, u uniform. With t the largest of these, a pair is kept if
    u < t w: rejection sampling with the bound that leaves n, exact but for weights above 1 / t.
    """

    x: Tensor
    z: Tensor

    def __init__(self, n: int) -> None:
        self.n = n
        self.keys: Tensor | None = None

    def add(self, x: Tensor, z: Tensor, log_w: Tensor) -> None:
        keys = log_w - torch.log1p(-torch.rand_like(log_w))  # log u, u in (0, 1]
        if self.keys is not None:
            keys = torch.cat([self.keys, keys])
            x, z = torch.cat([self.x, x]), torch.cat([self.z, z])
        self.keys, best = keys.topk(min(self.n, len(keys)))
        self.x, self.z = x[best], z[best]


def _check_count(what: str, n: int, least: int = 1) -> None:
    if n < least:
        raise ConfigError(f"expected at least {least} {what}, found {n}")
