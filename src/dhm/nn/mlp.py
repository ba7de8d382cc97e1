"""Dense networks for the implicit family, of any shape of input.

In the manner of Improved-GAN on MNIST: a critic 1000-500-250-250-250 with Gaussian noise in front
of each layer, where z joins behind the first two layers, and a generator 500-500.

References:
    Salimans et al., Improved techniques for training GANs, 2016, and its code.
"""

from math import prod

from torch import nn

from dhm.nn.implicit import Critic, ImplicitParts, leaky, normalized
from dhm.nn.layers import GaussianNoise, normal
from dhm.nn.weight_norm import weight_norm


def implicit(shape: tuple[int, ...], n_classes: int, n_latent: int) -> ImplicitParts:
    """Critic, generator and encoder without convolutions."""
    n_inputs = prod(shape)
    critic = Critic(
        x=nn.Sequential(
            nn.Flatten(), GaussianNoise(0.3), *_noisy(n_inputs, 1000), *_noisy(1000, 500)
        ),
        z=nn.Sequential(*_noisy(n_latent, 250)),
        joint=nn.Sequential(*_noisy(750, 250), *_noisy(250, 250), *_noisy(250, 250)),
        logits=weight_norm(nn.Linear(250, n_classes), std=0.1, train_scale=True),
    )
    generator = nn.Sequential(
        *normalized(nn.Linear(n_latent, 500, bias=False), 500, nn.Softplus()),
        *normalized(nn.Linear(500, 500, bias=False), 500, nn.Softplus()),
        weight_norm(nn.Linear(500, n_inputs), std=0.1, train_scale=True),
        # Pixels, or the standardised features of a table.
        nn.Sigmoid() if len(shape) == 3 else nn.Identity(),
        nn.Unflatten(1, shape),
    )
    encoder = nn.Sequential(
        nn.Flatten(),
        *normalized(nn.Linear(n_inputs, 500, bias=False), 500, leaky()),
        *normalized(nn.Linear(500, 500, bias=False), 500, leaky()),
        nn.Linear(500, n_latent),
        nn.Sigmoid(),
    )
    for part in (critic, generator, encoder):
        normal(part, 0.1)
    return ImplicitParts(critic, generator, encoder)


def _noisy(n_in: int, n_out: int) -> list[nn.Module]:
    return [weight_norm(nn.Linear(n_in, n_out)), nn.ReLU(), GaussianNoise(0.5)]
