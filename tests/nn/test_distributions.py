"""The densities of p(x|z) against enumeration, quadrature and scipy."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.utils._python_dispatch import TorchDispatchMode

from dhm.nn.distributions import (
    LIKELIHOODS,
    LOG_VARIANCE_CEILING,
    LOG_VARIANCE_FLOOR,
    DiscretizedLogistic,
    diagonal_gaussian,
    draw,
)

LEVELS = torch.arange(256) / 255
EXACT_LEVELS = torch.arange(256, dtype=torch.float64) / 255


@pytest.mark.parametrize("location", [-3.0, 0.0, 0.123, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 2.0])
def test_discretized_logistic_sums_to_one(location: float, log_scale: float) -> None:
    p = DiscretizedLogistic(*torch.tensor([location, log_scale], dtype=torch.float64))
    assert p.log_prob(EXACT_LEVELS).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_a_decoder_can_be_all_but_sure_of_a_pixel() -> None:
    parameters = torch.tensor([[100 / 255 - 0.5], [-50.0]])
    p = LIKELIHOODS["discretized-logistic"].make(parameters, 1)
    assert p.log_prob(torch.tensor([100 / 255])).exp().item() > 0.99


def test_discretized_logistic_is_the_difference_of_scipys_distribution_function() -> None:
    location, log_scale = 0.37, -2.5
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
    expected = np.diff(stats.logistic.cdf(edges, location, np.exp(log_scale)))
    p = DiscretizedLogistic(*torch.tensor([location, log_scale], dtype=torch.float64))
    np.testing.assert_allclose(p.log_prob(EXACT_LEVELS).exp().numpy(), expected, rtol=1e-9)


def test_discretized_logistic_stays_finite_far_from_the_data() -> None:
    location = torch.tensor([-20.0, 20.0], requires_grad=True)
    log_scale = torch.tensor([-7.0, -7.0], requires_grad=True)
    log_p = DiscretizedLogistic(location, log_scale).log_prob(torch.tensor([0.5, 0.5]))
    log_p.sum().backward()
    for gradient in (location.grad, log_scale.grad):
        assert gradient is not None and gradient.isfinite().all() and (gradient != 0).all()


def test_discretized_logistic_mean_and_samples_match_enumeration() -> None:
    p = DiscretizedLogistic(torch.tensor([0.1, 0.8]), torch.tensor([-1.5, -3.0]))
    probabilities = p.log_prob(LEVELS[:, None]).exp()
    mean = (probabilities * LEVELS[:, None]).sum(0)
    torch.testing.assert_close(p.mean, mean, atol=1e-5, rtol=1e-5)
    variance = (probabilities * (LEVELS[:, None] - mean) ** 2).sum(0)
    torch.testing.assert_close(p.variance, variance, atol=1e-5, rtol=1e-4)
    torch.manual_seed(0)
    x = p.sample((40_000,))
    assert ((x * 255).round() / 255 == x).all()
    sd = (variance / len(x)).sqrt()
    assert ((x.mean(0) - mean).abs() < 5 * sd).all()


def test_moments_of_a_discretized_logistic_take_no_more_memory_than_the_images() -> None:
    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                self.numbers = max(self.numbers, made.numel())
            return made

    p = DiscretizedLogistic(torch.rand(50, 3, 4, 4), torch.full((), -3.0))
    with Largest() as largest:
        assert p.mean.shape == p.variance.shape == (50, 3, 4, 4)
    assert largest.numbers == 50 * 3 * 4 * 4


def test_gaussian_integrates_to_one_and_samples_with_the_variance_of_its_density() -> None:
    # The original sampled with exp(s) as the standard deviation but read s as the log-variance.
    p = diagonal_gaussian(torch.tensor([[0.7], [1.2]]))
    density = lambda x: p.log_prob(torch.tensor([x])).exp().item()  # noqa: E731
    assert integrate.quad(density, -20, 20)[0] == pytest.approx(1, abs=1e-5)
    variance, _ = integrate.quad(lambda x: (x - 0.7) ** 2 * density(x), -20, 20)
    torch.manual_seed(0)
    draws = p.sample(torch.Size([100_000]))
    assert variance == pytest.approx(np.exp(1.2), rel=1e-3)
    assert draws.var().item() == pytest.approx(variance, rel=0.03)


def test_gaussian_log_variance_has_a_floor() -> None:
    p = diagonal_gaussian(torch.tensor([[0.0], [-50.0]]))
    assert p.variance.item() == pytest.approx(np.exp(LOG_VARIANCE_FLOOR))


def test_gaussian_log_variance_has_a_ceiling() -> None:
    log_variance = torch.tensor([19.0, 1e3, 1e30], requires_grad=True)
    mean = torch.zeros(3, requires_grad=True)
    p = diagonal_gaussian(torch.stack([mean, log_variance]))
    torch.testing.assert_close(p.variance.log(), torch.tensor([19.0, 20.0, 20.0]))
    torch.manual_seed(0)
    draw = p.rsample()
    (draw.square().sum() - p.log_prob(draw)).backward()
    for gradient in (mean.grad, log_variance.grad):
        assert gradient is not None and gradient.isfinite().all()


def test_between_floor_and_ceiling_a_log_variance_is_what_it_was() -> None:
    log_variance = torch.linspace(LOG_VARIANCE_FLOOR, LOG_VARIANCE_CEILING, 1001)
    expected = torch.exp(0.5 * (torch.relu(log_variance + 10) - 10))
    found = diagonal_gaussian(torch.stack([log_variance, log_variance])).stddev
    assert torch.equal(found, expected), "bit for bit, or results of seeds change"


def test_bernoulli_sums_to_one_and_takes_grey_values_as_probabilities() -> None:
    p = LIKELIHOODS["bernoulli"].make(torch.tensor([[0.8]]), 1)
    both = torch.tensor([[0.0], [1.0]])
    assert p.log_prob(both).exp().sum().item() == pytest.approx(1)
    grey = 0.25 * p.log_prob(both[1]) + 0.75 * p.log_prob(both[0])
    torch.testing.assert_close(p.log_prob(torch.tensor([0.25])), grey)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_treat_all_of_x_as_one_event(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    parameters = torch.randn(5, 2, likelihood.n_parameters, 3, 4, 4, requires_grad=True)
    p = likelihood.make(parameters, 3)
    log_p = p.log_prob(torch.rand(2, 3, 4, 4))
    assert log_p.shape == (5, 2) and p.mean.shape == (5, 2, 3, 4, 4)
    log_p.sum().backward()
    assert parameters.grad is not None and (parameters.grad != 0).float().mean() > 0.99


def test_the_options_name_the_likelihoods_there_are() -> None:
    from typing import get_args

    from dhm.config import Likelihood, Network
    from dhm.nn.networks import IMPLICIT, NETWORKS

    assert set(get_args(Likelihood)) == {"auto", *LIKELIHOODS}
    assert set(get_args(Network)) == NETWORKS.keys() | IMPLICIT.keys()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_draws_are_quantiles_of_the_numbers_given(likelihood: str) -> None:
    """All quantiles together are the distribution, and a larger number never gives a smaller x."""
    family = LIKELIHOODS[likelihood]
    parameters = torch.tensor([[0.3], [-0.4]])[: family.n_parameters]
    p, n = family.make(parameters, 1), 100_000
    grid = torch.arange(n)[:, None] / n
    x = draw(family.make(parameters.expand(n, -1, -1), 1), lambda: grid)
    assert x.isfinite().all() and (x.diff(dim=0) >= 0).all()
    torch.testing.assert_close(x.mean(0), p.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(x.var(0), p.variance, rtol=5e-3, atol=0)
