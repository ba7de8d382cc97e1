"""Missing entries against closed forms: the observed part of a linear-Gaussian model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from dhm.config import TrainConfig
from dhm.consistency.regularized import Regularized
from dhm.data.dataset import Dataset, Examples
from dhm.data.patterns import missing_entries, with_holes
from dhm.errors import ConfigError, DataError, UnsupportedError
from dhm.inference.likelihood import elbo, log_joint, log_likelihood
from dhm.inference.missing import STEP_SIZE, impute, predict_proba
from dhm.inference.own_posterior import fit_posterior
from dhm.inference.predict import predict_logits
from dhm.models.base import Batch, Model, ModelSpec
from dhm.models.build import build_model, check_domain
from dhm.models.explicit import SupervisedHDGM
from dhm.models.registry import MODELS, model_class
from dhm.nn.distributions import LIKELIHOODS
from dhm.nn.hybrid import ClassifierOnLatent, Conditionals, HybridParts, Posterior

# p(z) = N(0, I), u = (x - shift) / scale, p(u|z) = N(W z + mu, sigma^2 I).
W = torch.tensor([[1.0, 0.2], [-0.5, 0.9], [0.8, -0.6]])
MU = torch.tensor([0.3, 0.0, -1.0])
SIGMA = 0.6
SHIFT, SCALE = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 0.5, 3.0])
MEAN = (MU * SCALE + SHIFT).numpy()
COVARIANCE = (torch.diag(SCALE) @ (W @ W.T + SIGMA**2 * torch.eye(3)) @ torch.diag(SCALE)).numpy()

NAN = torch.nan
X = torch.tensor(
    [
        [2.0, -1.0, 1.0],
        [2.0, NAN, 1.0],
        [NAN, NAN, -3.0],
        [NAN, -1.0, NAN],
        [NAN, NAN, NAN],
    ]
)
"""Each row has a pattern of its own."""


def gaussian(mean: Tensor, variance: float) -> Independent:
    return Independent(Normal(mean, torch.full_like(mean, variance**0.5)), 1)


class Decoder(nn.Module):
    def forward(self, z: Tensor) -> Conditionals:
        return Conditionals(gaussian(z @ W.T + MU, SIGMA**2), gaussian(z[..., :0], 1.0))


class Encoder(nn.Module):
    """q(z|x), wide enough for the posterior of any part of x."""

    def forward(self, x: Tensor) -> Posterior:
        mean = 0.2 * (x - MU) @ W
        return Posterior(gaussian(x[:, :0], 1.0), lambda a: gaussian(mean + a.sum(-1, True), 1.5))


class Classifier(ClassifierOnLatent):
    """p(y|x) of x alone, steep enough that its mean is not that of the mean."""

    logits = nn.Identity()  # type: ignore[assignment]

    def of_x(self, x: Tensor) -> Tensor:
        return torch.stack([2 * x[:, 0] * x[:, 1], x[:, 2].square(), 0 * x[:, 0]], 1)

    def join(self, from_x: Tensor, z: Tensor) -> Tensor:
        return from_x


def linear_model(hide: float = 0.0) -> SupervisedHDGM:
    options = {**SupervisedHDGM.options["small"], "likelihood": "gaussian", "n_latent": 2}
    options |= {"unsup_weight": 1.0, "hide": hide, "n_aux": 0}
    spec = ModelSpec("supervised-hdgm", "small", (3,), "float32", ("a", "b", "c"), options)
    parts = HybridParts(nn.Identity(), Encoder(), Decoder(), Classifier())  # type: ignore[arg-type]
    model = SupervisedHDGM(spec, parts)
    model.standardize.shift.copy_(SHIFT)
    model.standardize.scale.copy_(SCALE)
    return model.eval()


def conditional(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the missing entries of a row given its observed ones."""
    m = x.isnan().numpy()
    gain = COVARIANCE[np.ix_(m, ~m)] @ np.linalg.pinv(COVARIANCE[np.ix_(~m, ~m)])
    mean = MEAN[m] + gain @ (x.numpy()[~m] - MEAN[~m])
    return mean, COVARIANCE[np.ix_(m, m)] - gain @ COVARIANCE[np.ix_(~m, m)]


def test_log_likelihood_is_that_of_the_observed_entries() -> None:
    torch.manual_seed(0)
    estimates = linear_model().log_likelihood(X, 200_000)
    for x, estimate in zip(X, estimates.tolist(), strict=True):
        o = ~x.isnan().numpy()
        exact = 0.0
        if o.any():
            exact = multivariate_normal(MEAN[o], COVARIANCE[np.ix_(o, o)]).logpdf(x.numpy()[o])
        assert estimate == pytest.approx(exact, abs=0.02)


def test_the_fitted_gaussian_is_near_the_posterior_of_what_is_observed() -> None:
    """Steps of one draw each stay restless: the mean of 200 fits is compared."""
    noise = torch.randn(200, 1, 200 * len(X), 2, generator=torch.Generator().manual_seed(0))
    fit = fit_posterior(linear_model(), X.repeat(200, 1), noise, STEP_SIZE)
    mean, log_sd = (part.unflatten(0, (200, len(X))).mean(0) for part in (fit.mean, fit.log_sd))
    u = (X - SHIFT) / SCALE - MU
    for i, row in enumerate(u):
        o = ~row.isnan()
        precision = torch.eye(2) + W[o].T @ W[o] / SIGMA**2
        exact = torch.linalg.solve(precision, W[o].T @ row[o]) / SIGMA**2
        # A mean-field Gaussian of largest bound has the posterior's mean and these variances.
        torch.testing.assert_close(mean[i], exact, atol=0.03, rtol=0)
        torch.testing.assert_close(log_sd[i], -precision.diagonal().log() / 2, atol=0.06, rtol=0)


def test_imputation_is_the_conditional_distribution() -> None:
    n = 20_000
    filled = impute(linear_model(), X.numpy(), 5_000, n_samples=n)
    missing = X.isnan()
    for value in (filled.mean, *filled.draws[:3]):
        assert torch.equal(value[~missing], X[~missing]), "observed entries are kept exactly"
    assert not filled.standard_deviation[~missing].any()
    for i, x in enumerate(X[1:], start=1):
        mean, covariance = conditional(x)
        deviation = np.sqrt(np.diag(covariance))
        m = missing[i]
        got, spread = filled.mean[i][m].numpy(), filled.standard_deviation[i][m].numpy()
        np.testing.assert_allclose((got - mean) / deviation, 0, atol=0.05)
        np.testing.assert_allclose(spread / deviation, 1, atol=0.05)
        draws = filled.draws[:, i][:, m].numpy()
        np.testing.assert_allclose((draws.mean(0) - mean) / deviation, 0, atol=0.08)
        # All missing entries of a draw come from one z: their correlation is right too.
        scaled = np.atleast_2d(np.cov(draws.T)) / np.outer(deviation, deviation)
        np.testing.assert_allclose(scaled, covariance / np.outer(deviation, deviation), atol=0.08)


def test_prediction_is_the_integral_over_what_is_missing() -> None:
    model, points = linear_model(), 400
    got = predict_proba(model, X.numpy(), n_samples=50_000)
    assert torch.equal(got[:1], predict_logits(model, X[:1].numpy()).softmax(1))
    rng, differs = np.random.default_rng(0), []
    for x, p in zip(X[1:], got[1:], strict=True):
        mean, covariance = conditional(x)
        if len(mean) == 1:  # quadrature
            grid = mean + np.linspace(-6, 6, points)[:, None] * np.sqrt(covariance[0])
            weight = np.exp(-0.5 * np.linspace(-6, 6, points) ** 2)
        else:
            grid = rng.multivariate_normal(mean, covariance, 200_000)
            weight = np.ones(len(grid))
        completed = x.repeat(len(grid), 1)
        completed[:, x.isnan()] = torch.from_numpy(grid).float()
        each = model.logits(completed).softmax(1)
        exact = (torch.from_numpy(weight / weight.sum()).float()[:, None] * each).sum(0)
        torch.testing.assert_close(p, exact, atol=0.015, rtol=0)
        differs.append((exact - model.logits(x[None]).softmax(1)[0]).abs().max().item())
    assert max(differs) > 0.1, "of p(y|x) at the mean of what is missing"


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model, x = linear_model(), X.numpy()
    one, same, other = (impute(model, x, 2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.draws, same.draws) and not torch.equal(one.draws, other.draws)
    assert not torch.equal(one.draws[0][X.isnan()], one.draws[1][X.isnan()])
    p = [predict_proba(model, x, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(p[0], p[1]) and not torch.equal(p[0], p[2])
    assert torch.equal(torch.rand(2), expected)


def test_a_model_trained_with_holes_has_a_say_itself() -> None:
    x = X.numpy()
    learnt = predict_logits(linear_model(), x).softmax(1)
    averaged = predict_proba(linear_model(), x)
    expected = torch.cat([learnt[:1], 0.5 * (learnt + averaged)[1:]])
    torch.testing.assert_close(predict_proba(linear_model(hide=0.5), x), expected)


@pytest.mark.parametrize(("pairs", "most"), [(1, 1), (7, 7), (20, 20), (10**9, 60)])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "discretized-logistic"])
def test_an_answer_depends_on_its_row_and_the_seed_alone(
    pairs: int, most: int, likelihood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on the order, nor on the chunks, which bound what is decoded at a time."""
    model = linear_model()
    p_x, family = model.p_x, LIKELIHOODS[likelihood]
    held: list[int] = []

    def decoded(z: Tensor) -> Independent:
        held.append(z[..., 0].numel())
        parameters = [p_x(z).mean, torch.zeros(*z.shape[:-1], 3)]
        return family.make(torch.stack(parameters[: family.n_parameters], -2), 1)

    monkeypatch.setattr(model, "p_x", decoded)
    x, n = X.numpy(), 10
    expected, expected_p = impute(model, x, 12, n_samples=n), predict_proba(model, x, n_samples=n)
    assert expected.draws[:, 4].std(0).min() > 0, "draws differ"
    held.clear()
    monkeypatch.setattr("dhm.inference.chunks.PAIRS", pairs)
    found, found_p = (
        impute(model, x[::-1], 12, n_samples=n),
        predict_proba(model, x[::-1], n_samples=n),
    )
    assert max(held) == most
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.flip(-2), other, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found_p.flip(0), expected_p)


def test_a_huge_value_says_nothing_of_z() -> None:
    x = np.array([[1e30, np.nan, 1.0], [np.nan, np.nan, np.nan]], np.float32)
    model = linear_model()
    filled = impute(model, x, 4000, n_samples=4000)
    assert filled.draws.isfinite().all() and (filled.draws[:, 0, 0] == x[0, 0]).all()
    # All that is left is the prior, as of a row of which nothing is known.
    np.testing.assert_allclose(filled.mean[0, 1], MEAN[1], atol=0.05)
    deviation = COVARIANCE[1, 1] ** 0.5
    np.testing.assert_allclose(filled.standard_deviation[0, 1], deviation, rtol=0.05)
    np.testing.assert_allclose(filled.draws[:, 0, 1].std(), deviation, rtol=0.05)
    value, error = log_likelihood(model, x[:1], 10)
    assert value.item() == -np.inf and error.isnan().item()
    assert elbo(model, x[:1], 10).value.item() == -np.inf
    assert (log_joint(model, x[:1], 10) == -np.inf).all()


def test_too_many_draws_are_refused_before_they_are_made() -> None:
    model, x = linear_model(), X.numpy()
    with pytest.raises(ConfigError, match=r"100000000 fillings of 5 inputs .* take 5\.6 GiB"):
        impute(model, x, 100_000_000)
    for ask in (impute, predict_proba):
        with pytest.raises(ConfigError, match="use a smaller n_samples"):
            ask(model, x, n_samples=10**12)


# --- every model --------------------------------------------------------------------------------


def dataset(shape: tuple[int, ...], dtype: type = np.float32) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.random((24, *shape))
    examples = Examples((255 * x if dtype is np.uint8 else x).astype(dtype), np.arange(24) % 3)
    return Dataset("made", examples, examples, ("a", "b", "c"))


def make(name: str, data: Dataset, **options: object) -> Model:
    config = TrainConfig(model=name, **options).for_model()  # type: ignore[arg-type]
    torch.manual_seed(0)
    return build_model(name, "small", data, config.own_options())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(1, 6, 6), (4,)])
def test_every_model_predicts_with_missing_entries(name: str, shape: tuple[int, ...]) -> None:
    data = dataset(shape)
    model = make(name, data)
    holes = missing_entries("random", shape, 24, seed=1)
    holes[:12] = False
    x = with_holes(data.train.x, holes)
    p = predict_proba(model, x, n_samples=3)
    assert p.shape == (24, 3) and p.isfinite().all()
    whole = predict_proba(model, data.train.x, n_samples=3)
    assert torch.equal(p[:12], whole[:12]) and not torch.equal(p[12:], whole[12:])
    assert predict_logits(model, x).isfinite().all()


@pytest.mark.parametrize("name", [n for n in MODELS if "hide" in model_class(n).options["small"]])
@pytest.mark.parametrize("shape", [(2, 6, 6), (4,)])
def test_training_with_missing_entries(name: str, shape: tuple[int, ...]) -> None:
    """Finite losses and gradients, from data with NaN and from hiding."""
    data = dataset(shape)
    x = with_holes(data.train.x, missing_entries("random", shape, 24, seed=1))
    x[0] = np.nan
    holed = Examples(x, data.train.y)
    model = make(name, Dataset("made", holed, holed, data.classes), hide=0.6)
    batch = Batch(torch.from_numpy(x), torch.from_numpy(data.train.y))
    if model.uses_unlabeled:
        batch = batch._replace(x_unlabeled=batch.x.flip(0))
    for objective in (model, Regularized(model, hide=0.6)):
        for player, parameters in model.players().items():
            model.zero_grad()
            loss = objective(batch, player)
            loss.total.backward()
            assert loss.total.isfinite() and all(t.isfinite() for t in loss.terms.values())
            assert all(p.grad is None or p.grad.isfinite().all() for p in parameters)


def test_a_row_that_is_all_missing_is_worth_nothing_to_the_decoder() -> None:
    """Its bound is that of no data, minus KL(q(z|nothing) || p(z)), which pulls q to the prior."""
    model = make("supervised-hdgm", dataset((4,)), sup_weight=0.0, unsup_weight=1.0)
    loss = model(Batch(torch.full((8, 4), NAN), torch.zeros(8, dtype=torch.long)), "hybrid")
    assert loss.terms["log_px_given_z"] == 0
    loss.total.backward()
    assert not any(p.grad.any() for p in model.decoder.x.parameters() if p.grad is not None)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("shape", [(2, 6, 6), (4,)])
def test_complete_rows_are_as_they_were(likelihood: str, shape: tuple[int, ...]) -> None:
    """Bit for bit log p(x|z) as torch has it, also where other rows of the batch have holes."""
    data = dataset(shape, np.uint8)
    model = make("supervised-hdgm", data, likelihood=likelihood, unsup_weight=1.0)
    assert isinstance(model, SupervisedHDGM)
    x = torch.from_numpy(data.train.x)
    inferred = model.infer(x)
    torch.manual_seed(1)
    log_px, _ = model.log_weights(inferred)
    torch.manual_seed(1)
    p = model.p_x(inferred.q_z.rsample())
    jacobian = 0.0
    if likelihood == "gaussian" and len(shape) == 1:
        jacobian = -model.standardize.scale.log().sum()
    assert torch.equal(log_px, p.log_prob(model.standardize(x)) + jacobian)
    with_hole = x.float()
    with_hole[0].view(-1)[0] = NAN
    torch.manual_seed(1)
    again, _ = model.log_weights(inferred._replace(x=model.standardize(with_hole)))
    assert torch.equal(again[:, 1:], log_px[:, 1:]) and not torch.equal(again[:, 0], log_px[:, 0])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "discretized-logistic"])
def test_bytes_are_imputed_from_floats_in_their_units(likelihood: str) -> None:
    data = dataset((1, 6, 6), np.uint8)
    model = make("supervised-hdgm", data, likelihood=likelihood)
    x = with_holes(data.train.x, missing_entries("half", (1, 6, 6), 24))
    filled = impute(model, x, 2, n_samples=5)
    observed = ~np.isnan(x)
    for value in (filled.mean, *filled.draws):
        assert np.array_equal(value.numpy()[observed], x[observed])
    if likelihood != "gaussian":
        values = filled.draws.numpy()
        assert values.min() >= 0 and 2 < values.max() <= 255
    assert (filled.standard_deviation.numpy()[~observed] > 0).all()


def test_the_variance_of_a_discretized_logistic() -> None:
    p = LIKELIHOODS["discretized-logistic"].make(torch.tensor([[0.2], [-3.0]]), 1).base_dist
    levels = torch.arange(256) / 255
    mass = p.log_prob(levels[:, None]).exp()[:, 0]
    mean = (mass * levels).sum()
    assert p.variance.item() == pytest.approx((mass * (levels - mean) ** 2).sum().item(), rel=1e-3)


def test_hide_at_zero_is_off_exactly() -> None:
    data = dataset((1, 6, 6))
    model = make("semisup-hdgm", data)
    batch = Batch(torch.from_numpy(data.train.x), torch.from_numpy(data.train.y))
    batch = batch._replace(x_unlabeled=batch.x.flip(0))
    assert Regularized(model)._shown(batch).x is batch.x
    totals = []
    for objective in (model, Regularized(model, hide=0.0), Regularized(model, hide=0.5)):
        torch.manual_seed(0)
        totals.append(objective(batch, "hybrid").total)
    assert torch.equal(totals[0], totals[1]) and not torch.equal(totals[0], totals[2])


def test_unlabelled_and_labelled_inputs_get_holes_and_methods_see_them_whole() -> None:
    data = dataset((1, 6, 6), np.uint8)
    model = make("semisup-hdgm", data, hide=0.9)
    x = torch.from_numpy(data.train.x)
    batch = Batch(x, torch.from_numpy(data.train.y), x.flip(0))
    shown = Regularized(model, hide=0.9)._shown(batch)
    for part, whole in ((shown.x, batch.x), (shown.x_unlabeled, batch.x_unlabeled)):
        assert part is not None and whole is not None
        share = part.isnan().float().mean().item()
        assert 0.05 < share < 0.4
        kept = ~part.isnan()
        assert torch.equal(part[kept], whole.float()[kept])
    assert not batch.x.is_floating_point() and shown.positions is batch.positions


def test_the_bound_is_of_what_is_left() -> None:
    """Hiding in the feed and NaN in the data are the same thing."""
    data = dataset((1, 6, 6))
    model = make("supervised-hdgm", data, hide=0.8, unsup_weight=1.0).eval()
    batch = Batch(torch.from_numpy(data.train.x), torch.from_numpy(data.train.y))
    objective = Regularized(model, hide=0.8)
    torch.manual_seed(0)
    loss = objective(batch, "hybrid")
    torch.manual_seed(0)
    shown = objective._shown(batch)
    assert torch.equal(loss.total, model(shown, "hybrid").total)


# --- what is refused ----------------------------------------------------------------------------


def test_the_implicit_family_refuses_holes_in_training_data_only() -> None:
    data = dataset((1, 6, 6))
    model = make("semisup-ali", data)
    holed = Examples(with_holes(data.train.x, missing_entries("half", (1, 6, 6), 24)), data.train.y)
    with pytest.raises(DataError, match=r"--model semisup-ali .* found 432 missing entries"):
        check_domain(model, replace(data, test=holed))
    with pytest.raises(ConfigError, match="--hide cannot be used with --model semisup-ali"):
        TrainConfig(model="semisup-ali", hide=0.5).for_model()


@pytest.mark.parametrize("options", [{"model": "semisup-ali"}, {"unsup_weight": 0.0}])
def test_models_without_a_density_cannot_impute(options: dict[str, object]) -> None:
    data = dataset((1, 6, 6))
    model = make(options.pop("model", "supervised-hdgm"), data, **options)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=r"no log p\(x\)"):
        impute(model, data.train.x)


def test_wrong_shapes_and_numbers_are_refused() -> None:
    model = linear_model()
    with pytest.raises(DataError, match="shape"):
        impute(model, np.zeros((2, 4), np.float32))
    with pytest.raises(ConfigError, match="n_draws should be at least 1, found 0"):
        impute(model, X.numpy(), 0)
    with pytest.raises(ConfigError, match="n_samples"):
        predict_proba(model, X.numpy(), n_samples=0)


def test_a_features_scale_is_that_of_its_observed_entries() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, (24, 3)).astype(np.float32)
    x[::2, 0] = np.nan
    x[:, 2] = np.nan
    holed = Examples(x, np.arange(24) % 3)
    model = make("softmax", Dataset("made", holed, holed, ("a", "b", "c")))
    assert model.standardize.shift[0].item() == pytest.approx(np.nanmean(x[:, 0]), rel=1e-5)
    assert model.standardize.scale[0].item() == pytest.approx(np.nanstd(x[:, 0]), rel=1e-5)
    assert (model.standardize.shift[2], model.standardize.scale[2]) == (0, 1)
    assert F.one_hot(predict_logits(model, x).argmax(1), 3).sum() == 24
