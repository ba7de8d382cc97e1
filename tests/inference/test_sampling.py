"""Draws of p(x|y) against exact conditionals, and ways between two inputs."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from dhm.errors import ConfigError, DataError, FewEffectiveSamplesWarning, UnsupportedError
from dhm.inference import chunks
from dhm.inference.sampling import decoded, interpolate, sample, sample_given_label
from dhm.models.base import LatentModel, ModelSpec
from dhm.models.discriminative import Softmax
from dhm.models.explicit import SupervisedHDGM
from dhm.models.implicit import SemisupALI
from dhm.nn.distributions import LIKELIHOODS
from dhm.nn.hybrid import ClassifierOnLatent, Decoder, Encoder, HybridParts
from dhm.nn.layers import GaussianHead, LikelihoodHead
from dhm.nn.priors import ClassMixture, spherical

CLASSES = ("a", "b", "c")
W = torch.tensor([[1.0, 0.4], [-0.3, 0.8]])
SIGMA = 0.5
SHIFT, SCALE = torch.tensor([5.0, -1.0]), torch.tensor([2.0, 0.5])


class LinearClassifier(ClassifierOnLatent):
    """p(y|x, z) from logits linear in x and z."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Linear(4, 3)

    def of_x(self, h: Tensor) -> Tensor:
        return h

    def join(self, from_x: Tensor, z: Tensor) -> Tensor:
        return torch.cat([from_x, z], 1)


def explicit(prior: str = "gaussian") -> SupervisedHDGM:
    """x = SHIFT + SCALE (W z + 0.5 e) in two dimensions."""
    options = {
        **SupervisedHDGM.options["small"],
        "likelihood": "gaussian",
        "n_latent": 2,
        "n_aux": 0,
        "prior": prior,
    }
    spec = ModelSpec("supervised-hdgm", "small", (2,), "float32", CLASSES, options)
    torch.manual_seed(1)
    head = LikelihoodHead(2, (2,), LIKELIHOODS["gaussian"])
    parts = HybridParts(
        nn.Identity(), Encoder(2, 2, 0, 8), Decoder(head, GaussianHead(2, 0)), LinearClassifier()
    )
    model = SupervisedHDGM(spec, parts).eval()
    with torch.no_grad():
        head.linear.weight.copy_(torch.cat([W, torch.zeros(2, 2)]))
        head.linear.bias.copy_(torch.tensor([0.0, 0.0, *[2 * np.log(SIGMA)] * 2]))
        parts.classifier.logits.weight.mul_(4)
    model.standardize.shift.copy_(SHIFT)
    model.standardize.scale.copy_(SCALE)
    return model


def implicit() -> SemisupALI:
    """x = G(z) in two dimensions, with a critic that tells parts of them apart."""
    options = {**SemisupALI.options["small"], "n_latent": 3}
    torch.manual_seed(0)
    model = SemisupALI(ModelSpec("semisup-ali", "small", (2,), "float32", CLASSES, options)).eval()
    z = model.sample_prior(1000)
    with torch.no_grad():
        logits = model.logits(model.standardize.inverse(model.draw(z)))
        # Random weights hardly tell one pair from another.
        (last,) = [m for m in model.critic.logits.modules() if hasattr(m, "bias")]
        model.critic.logits = nn.Sequential(last, Spread(logits.mean(0), 3 / logits.std(0)))
    return model


class Spread(nn.Module):
    def __init__(self, mean: Tensor, factor: Tensor) -> None:
        super().__init__()
        self.mean, self.factor = mean, factor

    def forward(self, logits: Tensor) -> Tensor:
        return (logits - self.mean) * self.factor


@torch.no_grad()
def ancestral(model: LatentModel, label: int, n: int) -> Tensor:
    """Exact draws of p(x|y): those of (x, y), in this order, that have the label."""
    kept: list[Tensor] = []
    while sum(map(len, kept)) < n:
        z = model.sample_prior(4000)
        x = model.standardize.inverse(model.draw(z))
        y = torch.distributions.Categorical(logits=model.logits(x)).sample()
        kept.append(x[y == label])
    return torch.cat(kept)[:n]


def energy_p_value(x: Tensor, y: Tensor, n_permutations: int = 200) -> float:
    """Of the permutation test by energy distance that two samples have one distribution."""
    both = torch.cat([x, y])
    both = (both - both.mean(0)) / both.std(0)
    distances = torch.cdist(both, both)
    generator = torch.Generator().manual_seed(0)

    def between(order: Tensor) -> float:
        first = torch.zeros(len(both))
        first[order[: len(x)]] = 1
        sign = first / len(x) - (1 - first) / len(y)
        return -(sign @ distances @ sign).item()

    found = between(torch.arange(len(both)))
    others = [
        between(torch.randperm(len(both), generator=generator)) for _ in range(n_permutations)
    ]
    return (1 + sum(other >= found for other in others)) / (1 + n_permutations)


@pytest.mark.parametrize("make", [explicit, lambda: explicit("classes"), implicit])
@pytest.mark.parametrize("label", [0, 2])
def test_draws_of_a_class_are_of_the_exact_conditional(make: Any, label: int) -> None:
    model = make()
    drawn = sample_given_label(model, label, 400)
    torch.manual_seed(7)
    assert drawn.effective_sample_size >= 1600
    assert energy_p_value(drawn.x, ancestral(model, label, 800)) > 0.01
    assert energy_p_value(drawn.x, ancestral(model, 1, 800)) < 0.01, "the test can tell"
    assert len(drawn.x.unique(dim=0)) == 400, "none twice"


def test_with_a_prior_of_classes_a_class_is_a_known_gaussian() -> None:
    model = explicit("classes")
    assert isinstance(model.prior, ClassMixture)
    model.prior.means.data = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, -1.0]])
    logits, covariance = model.classifier.logits, W @ W.T + SIGMA**2 * torch.eye(2)
    means = model.prior.means.detach() @ W.T
    slopes = torch.linalg.solve(covariance, means.T).T
    with torch.no_grad():  # p(y|x, z) is then p(y|x) of the mixture
        logits.weight.copy_(torch.cat([slopes, torch.zeros(3, 2)], 1))
        logits.bias.copy_(-0.5 * (slopes * means).sum(1))
    root = torch.linalg.cholesky(covariance)
    for label, mean in enumerate(model.prior.means.detach()):
        x = (sample_given_label(model, label, 1000).x - SHIFT) / SCALE
        white = torch.linalg.solve_triangular(root, (x - W @ mean).T, upper=False)
        assert stats.kstest(white.square().sum(0), "chi2", args=(2,)).pvalue > 0.005
        for row in white:
            assert stats.kstest(row, "norm").pvalue > 0.005


def test_draws_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = explicit().train()
    state = torch.get_rng_state()
    one, again = (sample_given_label(model, 1, 20, seed=3) for _ in range(2))
    assert torch.equal(one.x, again.x) and not torch.equal(
        sample_given_label(model, 1, 20, seed=4).x, one.x
    )
    assert torch.equal(sample(model, 5, seed=3), sample(model, 5, seed=3))
    assert model.training and torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close((decoded(model, one.z) - SHIFT) / SCALE, one.z @ W.T)
    mean = sample(model, 50, seed=3, mean=True)
    monkeypatch.setattr(chunks, "PAIRS", 7)
    torch.testing.assert_close(sample(model, 50, seed=3, mean=True), mean)


def test_draws_of_different_classes_have_nothing_in_common() -> None:
    model = explicit()
    with torch.no_grad():  # every input is of any class
        model.classifier.logits.weight.zero_()
        model.classifier.logits.bias.zero_()
    x = torch.cat([sample_given_label(model, label, 20).x for label in range(3)])
    assert len(x.unique(dim=0)) == 60


def test_samples_are_in_the_units_of_the_data() -> None:
    x = (sample(explicit(), 5000) - SHIFT) / SCALE
    root = torch.linalg.cholesky(W @ W.T + SIGMA**2 * torch.eye(2))
    for row in torch.linalg.solve_triangular(root, x.T, upper=False):
        assert stats.kstest(row, "norm").pvalue > 0.005


def test_a_class_that_p_x_hardly_makes_warns() -> None:
    model = explicit()
    with torch.no_grad():
        model.classifier.logits.weight.zero_()
        model.classifier.logits.bias.copy_(torch.tensor([0.0, 0.0, -2.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # All weights are equal: each candidate counts, however unlikely its class.
        even = sample_given_label(model, 2, 10, n_candidates=40)
    assert even.effective_sample_size == pytest.approx(40, rel=1e-4)
    with pytest.warns(FewEffectiveSamplesWarning, match="39 candidates for class 'c'.* 40"):
        assert sample_given_label(model, 2, 10, n_candidates=39).x.shape == (10, 2)
    with torch.no_grad():  # the class lies where x is more than 4 above its mean
        model.classifier.logits.weight[2, 0] = 50.0
        model.classifier.logits.bias[2] = -200.0
    with pytest.warns(FewEffectiveSamplesWarning):
        few = sample_given_label(model, 2, 10, n_candidates=5000)
    assert few.effective_sample_size < 10


def test_interpolation_ends_at_the_reconstructions() -> None:
    for model in (implicit(), encoding()):
        x0, x1 = np.array([1.0, 2.0], np.float32), np.array([-1.0, 0.5], np.float32)
        steps = interpolate(model, x0, x1, 5)
        with torch.no_grad():
            z = model.encode(torch.from_numpy(np.stack([x0, x1])))
        torch.testing.assert_close(steps[[0, -1]], decoded(model, z))
        assert steps.shape == (5, 2)
    with pytest.raises(DataError, match="one shape"):
        interpolate(model, x0, x1[:1], 5)
    with pytest.raises(DataError, match="shape"):
        interpolate(model, x0[:1], x1[:1], 5)
    with pytest.raises(ConfigError, match="at least 2 steps"):
        interpolate(model, x0, x1, 1)


def encoding() -> LatentModel:
    options = {**SupervisedHDGM.options["small"], "likelihood": "gaussian"}
    torch.manual_seed(0)
    return SupervisedHDGM(ModelSpec("supervised-hdgm", "small", (2,), "float32", CLASSES, options))


def test_the_way_between_draws_of_a_gaussian_keeps_their_length() -> None:
    torch.manual_seed(0)
    start, end = torch.randn(2, 200)
    t = torch.linspace(0, 1, 9)
    lengths = spherical(start, end, t).norm(dim=1)
    torch.testing.assert_close(lengths, torch.lerp(start.norm(), end.norm(), t))
    assert torch.lerp(start, end, torch.tensor(0.5)).norm() < 0.8 * lengths.min()
    angles = torch.cosine_similarity(spherical(start, end, t), start[None]).arccos()
    torch.testing.assert_close(angles, t * angles[-1], atol=1e-3, rtol=0)
    for other in (start, -start, torch.zeros(200)):
        ways = spherical(start, other, t)
        torch.testing.assert_close(ways[[0, -1]], torch.stack([start, other]))
    cube = implicit().path(torch.zeros(3), torch.ones(3), t)
    torch.testing.assert_close(cube, t[:, None].expand(-1, 3))


def test_mistakes_are_refused() -> None:
    model = explicit()
    with pytest.raises(ConfigError, match="class from 0 to 2, found 3"):
        sample_given_label(model, 3, 1)
    with pytest.raises(ConfigError, match="at least 1 draws, found 0"):
        sample(model, 0)
    with pytest.raises(ConfigError, match=r"10000000000 draws .* take .* GiB.*draw fewer"):
        sample(model, 10**10)
    with pytest.raises(ConfigError, match="n_candidates of at least n = 5, found 4"):
        sample_given_label(model, 0, 5, n_candidates=4)
    softmax = Softmax(ModelSpec("softmax", "small", (2,), "float32", CLASSES, {}))
    with pytest.raises(UnsupportedError, match=r"no p\(x\) to sample from.*hdgm.*predict_logits"):
        sample(softmax, 1)
    model.unsup_weight = 0.0
    with pytest.raises(UnsupportedError, match="--unsup_weight was 0"):
        sample_given_label(model, 0, 1)
    model.sup_weight, model.unsup_weight = 0.0, 1.0
    with pytest.raises(UnsupportedError, match="--sup_weight was 0"):
        sample_given_label(model, 0, 1)
