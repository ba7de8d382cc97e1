"""Weight normalisation: its equation, its gradient, and the initialisation from data."""

import copy

import pytest
import torch
from torch import Tensor, nn

from dhm.nn.layers import Dropout
from dhm.nn.weight_norm import initializing, weight_norm


def layers() -> list[tuple[nn.Module, Tensor]]:
    return [
        (nn.Linear(5, 4), torch.randn(50, 5)),
        (nn.Conv2d(3, 4, 3, stride=2), torch.randn(9, 3, 8, 8)),
        (nn.ConvTranspose2d(3, 4, 3, stride=2), torch.randn(9, 3, 5, 5)),
    ]


@pytest.mark.parametrize("index", range(3))
def test_units_get_mean_0_and_the_standard_deviation_asked_for(index: int) -> None:
    torch.manual_seed(0)
    layer, x = layers()[index]
    weight_norm(layer, std=0.3)
    with torch.no_grad(), initializing(layer):
        inside = layer(4 + 3 * x)
    after = layer(4 + 3 * x)
    torch.testing.assert_close(inside, after, atol=1e-4, rtol=1e-4)
    units = after.transpose(0, 1).flatten(1)
    torch.testing.assert_close(units.mean(1), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(units.std(1, unbiased=False), torch.full((4,), 0.3))
    # Only within the context: other inputs change nothing.
    before = copy.deepcopy(layer.state_dict())
    layer(x)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_layers_are_initialised_one_after_another_in_one_pass() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        weight_norm(nn.Linear(5, 8)), nn.ReLU(), weight_norm(nn.Linear(8, 4), std=0.1)
    )
    x = 3 + torch.randn(64, 5)
    with torch.no_grad(), initializing(network):
        network(x)
    h = network[0](x)
    for units, std in ((h, 1.0), (network(x), 0.1)):
        torch.testing.assert_close(units.mean(0), torch.zeros(units.shape[1]), atol=1e-5, rtol=0)
        found = units.std(0, unbiased=False)
        torch.testing.assert_close(found, torch.full_like(found, std))


def test_a_constant_unit_keeps_its_scale() -> None:
    layer = weight_norm(nn.Linear(2, 3))
    with torch.no_grad(), initializing(layer):
        layer(torch.ones(4, 2))
    torch.testing.assert_close(layer.weight.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(layer(torch.ones(4, 2)), torch.zeros(4, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("train_scale", [True, False])
def test_weight_and_gradient_are_those_of_the_paper(train_scale: bool) -> None:
    """Salimans & Kingma 2016, equations 2 and 3."""
    torch.manual_seed(0)
    layer = weight_norm(nn.Linear(5, 4), train_scale=train_scale)
    norm = layer.parametrizations.weight[0]
    with torch.no_grad():
        norm.g.copy_(torch.tensor([1.0, 2.0, 0.5, 3.0]))
    v, g = layer.parametrizations.weight.original, norm.g[:, None]
    length = v.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer.weight, g * v / length, atol=1e-5, rtol=1e-4)
    gradient = torch.randn(4, 5)
    (layer.weight * gradient).sum().backward()
    along = (gradient * v).sum(1, keepdim=True) / length
    torch.testing.assert_close(
        v.grad, g / length * gradient - g * along / length**2 * v, atol=1e-4, rtol=1e-3
    )
    names = [name for name, _ in layer.named_parameters()]
    assert ("parametrizations.weight.0.g" in names) == train_scale
    assert "parametrizations.weight.0.g" in layer.state_dict()
    if train_scale:
        torch.testing.assert_close(norm.g.grad, along[:, 0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_drops_this_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    layer, x = Dropout(p), torch.ones(100, 8, 50, 5).contiguous(memory_format=torch.channels_last)
    h = layer(x.requires_grad_())
    n = h.numel()
    share = (h == 0).float().mean().item()
    assert share == pytest.approx(p, abs=5 * (p * (1 - p) / n) ** 0.5)
    torch.testing.assert_close(h[h != 0], torch.full_like(h[h != 0], 1 / (1 - p)))
    h.sum().backward()
    assert torch.equal(x.grad, h.detach()), "the gradient passes where the unit was kept"
    assert torch.equal(layer.eval()(x), x)
