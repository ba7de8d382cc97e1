"""The explicit family against closed forms: linear-Gaussian models and both ends of J."""

from collections.abc import Callable
from math import log

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from dhm.config import TrainConfig
from dhm.errors import ConfigError
from dhm.models.base import Batch, Model, ModelSpec
from dhm.models.explicit import SemisupHDGM, SupervisedHDGM, importance_bound
from dhm.nn.distributions import diagonal_gaussian
from dhm.nn.hybrid import Conditionals, HybridParts, Posterior
from dhm.nn.priors import ClassMixture

Gradients = Callable[[Model, Tensor], dict[str, Tensor]]

# p(z) = N(0, 1), p(x|z) = N(w z + mu, sigma^2 I), p(a|z) = N(b z, s^2): everything is Gaussian.
W = torch.tensor([1.0, -0.5, 0.8])
MU = torch.tensor([0.3, 0.0, -1.0])
SIGMA, B, S = 0.7, 0.6, 0.9


def gaussian(mean: Tensor, variance: float) -> Independent:
    return Independent(Normal(mean, variance**0.5), 1)


class LinearDecoder(nn.Module):
    def forward(self, z: Tensor) -> Conditionals:
        return Conditionals(gaussian(z * W + MU, SIGMA**2), gaussian(B * z, S**2))


class ExactEncoder(nn.Module):
    """The posterior of the model above, p(a|x) and p(z|a, x)."""

    def forward(self, x: Tensor) -> Posterior:
        variance = 1 / (1 + (W @ W).item() / SIGMA**2)
        mean = variance * ((x - MU) @ W)[:, None] / SIGMA**2
        precision = 1 / variance + B**2 / S**2
        return Posterior(
            gaussian(B * mean, B**2 * variance + S**2),
            lambda a: gaussian((mean / variance + B * a / S**2) / precision, 1 / precision),
        )


class RoughEncoder(nn.Module):
    """An approximate posterior with independent a and z."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Posterior:
        mean = self.slope * x[:, :1]
        return Posterior(gaussian(0.2 * mean, 1.3), lambda a: gaussian(mean + 0 * a, 0.4))


def linear_model(encoder: nn.Module, prior: str = "gaussian") -> SupervisedHDGM:
    options = {
        "likelihood": "gaussian",
        "sup_weight": 0.0,
        "unsup_weight": 1.0,
        "n_samples": 1,
        "warmup": 0.0,
        "prior": prior,
        "n_latent": 1,
        "n_aux": 1,
        "n_hidden": 1,
    }
    spec = ModelSpec("supervised-hdgm", "small", (3,), "float32", ("a", "b"), options)
    parts = HybridParts(nn.Identity(), encoder, LinearDecoder(), nn.Identity())
    return SupervisedHDGM(spec, parts)


def exact_log_px(x: Tensor, m: Tensor | float = 0.0) -> Tensor:
    """With p(z) = N(m, 1)."""
    return MultivariateNormal(MU + m * W, W[:, None] * W + SIGMA**2 * torch.eye(3)).log_prob(x)


def exact_bound(x: Tensor, slope: Tensor, m: Tensor | float = 0.0) -> Tensor:
    """log p(x) - KL(q(a, z|x) || p(a, z|x)) of a rough encoder, with p(z) = N(m, 1).

    The joint posterior is a 2-d Gaussian.
    """
    variance = 1 / (1 + (W @ W).item() / SIGMA**2)
    covariance = torch.tensor([[B**2 * variance + S**2, B * variance], [B * variance, variance]])
    mean = variance * (m + ((x - MU) @ W) / SIGMA**2)
    posterior = MultivariateNormal(torch.stack([B * mean, mean]), covariance)
    q_mean = slope * x[0]
    q = MultivariateNormal(
        torch.stack([0.2 * q_mean, q_mean]), torch.diag(torch.tensor([1.3, 0.4]))
    )
    return exact_log_px(x, m) - kl_divergence(q, posterior)


X = torch.tensor([[0.1, 0.4, -0.2], [2.0, -1.0, 1.0], [-1.0, 0.0, -3.0]])


def test_with_the_exact_posterior_every_sample_gives_log_px() -> None:
    model = linear_model(ExactEncoder())
    for n_samples in (1, 7):
        torch.testing.assert_close(model.log_likelihood(X, n_samples), exact_log_px(X))


def test_bound_is_the_closed_form_for_an_approximate_posterior() -> None:
    torch.manual_seed(0)
    encoder, n = RoughEncoder(), 100_000
    model = linear_model(encoder)
    for x in X:
        closed_form = exact_bound(x, encoder.slope).item()
        draws = model.log_likelihood(x.expand(n, 3), 1)
        standard_error = (draws.std() / n**0.5).item()
        assert draws.mean().item() == pytest.approx(closed_form, abs=5 * standard_error)
        assert standard_error < 0.02


def test_bound_rises_with_the_samples_and_meets_log_px() -> None:
    torch.manual_seed(0)
    model, n = linear_model(RoughEncoder()), 2000
    x = X[1:2]
    means, errors = [], []
    for k in (1, 4, 16, 64):
        bound = model.log_likelihood(x.expand(n, 3), k)
        means.append(bound.mean().item())
        errors.append((bound.std() / n**0.5).item())
    for i in range(3):
        assert means[i + 1] - means[i] > 3 * (errors[i] ** 2 + errors[i + 1] ** 2) ** 0.5
    assert means[-1] < exact_log_px(x).item()
    # One estimate from many samples, with the delta method's standard error of a log of a mean.
    k = 200_000
    log_w = sum(model.log_weights(model.infer(x, k)))[:, 0]
    w = (log_w - log_w.max()).exp()
    standard_error = (w.std() / w.mean() / k**0.5).item()
    assert importance_bound(log_w[:, None]).item() == pytest.approx(
        exact_log_px(x).item(), abs=4 * standard_error
    )
    assert standard_error < 0.05


def test_importance_bound_by_hand() -> None:
    log_w = torch.tensor([[0.0, log(3.0)], [log(2.0), log(5.0)], [log(3.0), log(1.0)]])
    torch.testing.assert_close(importance_bound(log_w), torch.tensor([log(2.0), log(3.0)]))


def test_with_a_prior_of_classes_the_model_is_one_of_x_and_y() -> None:
    encoder = RoughEncoder()
    model = linear_model(encoder, "classes")
    assert isinstance(model.prior, ClassMixture)
    model.prior.means.data = torch.tensor([[-1.0], [2.0]])
    # x given y is Gaussian around the image of the mean of its class; both classes are as likely.
    log_pxy = torch.stack([exact_log_px(X, m) for m in (-1.0, 2.0)]) - log(2)
    torch.manual_seed(0)
    with torch.no_grad():
        estimate = model.log_likelihood(X, 200_000)
        torch.testing.assert_close(estimate, log_pxy.logsumexp(0), atol=0.05, rtol=0)
        # By hand: the classes' logits are -1/2 (z - m)^2.
        logits = model.prior.class_logits(torch.tensor([[0.0]]))
        torch.testing.assert_close(logits[0, 0] - logits[0, 1], torch.tensor((-1 + 4) / 2))
    # What is maximised is the bound of log p(x, y) in closed form, and so is its gradient.
    y, n = torch.tensor([0, 1, 0]), 50_000
    loss = model(Batch(X.repeat(n, 1), y.repeat(n)), "hybrid")
    bound = loss.terms["bound"] + loss.terms["log_py_given_z"]
    torch.testing.assert_close(-loss.total.detach(), bound)
    given_y = zip(X, model.prior.means[y, 0], strict=True)
    exact = torch.stack([exact_bound(x, encoder.slope, m) for x, m in given_y]).mean() - log(2)
    assert bound.item() == pytest.approx(exact.item(), abs=0.03)
    learnt = [encoder.slope, model.prior.means]
    found, expected = (torch.autograd.grad(j, learnt) for j in (-loss.total, exact))
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_a_prior_of_classes_learns_from_labels_alone_too() -> None:
    model = small_model(0.0, 1.0, prior="classes")
    model(batch(), "hybrid").total.backward()
    assert isinstance(model.prior, ClassMixture)
    assert model.prior.means.grad is not None and model.prior.means.grad.any(1).all()
    with pytest.raises(ConfigError, match=r"--prior classes .* --n_samples"):
        TrainConfig(prior="classes", n_samples=2).check()


def test_a_tables_density_integrates_to_one_in_its_own_units() -> None:
    model = linear_model(ExactEncoder())
    model.standardize.shift.copy_(torch.tensor([1.0, 2.0, 3.0]))
    model.standardize.scale.copy_(torch.tensor([2.0, 0.5, 4.0]))
    # Monte Carlo integral of p(x) over raw x, drawn from a wide Gaussian.
    torch.manual_seed(0)
    wide = diagonal_gaussian(torch.stack([model.standardize.shift, torch.full((3,), 3.0)]))
    raw = wide.sample(torch.Size([200_000]))
    ratio = (model.log_likelihood(raw, 1) - wide.log_prob(raw)).exp()
    assert ratio.mean().item() == pytest.approx(1, abs=5 * ratio.std().item() / len(raw) ** 0.5)
    assert ratio.std().item() / len(raw) ** 0.5 < 0.02


def small_model(sup_weight: float, unsup_weight: float, **changes: float | str) -> SupervisedHDGM:
    options = {
        **SupervisedHDGM.options["small"],
        "likelihood": "bernoulli",
        "n_hidden": 16,
        "n_latent": 4,
        "n_aux": 3,
        "sup_weight": sup_weight,
        "unsup_weight": unsup_weight,
        **changes,
    }
    spec = ModelSpec("supervised-hdgm", "small", (1, 8, 8), "uint8", ("a", "b", "c"), options)
    torch.manual_seed(0)
    model = SupervisedHDGM(spec)
    model.standardize.scale.fill_(255.0)
    return model


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (12, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return Batch(x, torch.arange(12) % 3)


def test_sup_weight_zero_is_exactly_the_generative_model(gradients: Gradients) -> None:
    model = small_model(0.0, 0.7)
    torch.manual_seed(3)
    hybrid = gradients(model, model(batch(), "hybrid").total)
    torch.manual_seed(3)
    pure = gradients(model, -0.7 * model.log_likelihood(batch().x, 1).mean())
    for name, gradient in hybrid.items():
        assert torch.equal(gradient, pure[name]), name
        assert torch.equal(gradient, torch.zeros_like(gradient)) == name.startswith("classifier")


def test_unsup_weight_zero_is_exactly_the_classifier(gradients: Gradients) -> None:
    model = small_model(0.7, 0.0)
    torch.manual_seed(3)
    hybrid = gradients(model, model(batch(), "hybrid").total)
    torch.manual_seed(3)
    h = model.trunk(model.standardize(batch().x))
    q = model.encoder(h)
    z = q.z(q.a.rsample(torch.Size([1]))).mean[0]
    nll = nn.functional.cross_entropy(model.classifier(h, z), batch().y)
    pure = gradients(model, 0.7 * nll)
    for name, gradient in hybrid.items():
        torch.testing.assert_close(gradient, pure[name], msg=name)
        assert not name.startswith("decoder") or not gradient.any(), name


def test_between_the_ends_the_gradient_is_the_weighted_sum(gradients: Gradients) -> None:
    parts = {}
    for weights in ((0.7, 0.2), (0.7, 0.0), (0.0, 0.2)):
        model = small_model(*weights)
        # Dropout would draw the noise of z from another place of the generator's stream.
        model.eval()
        torch.manual_seed(3)
        parts[weights] = gradients(model, model(batch(), "hybrid").total)
    for name, gradient in parts[0.7, 0.2].items():
        total = parts[0.7, 0.0][name] + parts[0.0, 0.2][name]
        torch.testing.assert_close(gradient, total, msg=name)


def test_the_classifier_does_not_train_the_encoder_of_a_detached_z(gradients: Gradients) -> None:
    losses, found = [], []
    for weights, detach_z in (((0.7, 0.2), False), ((0.7, 0.2), True), ((0.0, 0.2), False)):
        model = small_model(*weights, detach_z=detach_z)
        model.eval()
        torch.manual_seed(3)
        losses.append(model(batch(), "hybrid").total)
        found.append(gradients(model, losses[-1]))
    coupled, detached, generative = found
    assert torch.equal(losses[0], losses[1])
    for name, gradient in detached.items():
        if name.startswith(("encoder", "decoder")):
            torch.testing.assert_close(gradient, generative[name], msg=name)
        else:
            assert not torch.equal(gradient, generative[name]), name
    assert not torch.equal(coupled["encoder.z.mean.weight"], detached["encoder.z.mean.weight"])
    # What consistency methods ask of p(y|x) sees z in the same way.
    model = small_model(0.7, 0.2, detach_z=True)
    asked = gradients(model, model.logits(batch().x).square().sum())
    assert asked["trunk.0.weight"].any()
    assert not any(g.any() for name, g in asked.items() if name.startswith("encoder"))


def test_semisup_hdgm_detaches_z_but_in_the_published_network() -> None:
    detached = {name for name, own in SemisupHDGM.options.items() if own["detach_z"]}
    assert detached == SemisupHDGM.options.keys() - {"paper"}
    assert not any(own["detach_z"] for own in SupervisedHDGM.options.values())


def test_warmup_fades_the_latent_terms_in() -> None:
    model = small_model(0.0, 1.0, warmup=4.0)
    expected = {0.0: 0.0, 1.0: 0.25, 4.0: 1.0, 9.0: 1.0}
    for epoch, beta in expected.items():
        torch.manual_seed(0)
        loss = model(batch()._replace(epoch=epoch), "hybrid")
        terms = loss.terms
        assert loss.total.item() == pytest.approx(
            -(terms["log_px_given_z"] - beta * terms["kl"]).item(), rel=1e-5
        )
        assert terms["bound"].item() == pytest.approx(
            (terms["log_px_given_z"] - terms["kl"]).item(), rel=1e-5
        )


def test_more_samples_give_a_higher_bound() -> None:
    bounds = {}
    for k in (1, 20):
        model = small_model(0.0, 1.0, n_samples=k)
        with torch.no_grad():
            draws = [model(batch(), "hybrid").terms["bound"] for _ in range(50)]
        bounds[k] = torch.stack(draws)
    margin = 5 * (bounds[1].var() / 50 + bounds[20].var() / 50).sqrt()
    assert bounds[20].mean() > bounds[1].mean() + margin


def test_all_samples_train() -> None:
    """The loss is the bound of K samples, and p(y|x, z) is taken at the mean of their means."""
    model = small_model(0.0, 1.0, n_samples=3)
    loss = model(batch(), "hybrid")
    assert loss.total == -loss.terms["bound"]
    inferred = model.infer(batch().x)
    log_px, log_ratio = model.log_weights(inferred)
    samples = log_px + log_ratio
    assert importance_bound(samples).mean() > samples.mean(), "of one sample they are the same"
    model = small_model(1.0, 0.0, n_samples=3).train()
    seen: list[Tensor] = []
    model.classifier.register_forward_pre_hook(lambda module, given: seen.append(given[1]))
    torch.manual_seed(0)
    model(batch(), "hybrid")
    torch.manual_seed(0)
    means = model.infer(batch().x).q_z.mean
    assert len(means) == 3 and not torch.equal(means[0], means[1])
    torch.testing.assert_close(seen[0], means.mean(0))


def test_the_bound_is_over_all_inputs_and_the_classifier_over_the_labelled() -> None:
    model = SemisupHDGM(small_model(1.0, 0.5).spec).eval()
    labeled, y, everything = batch().x[:5], batch().y[:5], batch().x
    torch.manual_seed(2)
    terms = model(Batch(labeled, y, everything), "hybrid").terms
    torch.manual_seed(2)
    with torch.no_grad():
        inferred = model.infer(everything)
        few = model.infer(labeled)
        nll = nn.functional.cross_entropy(model.classifier(few.h, few.q_z.mean[0]), y)
        log_px, log_ratio = model.log_weights(inferred)
    assert terms["nll_y"].item() == pytest.approx(nll.item(), rel=1e-5)
    assert terms["bound"].item() == pytest.approx((log_px + log_ratio).mean().item(), rel=1e-5)


def test_at_weight_zero_unlabelled_inputs_are_not_looked_at() -> None:
    model = SemisupHDGM(small_model(1.0, 0.0).spec)
    losses = []
    for unlabeled in (None, batch().x):
        torch.manual_seed(2)
        losses.append(model(batch()._replace(x_unlabeled=unlabeled), "hybrid").total)
    assert torch.equal(*losses)


def test_labels_teach_a_prior_of_classes_what_is_theirs() -> None:
    model = SemisupHDGM(small_model(1.0, 0.5, prior="classes").spec).eval()
    labeled, y, everything = batch().x[:5], batch().y[:5], batch().x
    torch.manual_seed(2)
    found = model(Batch(labeled, y, everything), "hybrid").terms["log_py_given_z"]
    torch.manual_seed(2)
    with torch.no_grad():
        inferred = model.infer(everything)
        few = model.infer(labeled)
        model.log_weights(inferred)  # its draws come before those of log p(y|z)
        expected = model.log_class(few, y)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
