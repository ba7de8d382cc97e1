"""Batch normalisation, and the statistics that are recomputed for evaluation."""

import pytest
import torch
from torch import Tensor, nn

from dhm.errors import ConfigError
from dhm.nn.batch_norm import BatchNorm, refresh_statistics


def test_batch_norm_trains_by_the_batch_and_evaluates_by_running_statistics() -> None:
    torch.manual_seed(0)
    norm, x = BatchNorm(3), 5 + 2 * torch.randn(64, 3, 4, 4)
    h = norm(x)
    torch.testing.assert_close(h.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * x.transpose(0, 1).flatten(1).var(1))
    norm.eval()
    torch.testing.assert_close(norm(x)[:1], norm(x[:1]))


@pytest.mark.parametrize("training", [True, False])
def test_with_a_scale_it_is_torchs(training: bool) -> None:
    torch.manual_seed(0)
    ours, theirs = BatchNorm(3, scale=True), nn.BatchNorm2d(3, eps=1e-6)
    with torch.no_grad():
        for norm in (ours, theirs):
            norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
            norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    x = 5 + 2 * torch.randn(8, 3, 4, 4)
    for norm in (ours, theirs):
        norm(x)
        norm.train(training)
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_batch_of_one_is_refused_in_training_alone() -> None:
    for x in (torch.zeros(1, 3), torch.zeros(1, 3, 4, 4)):
        with pytest.raises(ConfigError, match=r"found a batch of one.*--n_batch"):
            BatchNorm(3)(x)
        assert BatchNorm(3).eval()(x).shape == x.shape


class Network(nn.Module):
    """Three normalised layers, of which `features` uses the first two; and dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.unused = BatchNorm(2), BatchNorm(2, scale=True), BatchNorm(2)
        self.dropout = nn.Dropout(0.5)

    def features(self, x: Tensor) -> Tensor:
        return self.second(self.dropout(self.first(x)) * 3)


def batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [m + torch.randn(20, 2, generator=generator) for m in (1.0, 4.0, 7.0)]


def test_refreshed_statistics_are_means_over_batches() -> None:
    network = Network()
    refresh_statistics(network, network.features, batches())
    mean = torch.stack([b.mean(0) for b in batches()]).mean(0)
    variance = torch.stack([b.var(0) for b in batches()]).mean(0)
    torch.testing.assert_close(network.first.running_mean, mean)
    torch.testing.assert_close(network.first.running_var, variance)
    # The second sees what the first makes of each batch, times 3, without dropout.
    torch.testing.assert_close(network.second.running_mean, torch.zeros(2), atol=1e-5, rtol=0)
    nine = torch.full((2,), 9 * 20 / 19)
    torch.testing.assert_close(network.second.running_var, nine, atol=1e-3, rtol=0)


def test_what_was_there_before_does_not_matter() -> None:
    one, other = Network(), Network()
    other.first.running_mean.fill_(1e6)
    other.second.running_var.fill_(1e6)
    state = torch.get_rng_state()
    for network in (one, other):
        refresh_statistics(network, network.features, batches())
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert torch.equal(torch.get_rng_state(), state), "no noise is drawn"


def test_layers_that_are_not_reached_keep_their_statistics() -> None:
    network = Network()
    network.unused.running_mean.fill_(5.0)
    refresh_statistics(network, network.features, batches())
    assert (network.unused.running_mean == 5).all() and (network.unused.running_var == 1).all()


def test_modes_and_momenta_are_restored_also_after_an_error() -> None:
    network = Network().train()
    network.second.eval()
    network.second.momentum = 0.3

    def check() -> None:
        modes = [m.training for m in (network, network.first, network.second, network.dropout)]
        assert modes == [True, True, False, True]
        assert [network.first.momentum, network.second.momentum] == [0.1, 0.3]

    refresh_statistics(network, network.features, batches())
    check()
    with pytest.raises(RuntimeError):
        refresh_statistics(network, network.features, [*batches(), torch.zeros(4, 5)])
    check()


def test_without_such_layers_nothing_is_computed() -> None:
    def forward(x: Tensor) -> Tensor:
        raise AssertionError

    refresh_statistics(nn.Linear(2, 2), forward, batches())
