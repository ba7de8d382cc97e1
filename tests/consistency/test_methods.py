"""Each method against numbers worked out by hand, or against its equation in closed form."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dhm.consistency.base import Views
from dhm.consistency.build import class_prior
from dhm.consistency.entropy import Entropy
from dhm.consistency.fixmatch import FixMatch
from dhm.consistency.iic import IIC
from dhm.consistency.information import Information
from dhm.consistency.latent_vat import LatentVAT
from dhm.consistency.mean_teacher import MeanTeacher
from dhm.consistency.mixup import Mixup
from dhm.consistency.pi_model import PiModel
from dhm.consistency.regularized import ramp
from dhm.consistency.temporal_ensembling import TemporalEnsembling
from dhm.consistency.vat import NOISE, VAT, adversarial_direction, unit_scale, without_noise
from dhm.data.dataset import Examples
from dhm.models.base import Batch, LatentModel, Loss, Model
from dhm.models.registry import MODELS, model_class

Make = Callable[..., Any]


def logits(*rows: list[float]) -> Tensor:
    """Those of predictions with these probabilities."""
    return torch.tensor(rows).log()


@pytest.fixture
def two(linear: Make) -> Any:
    """A model of two inputs and two classes."""
    return linear(torch.eye(2), torch.zeros(2))


def batch(*positions: int) -> Batch:
    return Batch(torch.zeros(0), torch.zeros(0), positions=torch.tensor(positions))


def test_pi_model(two: Any, make_task: Make, given: Make) -> None:
    views = given(
        weak_logits=logits([0.5, 0.5], [0.8, 0.2]),
        other_weak_logits=logits([0.7, 0.3], [0.8, 0.2]),
    )
    # (0.2^2 + 0.2^2 + 0 + 0) / 4
    assert PiModel(make_task(two))(views).item() == pytest.approx(0.02)


def test_temporal_ensembling_corrects_its_bias(two: Any, make_task: Make, given: Make) -> None:
    method = TemporalEnsembling(make_task(two))
    first, second, third = [0.5, 0.5], [0.9, 0.1], [0.2, 0.8]
    view = batch(7), batch(7, 3)
    assert method(given(batch=view[0], weak_logits=logits(first))) == 0
    # z = 0.4 first, over 1 - 0.6 is first itself; the other example has no past, and costs nothing.
    c = method(given(batch=view[1], weak_logits=logits(second, third)))
    assert c.item() == pytest.approx(0.4**2 / 2)
    # z = 0.6 * 0.4 first + 0.4 second, over 1 - 0.36.
    target = (0.24 * np.array(first) + 0.4 * np.array(second)) / 0.64
    c = method(given(batch=view[0], weak_logits=logits(third)))
    assert c.item() == pytest.approx(((np.array(third) - target) ** 2).mean())
    assert method.counts.tolist() == [0, 0, 0, 1, 0, 0, 0, 3] + [0] * 16


def test_mean_teacher_is_the_average_of_the_weights(
    linear: Make, make_task: Make, given: Make
) -> None:
    model = linear(torch.zeros(2, 2), torch.zeros(2))
    method = MeanTeacher(make_task(model, teacher_decay=0.1))
    u = torch.zeros(5, 2)

    def cost() -> Tensor:
        weak = model.logits(u)
        return method(given(model=model, other_weak=u, weak_logits=weak))

    assert cost() == 0
    model.network[1].bias.data = torch.tensor([1.0, 0.0])
    # The second update: decay min(0.1, 2/11), so the teacher's bias is 0.9.
    expected = (1 / (1 + exp(-1)) - 1 / (1 + exp(-0.9))) ** 2
    assert cost().item() == pytest.approx(expected, rel=1e-4)
    assert method.teacher.network[1].bias.tolist() == pytest.approx([0.9, 0.0])
    assert model.network[1].bias.tolist() == [1.0, 0.0]


def test_vat_finds_the_direction_of_the_fisher_matrix() -> None:
    """KL(p(x) || p(x + d)) of softmax(W x) is d' H d / 2 with H = W' (diag p - p p') W."""
    torch.manual_seed(0)
    w, u = torch.randn(5, 7), torch.randn(6, 7)
    target = (u @ w.T).log_softmax(1)
    torch.manual_seed(1)
    found = adversarial_direction(lambda v: v @ w.T, u, target)
    torch.manual_seed(1)
    d = torch.randn_like(u)
    for i, p in enumerate(target.exp()):
        h = w.T @ (torch.diag(p) - torch.outer(p, p)) @ w
        assert torch.cosine_similarity(found[i], h @ d[i], 0) > 0.999
    torch.testing.assert_close(found.square().mean(1), torch.ones(6))


def test_vat_of_two_classes_in_closed_form(linear: Make, make_task: Make, given: Make) -> None:
    """Of two classes the worst direction is the difference of their weights, either way."""
    w = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    u = torch.tensor([[0.0, 0.0]])
    c = VAT(make_task(linear(w, torch.zeros(2)), vat_epsilon=0.5))
    cost = c(given(model=linear(w, torch.zeros(2)), weak=u))
    # |r| = 0.5 sqrt 2 along (1, 2), so the logit moves by 0.5 sqrt 2 sqrt 5 from 0.
    t = 0.5 * 10**0.5
    expected = -log(2) - 0.5 * (log(1 / (1 + exp(-t))) + log(1 / (1 + exp(t))))
    assert cost.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "network"),
    [(name, n) for name in MODELS for n in model_class(name).options if n != "paper"]
    + [("semisup-ali", "paper"), ("semisup-hdgm", "paper")],
)
def test_without_noise_only_r_makes_predictions_differ(
    name: str, network: str, make_model: Make, make_batch: Make
) -> None:
    model = make_model(name, network=network).train()
    x = make_batch(model).x
    with torch.no_grad(), without_noise(model):
        assert torch.equal(model.logits(x), model.logits(x))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("method", [VAT, LatentVAT])
def test_vat_predicts_without_noise(
    method: Any, make_model: Make, make_task: Make, make_views: Make, monkeypatch: Any
) -> None:
    model = make_model("semisup-hdgm").train()
    layers = [m for m in model.modules() if isinstance(m, NOISE)]
    noisy: list[bool] = []
    logits = Views.logits

    def record(self: Views, u: Tensor, model: Any = None) -> Tensor:
        noisy.extend(layer.training for layer in layers)
        return logits(self, u, model)

    monkeypatch.setattr(Views, "logits", record)
    method(make_task(model))(make_views(model))
    assert noisy and not any(noisy)


def test_the_teacher_predicts_with_noise(
    make_model: Make, make_task: Make, make_views: Make
) -> None:
    model = make_model("semisup-cnn").train()
    method = MeanTeacher(make_task(model)).train()
    training: list[bool] = []
    for layer in method.teacher.modules():
        if isinstance(layer, NOISE):
            layer.register_forward_pre_hook(lambda layer, _: training.append(layer.training))
    method(make_views(model))
    assert training and all(training)


def test_vat_finds_its_direction_in_half_precision() -> None:
    """Gradients of predictions that are certain are below the smallest number of float16."""
    torch.manual_seed(0)
    weight, u = 4 * torch.randn(5, 7), torch.randn(128, 7)

    def logits(v: Tensor) -> Tensor:
        return (v @ weight.T).float()

    target = logits(u).log_softmax(1)
    certain = target.exp().amax(1) > 1 - 1e-3
    assert certain.sum() > 40
    torch.manual_seed(1)
    exact = adversarial_direction(logits, u, target)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.float16):
        found = adversarial_direction(logits, u, logits(u).log_softmax(1))
    assert (found != 0).any(1)[certain].float().mean() > 0.9
    assert torch.cosine_similarity(found, exact).median() > 0.9


def test_latent_vat_stays_where_z_can_be(
    make_model: Make, make_task: Make, make_views: Make
) -> None:
    """The z of the implicit family are within a cube."""
    model = make_model("semisup-ali")
    decoded: list[Tensor] = []
    model.generator.register_forward_pre_hook(lambda module, z: decoded.append(z[0].detach()))
    LatentVAT(make_task(model, vat_epsilon=0.5))(make_views(model))
    assert decoded[-1].min() >= 0 and decoded[-1].max() <= 1 and (decoded[-1] == 1).any()


def test_a_flat_prediction_has_no_direction() -> None:
    u = torch.zeros(3, 4)
    target = torch.zeros(3, 2).log_softmax(1)
    flat = adversarial_direction(lambda v: 0 * v[:, :2], u, target)
    assert torch.equal(flat, torch.zeros_like(u))
    tiny = unit_scale(torch.tensor([[3e-30, 4e-30]]))
    torch.testing.assert_close(tiny, torch.tensor([[3.0, 4.0]]) / 12.5**0.5)


class Latent(LatentModel):
    """Two classes of x = 2 z, which is generated exactly."""

    has_samples = True

    def __init__(self, inner: Model) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.scale = nn.Parameter(torch.tensor(2.0))

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"all": list(self.parameters())}

    def forward(self, batch: Batch, player: str) -> Loss:
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(x)

    def features(self, x: Tensor) -> Tensor:
        return self.inner.features(x)

    def encode(self, x: Tensor) -> Tensor:
        return x / self.scale

    def decode(self, z: Tensor) -> Tensor:
        return self.scale * z

    def sample_prior(self, n: int) -> Tensor:
        return torch.randn(n, 2)

    def logits_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        raise NotImplementedError


def test_latent_vat_perturbs_what_is_generated(linear: Make, make_task: Make, given: Make) -> None:
    model = Latent(linear(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.zeros(2)))
    method = LatentVAT(make_task(model, vat_epsilon=0.5))
    cost = method(given(model=model, inputs=torch.zeros(1, 2)))
    # As above, but a change of z is twice that of x.
    t = 2 * 0.5 * 10**0.5
    expected = -log(2) - 0.5 * (log(1 / (1 + exp(-t))) + log(1 / (1 + exp(t))))
    assert cost.item() == pytest.approx(expected, rel=1e-4)
    cost.backward()
    assert model.scale.grad is None, "only the classifier is trained"
    assert model.inner.network[1].weight.grad.any()


def test_entropy(two: Any, make_task: Make, given: Make) -> None:
    c = Entropy(make_task(two))(given(weak_logits=logits([0.5, 0.5], [0.9, 0.1])))
    assert c.item() == pytest.approx((log(2) - 0.9 * log(0.9) - 0.1 * log(0.1)) / 2)


def test_information(two: Any, make_task: Make, given: Make) -> None:
    method = Information(make_task(two))
    c = method(given(weak_logits=logits([0.9, 0.1], [0.1, 0.9])))
    assert c.item() == pytest.approx(-0.9 * log(0.9) - 0.1 * log(0.1) - log(2))
    certain = 200 * torch.eye(4)
    assert method(given(weak_logits=certain)).item() == pytest.approx(-log(4)), "its minimum"
    assert method(given(weak_logits=torch.zeros(4, 3))).item() == pytest.approx(0, abs=1e-6)


def test_information_with_a_prior(two: Any, make_task: Make, given: Make) -> None:
    method = Information(make_task(two, class_prior=torch.tensor([0.75, 0.25])))
    c = method(given(weak_logits=logits([0.9, 0.1], [0.1, 0.9])))
    entropy = -0.9 * log(0.9) - 0.1 * log(0.1)
    assert c.item() == pytest.approx(entropy + 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25))
    as_known = 200 * torch.eye(2)[torch.tensor([0, 0, 0, 1])]
    assert method(given(weak_logits=as_known)).item() == pytest.approx(0, abs=1e-6), "its minimum"
    one_class = method(given(weak_logits=200 * torch.eye(2)[torch.zeros(4, dtype=torch.long)]))
    assert one_class.item() == pytest.approx(-log(0.75))


def test_iic_of_a_known_joint_distribution(two: Any, make_task: Make, given: Make) -> None:
    pairs = torch.tensor([[0, 0]] * 4 + [[0, 1]] * 2 + [[1, 1]] * 4)
    weak, strong = (200 * torch.eye(2)[pairs[:, i]] for i in (0, 1))
    method = IIC(make_task(two))
    # Made symmetric: 0.4, 0.1; 0.1, 0.4, with margins of a half.
    expected = 0.8 * log(0.4 / 0.25) + 0.2 * log(0.1 / 0.25)
    for one, other in ((weak, strong), (strong, weak)):
        c = method(given(weak_logits=one, strong_logits=other))
        assert c.item() == pytest.approx(-expected, rel=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            c = method(given(weak_logits=one / 50, strong_logits=other / 50))
        rounded = method(given(weak_logits=one / 50, strong_logits=other / 50))
        assert c.item() == pytest.approx(rounded.item(), rel=1e-5)
    certain = (200 * torch.eye(4)).requires_grad_()
    c = method(given(weak_logits=certain, strong_logits=certain))
    assert c.item() == pytest.approx(-log(4)), "its minimum"
    (gradient,) = torch.autograd.grad(c, certain)
    assert gradient.isfinite().all()


def test_fixmatch_trains_on_what_it_is_sure_of(two: Any, make_task: Make, given: Make) -> None:
    method = FixMatch(make_task(two, threshold=0.95))
    strong = logits([0.3, 0.7], [0.8, 0.2]).requires_grad_()
    views = given(weak_logits=logits([0.96, 0.04], [0.6, 0.4]), strong_logits=strong)
    c = method(views)
    assert c.item() == pytest.approx(-log(0.3) / 2)
    assert views.notes["fixmatch_used"] == 0.5
    (gradient,) = torch.autograd.grad(c, strong)
    torch.testing.assert_close(gradient, torch.tensor([[-0.35, 0.35], [0.0, 0.0]]))
    # Predictions that are certain are used whatever the threshold.
    method = FixMatch(make_task(two, threshold=1.0))
    certain = given(weak_logits=torch.tensor([[200.0, 0.0]]), strong_logits=strong[:1])
    assert method(certain).item() == pytest.approx(-log(0.3))


def test_fixmatch_aligns_predictions_with_the_prior(two: Any, make_task: Make, given: Make) -> None:
    method = FixMatch(make_task(two, threshold=0.71, class_prior=torch.tensor([0.5, 0.5])))
    strong = logits([0.3, 0.7], [0.8, 0.2])
    views = given(weak_logits=logits([0.96, 0.04], [0.6, 0.4]), strong_logits=strong)
    # Divided by the mean (0.78, 0.22): 0.871 for class 0; 0.703 for class 1, not quite enough.
    assert method(views).item() == pytest.approx(-log(0.3) / 2)
    method = FixMatch(make_task(two, threshold=0.70, class_prior=torch.tensor([0.5, 0.5])))
    assert method(views).item() == pytest.approx(-(log(0.3) + log(0.2)) / 2)
    # The running mean of two batches is their mean, that of many an average of decay 0.99.
    method(given(weak_logits=logits([0.5, 0.5]), strong_logits=strong[:1]))
    assert method.mean.tolist() == pytest.approx([0.64, 0.36])
    method.steps.fill_(1000)
    method(given(weak_logits=logits([0.14, 0.86]), strong_logits=strong[:1]))
    assert method.mean.tolist() == pytest.approx([0.635, 0.365])


def test_a_class_of_prior_zero_is_never_a_label(two: Any, make_task: Make, given: Make) -> None:
    method = FixMatch(make_task(two, threshold=0.5, class_prior=torch.tensor([1.0, 0.0])))
    weak = torch.tensor([[-200.0, 200.0], [0.0, 0.0]])
    c = method(given(weak_logits=weak, strong_logits=logits([0.3, 0.7], [0.8, 0.2])))
    assert c.item() == pytest.approx(-log(0.8) / 2)


def test_class_priors() -> None:
    counts = Examples(np.zeros((5, 1)), np.array([0, 2, 2, -1, 2])).class_counts(3)
    for name, expected in {"labels": [0.25, 0, 0.75], "uniform": [1 / 3] * 3}.items():
        prior = class_prior(name, counts)
        assert prior is not None and prior.tolist() == pytest.approx(expected)
    assert class_prior("none", counts) is None
    weighted = Examples(np.zeros((3, 1)), np.array([0, 1, -1]), np.array([1.0, 3.0, 9.0]))
    assert weighted.class_counts(3).tolist() == [1, 3, 0]


def test_a_class_without_a_label_is_not_impossible(two: Any, make_task: Make, given: Make) -> None:
    method = Information(make_task(two, class_prior=torch.tensor([1.0, 0.0])))
    assert method(given(weak_logits=logits([0.5, 0.5], [0.5, 0.5]))).isfinite()


def test_mixup_asks_for_predictions_in_between(linear: Make, make_task: Make, given: Make) -> None:
    model = linear(torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([0.1, 0.0]))
    u = torch.randn(6, 2)
    weak = model.logits(u)
    torch.manual_seed(3)
    c = Mixup(make_task(model))(given(model=model, weak=u, weak_logits=weak))
    torch.manual_seed(3)
    other, m = torch.randperm(6), torch.rand(6, 1)
    assert (other != torch.arange(6)).any()
    p = weak.softmax(1)
    mixed = model.logits(m * u + (1 - m) * u[other]).softmax(1)
    expected = (mixed - m * p - (1 - m) * p[other]).square().mean()
    torch.testing.assert_close(c, expected)
    assert torch.autograd.grad(c, weak, allow_unused=True) == (None,), "targets are not trained"
    same = u[:1].expand(6, 2)
    c = Mixup(make_task(model))(given(model=model, weak=same, weak_logits=model.logits(same)))
    assert c.item() == pytest.approx(0, abs=1e-12)


def test_the_ramp() -> None:
    assert [ramp(e, 30) for e in (0, 15, 30, 31)] == pytest.approx([exp(-5), exp(-1.25), 1, 1])
    assert ramp(0, 0) == 1
