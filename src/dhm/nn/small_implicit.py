"""The implicit family's networks for a laptop; for images of any size and for vectors."""

from collections.abc import Callable, Iterable
from itertools import pairwise

from torch import nn

from dhm.nn.implicit import Critic, ImplicitParts, halvings, leaky, normalized, upsampling
from dhm.nn.layers import Dropout, GaussianNoise, normal
from dhm.nn.small import DROPOUT, N_FEATURES, WIDTH, n_halvings
from dhm.nn.weight_norm import weight_norm

Wrap = Callable[[nn.Module, int], Iterable[nn.Module]]
"""Normalisation and activation around a layer of so many units."""


def implicit(shape: tuple[int, ...], n_classes: int, n_latent: int) -> ImplicitParts:
    """Strided convolutions to about 7x7 and back; dense layers for vectors.

    As in the paper's, features of x and z meet in the last layer only: with a hidden layer behind
    both, feature matching lets the encoder make up for a poor generator.
    """
    x, n_x = _features(shape, lambda layer, n: (weight_norm(layer), leaky()), bias=True)
    critic = Critic(
        x=nn.Sequential(
            *(GaussianNoise(0.3), *x, nn.Flatten(), Dropout(DROPOUT)),
            *(weight_norm(nn.Linear(n_x, N_FEATURES)), leaky(), Dropout(DROPOUT)),
        ),
        z=nn.Sequential(
            *(Dropout(0.2), weight_norm(nn.Linear(n_latent, N_FEATURES)), leaky()),
            Dropout(DROPOUT),
        ),
        joint=nn.Identity(),
        logits=weight_norm(nn.Linear(2 * N_FEATURES, n_classes), std=0.1, train_scale=True),
    )
    h, n_h = _features(shape, lambda layer, n: normalized(layer, n, leaky()), bias=False)
    encoder = nn.Sequential(*h, nn.Flatten(), nn.Linear(n_h, n_latent), nn.Sigmoid())
    generator = nn.Sequential(*_generator(shape, n_latent))
    for part in (critic, generator, encoder):
        normal(part, 0.05)
    return ImplicitParts(critic, generator, encoder)


def _features(shape: tuple[int, ...], wrap: Wrap, *, bias: bool) -> tuple[list[nn.Module], int]:
    """Layers from x on, and how many numbers they make of it."""
    if len(shape) == 1:
        sizes = [shape[0], N_FEATURES, N_FEATURES]
        layers = [wrap(nn.Linear(a, b, bias), b) for a, b in pairwise(sizes)]
        return [module for layer in layers for module in layer], N_FEATURES
    n_in, height, width = shape
    n = n_halvings(height, width)
    modules: list[nn.Module] = []
    for stage in reversed(range(max(2, n))):
        n_out = 2 * WIDTH if modules else WIDTH
        stride = 2 if stage < n else 1
        modules += wrap(nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=bias), n_out)
        n_in = n_out
    height, width = halvings(height, width, n)[-1]
    return modules, n_in * height * width


def _generator(shape: tuple[int, ...], n_latent: int) -> Iterable[nn.Module]:
    if len(shape) == 1:
        yield from normalized(nn.Linear(n_latent, N_FEATURES, bias=False), N_FEATURES, nn.ReLU())
        yield from normalized(nn.Linear(N_FEATURES, N_FEATURES, bias=False), N_FEATURES, nn.ReLU())
        # Standardised features are any real numbers.
        yield weight_norm(nn.Linear(N_FEATURES, shape[0]), std=0.1, train_scale=True)
        return
    n_channels, height, width = shape
    *larger, smallest = halvings(height, width, n_halvings(height, width))
    n = 2 * WIDTH * smallest[0] * smallest[1]
    yield from normalized(nn.Linear(n_latent, n, bias=False), n, nn.ReLU())
    yield nn.Unflatten(1, (2 * WIDTH, *smallest))
    n_in = 2 * WIDTH
    for size in reversed(larger[1:]):
        yield from normalized(upsampling(n_in, WIDTH, 5, size), WIDTH, nn.ReLU())
        n_in = WIDTH
    last: nn.Module
    if larger:
        last = upsampling(n_in, n_channels, 5, larger[0], bias=True)
    else:
        last = nn.Conv2d(n_in, n_channels, 3, padding=1)
    yield weight_norm(last, std=0.1, train_scale=True)
    yield nn.Sigmoid()
