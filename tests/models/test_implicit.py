"""The implicit family against values computed by hand, and both ends of its objective."""

from collections.abc import Callable
from math import exp, log

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dhm.errors import ConfigError
from dhm.models.base import Batch, Model, ModelSpec
from dhm.models.build import model_from_spec
from dhm.models.implicit import SemisupALI, adversarial, discrimination, feature_matching
from dhm.nn.average import MovingAverage
from dhm.nn.networks import IMPLICIT
from dhm.nn.weight_norm import WeightNorm

Gradients = Callable[[Model, Tensor], dict[str, Tensor]]
NETWORK_NAMES = ("small", "paper", "mlp")


def ali(
    network: str = "small", shape: tuple[int, ...] = (1, 8, 8), **options: object
) -> SemisupALI:
    own = ("sup_weight", "unsup_weight", "generator_loss", "n_latent")
    defaults = {name: SemisupALI.options[network][name] for name in own}
    spec = ModelSpec(
        *("semisup-ali", network, shape, "uint8", ("a", "b", "c")), {**defaults, **options}
    )
    torch.manual_seed(0)
    model = model_from_spec(spec)
    assert isinstance(model, SemisupALI)
    model.standardize.scale.fill_(255.0)
    return model


def batch(shape: tuple[int, ...] = (1, 8, 8), n: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (2 * n, *shape), generator=generator, dtype=torch.uint8)
    return Batch(x[:n], torch.arange(n) % 3, x[n:])


# Z = 1 + 2 = 3 and 1/2 + 1/2 = 1 for data, 4 for what is generated: D = 3/4, 1/2 and 4/5.
DATA = torch.tensor([[log(1.0), log(2.0)], [log(0.5), log(0.5)]])
GENERATED = torch.tensor([[log(1.0), log(3.0)]])


def test_discrimination_by_hand() -> None:
    data, generated = discrimination(DATA, GENERATED)
    assert data.item() == pytest.approx((log(4 / 3) + log(2)) / 2)
    assert generated.item() == pytest.approx(log(5))


def test_discrimination_is_the_form_of_the_original_and_stays_finite() -> None:
    """-l + softplus(l) and softplus(l), of l = logsumexp of the logits."""
    l_data, l_generated = DATA.logsumexp(1), GENERATED.logsumexp(1)
    data, generated = discrimination(DATA, GENERATED)
    torch.testing.assert_close(data, (-l_data + F.softplus(l_data)).mean())
    torch.testing.assert_close(generated, F.softplus(l_generated).mean())
    extreme = torch.tensor([[1e4, -1e4], [-1e4, -1e4]])
    data, generated = discrimination(extreme[:1], extreme[1:])
    assert data.item() == generated.item() == 0
    data, generated = discrimination(extreme[1:], extreme[:1])
    assert data.item() == pytest.approx(1e4, rel=1e-3) == generated.item()


def test_the_adversarial_loss_exchanges_the_labels() -> None:
    data, generated = DATA[:1], GENERATED
    loss = adversarial(torch.zeros(2, 1), torch.cat([data, generated]))
    assert loss.total.item() == pytest.approx(0.5 * (log(4) + log(5 / 4)))  # 1 - 3/4, and 4/5
    assert loss.terms["adversarial"].item() == loss.total.item()


def test_feature_matching_by_hand() -> None:
    data = torch.tensor([[1.0, 0.0, 4.0], [3.0, 2.0, 0.0]])  # means 2, 1, 2
    generated = torch.tensor([[0.0, 5.0, 2.0], [1.0, 5.0, 2.0]])  # means 1/2, 5, 2
    loss = feature_matching(torch.cat([data, generated]), torch.zeros(4, 1))
    assert loss.total.item() == pytest.approx((1.5 + 4 + 0) / 3)


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_the_critics_loss_is_its_equation(network: str) -> None:
    """One pass over all pairs gives what a pass over each kind would."""
    model, b = ali(network, sup_weight=0.7, unsup_weight=0.3).eval(), batch()
    torch.manual_seed(5)
    loss = model(b, "critic")
    torch.manual_seed(5)
    z = torch.rand(12, model.n_latent)
    x_labeled, x_unlabeled = model.standardize(b.x), model.standardize(b.x_unlabeled)
    labeled = model.critic(x_labeled, model.encoder(x_labeled)).logits
    data = model.critic(x_unlabeled, model.encoder(x_unlabeled)).logits
    generated = model.critic(model.generator(z), z).logits
    nll = F.cross_entropy(labeled, b.y)
    l_data, l_generated = data.logsumexp(1), generated.logsumexp(1)
    unsupervised = (
        -0.5 * l_data.mean()
        + 0.5 * F.softplus(l_data).mean()
        + 0.5 * F.softplus(l_generated).mean()
    )
    torch.testing.assert_close(loss.total, 0.7 * nll + 0.3 * unsupervised)
    torch.testing.assert_close(loss.terms["nll_y"], nll.detach())
    half = 0.5 * (loss.terms["nll_data"] + loss.terms["nll_generated"])
    torch.testing.assert_close(half, unsupervised.detach())


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_labelled_and_unlabelled_inputs_share_their_statistics(network: str) -> None:
    """Those that the encoder normalises by in the critic's turn."""
    model, b = ali(network), batch()
    seen: list[Tensor] = []
    model.critic.register_forward_pre_hook(lambda critic, pairs: seen.append(pairs[1]))
    model(b, "critic")
    with torch.no_grad():
        apart, together = (
            torch.cat([model.encoder(model.standardize(x)) for x in inputs])
            for inputs in ([b.x, b.main], [torch.cat([b.x, b.main])])
        )
    torch.testing.assert_close(seen[0][:24], together)
    assert not torch.allclose(apart, together, atol=1e-3)


@pytest.mark.parametrize("generator_loss", ["feature-matching", "adversarial"])
def test_the_generators_loss_is_its_equation(generator_loss: str, gradients: Gradients) -> None:
    """The pass that keeps no graph of x gives the gradients of one that keeps all."""
    model, b = ali(generator_loss=generator_loss).eval(), batch()
    torch.manual_seed(5)
    loss = model(b, "generator")
    found = gradients(model, loss.total)
    torch.manual_seed(5)
    z = torch.rand(12, model.n_latent)
    x = model.standardize(b.x_unlabeled)
    data, generated = model.critic(x, model.encoder(x)), model.critic(model.generator(z), z)
    if generator_loss == "adversarial":
        d_data, d_generated = (torch.sigmoid(j.logits.logsumexp(1)) for j in (data, generated))
        total = -0.5 * (1 - d_data).log().mean() - 0.5 * d_generated.log().mean()
    else:
        total = (data.features.mean(0) - generated.features.mean(0)).abs().mean()
    torch.testing.assert_close(loss.total, total)
    for name, expected in gradients(model, total).items():
        if name.startswith("critic"):
            assert not found[name].any(), f"{name} collects gradients in the generator's turn"
        else:
            torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=1e-4, msg=name)
            assert found[name].any(), name
    assert all(p.requires_grad for p in model.parameters())


def test_in_the_critics_turn_the_others_collect_nothing(gradients: Gradients) -> None:
    model = ali()
    for name, gradient in gradients(model, model(batch(), "critic").total).items():
        assert gradient.any().item() == name.startswith("critic"), name


def test_what_is_said_of_predictions_trains_the_critic_alone(gradients: Gradients) -> None:
    model, x = ali(), batch().x
    for output in (model.logits(x), model.features(x)):
        found = gradients(model, output.square().sum())
        assert any(g.any() for name, g in found.items() if name.startswith("critic"))
        assert not any(g.any() for name, g in found.items() if not name.startswith("critic"))
    u = (x / 255.0).requires_grad_()  # as VAT perturbs them; only E's weights are left out
    (through,) = torch.autograd.grad(model.eval().logits(model.standardize.inverse(u)).sum(), u)
    pairs = model.critic(u, model.encoder(u)).logits
    torch.testing.assert_close(through, torch.autograd.grad(pairs.sum(), u)[0])


def test_without_unlabelled_weight_it_is_exactly_the_classifier(gradients: Gradients) -> None:
    model, b = ali(sup_weight=0.7, unsup_weight=0.0), batch()
    assert list(model.players()) == ["critic"]
    assert model.has_classifier and not model.has_samples
    torch.manual_seed(3)
    hybrid = gradients(model, model(b, "critic").total)
    torch.manual_seed(3)
    with torch.no_grad():
        z = model.encode(b.x)
    logits = model.critic(model.standardize(b.x), z).logits
    pure = gradients(model, 0.7 * F.cross_entropy(logits, b.y))
    assert all(torch.equal(gradient, pure[name]) for name, gradient in hybrid.items())
    # Neither unlabelled inputs nor the generator have a part in it.
    torch.manual_seed(3)
    alone = gradients(model, model(b._replace(x_unlabeled=None), "critic").total)
    assert all(torch.equal(gradient, pure[name]) for name, gradient in alone.items())


def test_without_labelled_weight_the_critic_only_discriminates(gradients: Gradients) -> None:
    model, b = ali(sup_weight=0.0, unsup_weight=0.3), batch()
    assert list(model.players()) == ["critic", "generator"]
    assert not model.has_classifier and model.has_samples
    torch.manual_seed(3)
    loss = model(b, "critic")
    assert set(loss.terms) == {"nll_data", "nll_generated"}
    found = gradients(model, loss.total)
    other = b._replace(x=b.x.flip(0), y=2 - b.y)
    torch.manual_seed(3)
    assert all(
        torch.equal(gradient, found[name])
        for name, gradient in gradients(model, model(other, "critic").total).items()
    ), "labels and labelled inputs have no part in it"


def test_between_the_ends_the_gradient_is_the_weighted_sum(gradients: Gradients) -> None:
    parts = {}
    for weights in ((0.7, 0.2), (0.7, 0.0), (0.0, 0.2)):
        model = ali(sup_weight=weights[0], unsup_weight=weights[1]).eval()
        torch.manual_seed(3)
        parts[weights] = gradients(model, model(batch(), "critic").total)
    for name, gradient in parts[0.7, 0.2].items():
        total = parts[0.7, 0.0][name] + parts[0.0, 0.2][name]
        torch.testing.assert_close(gradient, total, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_initialisation_sees_pairs_of_data(network: str) -> None:
    """On the batch it was made from, with the same noise, units have mean 0 and their deviation."""
    model, b = ali(network), batch(n=64)
    torch.manual_seed(7)
    model.initialize(b)
    seen: list[tuple[WeightNorm, Tensor]] = []
    for layer in (*model.critic.modules(), *model.generator.modules()):
        if hasattr(layer, "parametrizations"):
            norm = layer.parametrizations.weight[0]
            layer.register_forward_hook(
                lambda layer, inputs, output, norm=norm: seen.append((norm, output.clone()))
            )
    torch.manual_seed(7)
    with torch.no_grad():
        x = model.standardize(b.x_unlabeled)
        z = model.encoder(x)
        model.generator(model.sample_prior(64))
        model.critic(x, z)
    assert len(seen) == {"small": 6, "paper": 11, "mlp": 8}[network]
    for norm, output in seen:
        units = output.transpose(0, 1).flatten(1)
        zeros = torch.zeros(len(units))
        torch.testing.assert_close(units.mean(1), zeros, atol=1e-3, rtol=0)
        torch.testing.assert_close(
            units.std(1, unbiased=False), zeros + norm.std, atol=1e-3, rtol=1e-3
        )
    # With draws from the prior in place of E(x), as the original had it, the logits would be off.
    torch.manual_seed(7)
    with torch.no_grad():
        logits = model.critic(x, torch.rand_like(z)).logits
    assert (logits.mean(0).abs() > 3e-3).any()


def test_a_prediction_does_not_depend_on_the_others() -> None:
    """The original's encoder normalised by the test batch."""
    model, b = ali(), batch(n=50)
    with torch.no_grad():
        for _ in range(3):
            model(b, "critic")
        model.eval()
        together = model.logits(b.x)
        torch.testing.assert_close(model.logits(b.x[:1]), together[:1], atol=1e-5, rtol=1e-4)
        model.train()
        before = model.encoder[1].running_mean.clone()
        model(b, "critic")
        assert not torch.equal(model.encoder[1].running_mean, before)


def test_the_average_covers_all_parts_and_statistics() -> None:
    """The original's left the encoder out."""
    model = ali()
    average = MovingAverage(model, 0.9)
    average.update(model)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
        model(batch(), "critic")  # moves the statistics of encoder and generator
    average.update(model)
    changed = set()
    for name, value in average.module.state_dict().items():
        now = model.state_dict()[name]
        expected = first[name] + (1 - 2 / 11) * (now - first[name])
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-4, msg=name)
        if not torch.equal(now, first[name]):
            changed.add(name.partition(".")[0] + ("" if "running" not in name else " statistics"))
    assert changed == {
        *("critic", "encoder", "generator", "encoder statistics", "generator statistics")
    }


@pytest.mark.parametrize("network", NETWORK_NAMES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 5, 9)])
def test_what_is_generated_is_an_image_of_the_size_asked_for(
    network: str, shape: tuple[int, ...]
) -> None:
    model = ali(network, shape, n_latent=7).eval()
    with torch.no_grad():
        z = model.sample_prior(4)
        assert z.shape == (4, 7) and z.min() >= 0 and z.max() <= 1
        x = model.decode(z)
        assert x.shape == (4, *shape) and x.min() >= 0 and x.max() <= 1
        z = model.encode((255 * x).byte())
        assert z.shape == (4, 7) and z.min() >= 0 and z.max() <= 1


# Weights of each layer, input first, as in the authors' code with 10 outputs: (out, in, h, w), and
# (in, out, h, w) where transposed.
PAPER_LAYERS = {
    "critic": [
        *[(64, 3, 3, 3), (64, 64, 3, 3), (64, 64, 3, 3)],
        *[(128, 64, 3, 3), (128, 128, 3, 3), (128, 128, 3, 3)],
        *[(256, 128, 3, 3), (128, 256, 1, 1), (64, 128, 1, 1)],
        *[(500, 100), (250, 500), (10, 64 + 250)],
    ],
    "generator": [(8192, 100), (512, 256, 5, 5), (256, 128, 5, 5), (128, 3, 5, 5)],
    "encoder": [(128, 3, 3, 3), (256, 128, 3, 3), (512, 256, 3, 3), (512, 512, 1, 1), (100, 512)],
}


def test_paper_network_has_the_originals_layers() -> None:
    torch.manual_seed(0)
    parts = IMPLICIT["paper"].implicit((3, 32, 32), 10, 100)
    sizes: list[tuple[int, ...]] = []
    for name, expected in PAPER_LAYERS.items():
        part = getattr(parts, name)
        weights = [p for p in part.parameters() if p.dim() > 1]
        assert [tuple(w.shape) for w in weights] == expected
        for w in weights:
            assert w.std().item() == pytest.approx(0.05, rel=0.1 if w.numel() > 2000 else 0.3)
        for layer in part.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(
                    lambda layer, inputs, h: sizes.append(tuple(h.shape[2:]))
                )
    with torch.no_grad():
        parts.critic(torch.rand(2, 3, 32, 32), torch.rand(2, 100))
        assert [s[0] for s in sizes] == [32, 32, 16, 16, 16, 8, 6, 6, 6]
        sizes.clear()
        parts.encoder(torch.rand(2, 3, 32, 32))
        assert [s[0] for s in sizes] == [16, 8, 4, 4]
    trained_scales = [n for n, _ in parts.critic.named_parameters() if n.endswith(".g")]
    assert trained_scales == ["logits.parametrizations.weight.0.g"]


def test_pixels_of_the_paper_network_are_those_of_tanh() -> None:
    generator = IMPLICIT["paper"].implicit((1, 8, 8), 3, 5).generator.eval()
    z = torch.rand(3, 5)
    with torch.no_grad():
        before = generator[:-1](z)
        torch.testing.assert_close(generator(z), (before.tanh() + 1) / 2)


def test_vectors_have_no_convolutions() -> None:
    with pytest.raises(ConfigError, match="--network paper has convolutions"):
        ali("paper", (6,))
    for network in ("small", "mlp"):
        assert ali(network, (6,)).decode(torch.rand(5, 100 if network == "mlp" else 32)).min() < 0


def test_one_example_in_a_batch_is_refused_in_words() -> None:
    b = batch()
    one = b._replace(x_unlabeled=b.x[:1])
    with pytest.raises(ConfigError, match="--n_batch"):
        ali().initialize(one)
    with pytest.raises(ConfigError, match="--n_batch"):
        ali()(one, "generator")
    with pytest.raises(ConfigError, match="--n_lbl_batch"):
        ali(unsup_weight=0.0)(Batch(b.x[:1], b.y[:1]), "critic")


def test_a_critic_that_cannot_tell_pays_log_2() -> None:
    """D = 1/2: the value of the game where generated pairs are distributed as those of data."""
    even = torch.full((4, 3), log(1 / 3))
    data, generated = discrimination(even, even)
    assert exp(data.item()) == pytest.approx(2) == exp(generated.item())
