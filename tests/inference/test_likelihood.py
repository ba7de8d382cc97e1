"""log p(x) against scikit-learn's PCA and enumeration; its standard error and its chunks."""

from collections.abc import Callable
from functools import partial
from itertools import product
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from dhm.errors import ConfigError, DataError, UnsupportedError
from dhm.inference import chunks
from dhm.inference.abilities import require_density
from dhm.inference.annealing import annealed_log_likelihood
from dhm.inference.likelihood import (
    Estimate,
    bits_per_dimension,
    elbo,
    gap_to_bound,
    log_joint,
    log_likelihood,
)
from dhm.inference.noise import RowNoise
from dhm.models.base import GenerativeModel, ModelSpec
from dhm.models.explicit import SupervisedHDGM
from dhm.models.implicit import SemisupALI
from dhm.nn.distributions import LIKELIHOODS, diagonal_gaussian
from dhm.nn.hybrid import ClassifierOnLatent, Decoder, HybridParts, Posterior
from dhm.nn.layers import GaussianHead, LikelihoodHead
from dhm.nn.priors import ClassMixture

Estimator = Callable[..., Estimate]


class LinearEncoder(nn.Module):
    """q(z|x), a Gaussian with a mean linear in x; no auxiliary variable."""

    def __init__(self, mean: nn.Linear, log_variance: Tensor) -> None:
        super().__init__()
        self.mean, self.log_variance = mean, log_variance

    def forward(self, x: Tensor) -> Posterior:
        mean = self.mean(x.flatten(1))
        z = torch.stack([mean, self.log_variance.expand_as(mean)], 1)
        nothing = diagonal_gaussian(torch.zeros(len(x), 2, 0))
        return Posterior(
            nothing, lambda a: diagonal_gaussian(z.expand(*a.shape[:-1], *z.shape[1:]))
        )


class LinearClassifier(ClassifierOnLatent):
    """p(y|x, z) from logits linear in x and z."""

    def __init__(self, n_in: int, n_classes: int) -> None:
        super().__init__()
        self.logits = nn.Linear(n_in, n_classes)

    def of_x(self, h: Tensor) -> Tensor:
        return h.flatten(1)

    def join(self, from_x: Tensor, z: Tensor) -> Tensor:
        return torch.cat([from_x, z], 1)


def linear_hybrid(
    n_in: int, n_latent: int, likelihood: str, dtype: str = "float32", prior: str = "gaussian"
) -> SupervisedHDGM:
    """An explicit model whose every piece is linear, with random weights."""
    options: dict[str, Any] = {
        **SupervisedHDGM.options["small"],
        "likelihood": likelihood,
        "unsup_weight": 1.0,
        "n_latent": n_latent,
        "n_aux": 0,
        "prior": prior,
    }
    spec = ModelSpec("supervised-hdgm", "small", (n_in,), dtype, ("a", "b", "c"), options)
    torch.manual_seed(0)
    parts = HybridParts(
        nn.Identity(),
        LinearEncoder(nn.Linear(n_in, n_latent), torch.full((n_latent,), 1.0)),
        Decoder(
            LikelihoodHead(n_latent, (n_in,), LIKELIHOODS[likelihood]), GaussianHead(n_latent, 0)
        ),
        LinearClassifier(n_in + n_latent, 3),
    )
    return SupervisedHDGM(spec, parts).eval()


def probabilistic_pca() -> tuple[SupervisedHDGM, np.ndarray, np.ndarray]:
    """A model with the weights of a fitted PCA, data as stored, and log p(x) by scikit-learn.

    The encoder is a rough one: its means fall short and its variances are too large.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 6)) + rng.normal(3, 0.7, (500, 6))
    pca = PCA(3).fit(x)
    model = linear_hybrid(6, 3, "gaussian")
    shift, scale = torch.from_numpy(x.mean(0)) + 1, torch.from_numpy(x.std(0)) * 2
    model.standardize.shift.copy_(shift)
    model.standardize.scale.copy_(scale)
    to_x = torch.from_numpy(
        pca.components_.T * np.sqrt(pca.explained_variance_[:3] - pca.noise_variance_)
    )
    mean = torch.from_numpy(pca.mean_)
    precision = to_x.T @ to_x / pca.noise_variance_ + torch.eye(3)
    to_z = torch.linalg.solve(precision, to_x.T / pca.noise_variance_)
    with torch.no_grad():
        head = model.decoder.x.linear
        head.weight.copy_(torch.cat([to_x / scale[:, None], torch.zeros(6, 3)]))
        log_variance = torch.log(pca.noise_variance_ / scale**2)
        head.bias.copy_(torch.cat([(mean - shift) / scale, log_variance]))
        model.encoder.mean.weight.copy_(0.9 * to_z * scale)
        model.encoder.mean.bias.copy_(0.9 * to_z @ (shift - mean))
    model.encoder.log_variance = torch.log(2 / precision.diagonal()).float()
    few = x[:12].astype(np.float32)
    return model, few, pca.score_samples(few.astype(float))


@pytest.mark.parametrize(
    ("estimator", "arguments", "tolerance"),
    [
        (log_likelihood, {"n_samples": 20_000}, 0.05),
        (annealed_log_likelihood, {"n_chains": 200, "n_temperatures": 150}, 0.05),
        (annealed_log_likelihood, {"n_chains": 100, "n_temperatures": 100, "start": "prior"}, 0.3),
    ],
    ids=["importance", "annealed", "annealed from the prior"],
)
def test_probabilistic_pca_has_scikit_learns_log_px(
    estimator: Estimator, arguments: dict[str, Any], tolerance: float
) -> None:
    model, x, exact = probabilistic_pca()
    value, standard_error = estimator(model, x, **arguments)
    off = value.numpy() - exact
    assert np.abs(off).max() < tolerance
    z = off / standard_error.numpy()
    assert np.abs(z).max() < 4 and 0.4 < np.sqrt((z**2).mean()) < 1.7


def test_the_bound_and_its_gap_are_the_closed_form() -> None:
    """The posterior's Gaussian is known, and so is the divergence from q."""
    model, x, exact = probabilistic_pca()
    # Both are diagonal with q's variance twice the posterior's and q's mean 0.9 of its mean.
    means = model.encode(torch.from_numpy(x)).detach().double() / 0.9
    variance = model.encoder.log_variance.exp().double() / 2
    divergence = 0.5 * (2 - 1 - log(2) + (0.1 * means) ** 2 / variance).sum(1).numpy()
    value, standard_error = elbo(model, x, 5000)
    assert np.abs((value.numpy() - (exact - divergence)) / standard_error.numpy()).max() < 4.5
    assert standard_error.max() < 0.1
    np.testing.assert_allclose(gap_to_bound(model, x, 5000), divergence, atol=0.2)
    # A better check of the gap: it is the difference of the two estimates, exactly.
    difference = log_likelihood(model, x, 5000).value - value
    torch.testing.assert_close(gap_to_bound(model, x, 5000), difference, atol=1e-4, rtol=0)


def discrete(prior: str) -> tuple[SupervisedHDGM, np.ndarray, Tensor]:
    """A model of four Bernoulli pixels, all 16 x, and their log p(x, y) by a grid over z."""
    model = linear_hybrid(4, 2, "bernoulli", prior=prior)
    model.decoder.x.linear.weight.data *= 4
    model.classifier.logits.weight.data *= 4
    x = torch.tensor(list(product([0.0, 1.0], repeat=4)))
    axis = torch.linspace(-7, 7, 141)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        log_pz = model.p_z().log_prob(z) + 2 * log(14 / 140)
        log_pxz = model.decoder(z[:, None]).x.log_prob(x) + log_pz[:, None]
        log_py = model.logits_given_z(x, z[:, None].expand(-1, 16, -1)).log_softmax(-1)
        exact = (log_pxz[..., None] + log_py).logsumexp(0)
    assert exact.exp().sum().item() == pytest.approx(1, abs=1e-5), "the grid is fine enough"
    return model, x.numpy(), exact


@pytest.mark.parametrize("prior", ["gaussian", "classes"])
def test_a_discrete_model_is_enumerated(prior: str) -> None:
    model, x, exact = discrete(prior)
    log_px = exact.logsumexp(1)
    for value, standard_error in (
        log_likelihood(model, x, 20_000),
        annealed_log_likelihood(model, x, 100, 40),
        annealed_log_likelihood(model, x, 100, 40, start="prior"),
    ):
        assert ((value - log_px) / standard_error).abs().max() < 4.5
        p = value.exp()
        error = (p * standard_error).square().sum().sqrt()
        assert (p.sum() - 1).abs() < 4 * error and error < 0.05
    joint = log_joint(model, x, 50_000)
    torch.testing.assert_close(joint, exact, atol=0.1, rtol=0)
    torch.testing.assert_close(joint.exp().sum(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_log_joint_sums_to_log_px_on_the_same_draws() -> None:
    model, x, _ = discrete("gaussian")
    value = log_likelihood(model, x, 30, seed=4).value
    torch.testing.assert_close(log_joint(model, x, 30, seed=4).logsumexp(1), value)


@pytest.mark.parametrize(
    ("estimator", "size", "repetitions"),
    [(log_likelihood, 200, 200), (elbo, 200, 200), (annealed_log_likelihood, 40, 40)],
)
def test_the_standard_error_is_honest(estimator: Estimator, size: int, repetitions: int) -> None:
    model, x, exact = discrete("gaussian")
    more = {"n_temperatures": 4, "n_leapfrog": 2} if estimator is annealed_log_likelihood else {}
    x, exact = x[::2], exact[::2]
    estimates = [estimator(model, x, size, seed=seed, **more) for seed in range(repetitions)]
    values = torch.stack([e.value for e in estimates])
    errors = torch.stack([e.standard_error for e in estimates])
    ratio = errors.square().mean(0).sqrt() / values.std(0)
    assert 0.8 < ratio.mean() < 1.2 and ratio.min() > 0.6 and ratio.max() < 1.6, ratio
    truth = values.mean(0) if estimator is elbo else exact.logsumexp(1)
    covered = ((values - truth).abs() < 2 * errors).float().mean()
    assert 0.9 < covered < 0.99  # 0.954 where errors are Gaussian


@pytest.mark.parametrize(
    ("estimator", "pairs"), [(log_likelihood, 7), (elbo, 7), (annealed_log_likelihood, 120)]
)
def test_an_estimate_depends_on_its_input_and_the_seed_alone(
    estimator: Estimator, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, _ = discrete("classes")
    if estimator is annealed_log_likelihood:
        estimator = partial(estimator, n_temperatures=4)
    state = torch.get_rng_state()
    expected = estimator(model.train(), x, 13)
    assert model.training and torch.equal(torch.get_rng_state(), state)
    alone = torch.cat([estimator(model, x[i : i + 1], 13).value for i in (3, 1)])
    torch.testing.assert_close(alone, expected.value[[3, 1]])
    assert not torch.equal(estimator(model, x, 13, seed=1).value, expected.value)
    monkeypatch.setattr(chunks, "PAIRS", pairs)
    for again, before in zip(estimator(model, x, 13), expected, strict=True):
        torch.testing.assert_close(again, before, atol=1e-5, rtol=1e-4)


def test_an_estimate_does_not_depend_on_how_its_input_is_stored() -> None:
    """Bytes, floats of them beside a gap in another row, zeros of either sign, any NaN."""
    cpu = torch.device("cpu")
    x = np.array([[0, 3, 255], [7, 0, 1]], np.uint8)
    beside = x.astype(np.float32)
    beside[1, 1] = np.nan
    other = np.where(x == 0, -0.0, x)
    other[1, 1] = -np.float64(np.nan)
    drawn = [RowNoise(each, 0, cpu).normal(2, 3) for each in (x, beside, other)]
    assert torch.equal(drawn[0][:, 0], drawn[1][:, 0]) and torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[0][:, 1], drawn[1][:, 1])
    model = linear_hybrid(3, 2, "discretized-logistic", "uint8")
    model.standardize.scale.fill_(255.0)
    whole, beside_gap = (log_likelihood(model, each, 5).value for each in (x, beside))
    assert whole[0] == beside_gap[0] and whole[1] != beside_gap[1]


@pytest.mark.parametrize("estimator", [log_likelihood, log_joint, annealed_log_likelihood])
def test_memory_does_not_grow_with_the_samples(
    estimator: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, _ = discrete("gaussian")
    monkeypatch.setattr(chunks, "PAIRS", 200)
    sizes: list[int] = []
    model.decoder.x.register_forward_hook(lambda _, inputs, out: sizes.append(inputs[0].numel()))
    largest, total = [], []
    few = {"n_temperatures": 1, "n_leapfrog": 1} if estimator is annealed_log_likelihood else {}
    for n in (200, 2000):
        sizes.clear()
        estimator(model, x[:3], n, **few)
        largest.append(max(sizes))
        total.append(sum(sizes))
    assert largest[0] == largest[1] <= 200 * 2
    assert total[1] > 8 * total[0], "all samples were drawn"


def test_large_inputs_are_decoded_a_few_at_a_time() -> None:
    assert chunks.pairs_at_once((3, 512, 512)) * 3 * 512 * 512 <= chunks.ENTRIES
    assert chunks.pairs_at_once((10**9,)) == 1


def test_weights_far_below_what_a_float_holds() -> None:
    model, x, _ = probabilistic_pca()
    value, standard_error = log_likelihood(model, x * 100, 50)
    assert value.isfinite().all() and (value < -1000).all() and standard_error.isfinite().all()
    assert log_likelihood(model, x, 1).standard_error.isnan().all()


def test_bits_per_dimension_by_hand() -> None:
    assert bits_per_dimension(torch.tensor([-6.0 * log(2)]), (1, 2, 3)).item() == pytest.approx(1)


def test_mistakes_are_refused() -> None:
    model, x, _ = discrete("gaussian")
    with pytest.raises(ConfigError, match="at least 1 sample"):
        log_likelihood(model, x, 0)
    with pytest.raises(DataError, match="shape"):
        log_likelihood(model, x[:, :3])
    with pytest.raises(DataError, match="at least one example"):
        log_likelihood(model, x[:0])
    with pytest.raises(ConfigError, match="posterior, prior, found 'uniform'"):
        annealed_log_likelihood(model, x, start="uniform")
    with pytest.raises(ConfigError, match="at least 1 chain"):
        annealed_log_likelihood(model, x, n_temperatures=0)
    model.sup_weight = 0.0
    with pytest.raises(UnsupportedError, match=r"no p\(y\|x\)"):
        log_joint(model, x)


def test_a_model_without_a_density_says_what_it_can_do() -> None:
    model: GenerativeModel = linear_hybrid(4, 2, "bernoulli")
    assert require_density(model) is model
    assert isinstance(model, SupervisedHDGM)
    model.unsup_weight = 0.0
    with pytest.raises(UnsupportedError, match=r"--unsup_weight was 0.*predict_logits"):
        log_likelihood(model, np.zeros((1, 4), np.float32))
    options = SemisupALI.options["mlp"]
    ali = SemisupALI(ModelSpec("semisup-ali", "mlp", (4,), "float32", ("a", "b"), options))
    with pytest.raises(UnsupportedError, match=r"no log p\(x\).*hdgm.*sample.*reconstruct.*critic"):
        annealed_log_likelihood(ali, np.zeros((1, 4), np.float32))  # type: ignore[arg-type]


def test_the_prior_of_classes_is_proposed_from_with_its_weights() -> None:
    """E_r [p(z)/r(z) f(z)] is E_p f(z), and no weight is above 10."""
    prior = ClassMixture(2, 3)
    prior.means.data = torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0]])
    torch.manual_seed(0)
    z, log_w = prior.propose(1, 200_000)
    w = log_w.exp()
    assert w.max() <= 10 + 1e-4 and w.mean().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close((w[:, None] * z).mean(0), prior.means.mean(0), atol=0.05, rtol=0)
    assert prior.class_logits(z).softmax(1)[:, 1].mean() > 0.85, "most are of the class"
