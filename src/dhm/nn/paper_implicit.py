"""The networks of Kuleshov & Ermon's implicit model, layer for layer, for images of any size.

From the authors' code for 3x32x32. Pixels are in [-1, 1] inside and in [0, 1] outside. Other sizes
are halved three times, rounded up, where 32 goes to 16, 8 and 4. All weights start from N(0, 0.05).
"""

from torch import Tensor, nn

from dhm.nn.implicit import (
    Critic,
    ImplicitParts,
    halvings,
    leaky,
    normalized,
    upsampling,
)
from dhm.nn.layers import Dropout, images_only, normal
from dhm.nn.weight_norm import weight_norm


class ToSigned(nn.Module):
    """Pixels in [0, 1] to [-1, 1]."""

    def forward(self, u: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return 2 * u - 1


class SignedTanh(nn.Module):
    """tanh, the pixel in [-1, 1], as one in [0, 1]."""

    def forward(self, h: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return (2 * h).sigmoid()  # (tanh h + 1) / 2


def implicit(shape: tuple[int, ...], n_classes: int, n_latent: int) -> ImplicitParts:
    """Critic 64-64-64/2 128-128-128/2 256-128-64, encoder 128-256-512-512, generator 512-256-128.

    Raises `ConfigError` for vectors.
    """
    n_channels, height, width = images_only(shape, "paper")
    parts = ImplicitParts(
        critic=_critic(n_channels, min(height, width), n_classes, n_latent),
        generator=_generator(n_channels, height, width, n_latent),
        encoder=_encoder(n_channels, n_latent),
    )
    for part in (parts.critic, parts.generator, parts.encoder):
        normal(part, 0.05)
    return parts


def _critic(n_channels: int, side: int, n_classes: int, n_latent: int) -> Critic:
    left, _ = halvings(side, side, 2)[-1]

    def conv(
        n_in: int, n_out: int, kernel: int = 3, *, padding: int = 0, stride: int = 1
    ) -> list[nn.Module]:
        return [weight_norm(nn.Conv2d(n_in, n_out, kernel, stride, padding)), leaky()]

    x = nn.Sequential(
        ToSigned(),
        Dropout(0.2),
        *conv(n_channels, 64, padding=1),
        *conv(64, 64, padding=1),
        *conv(64, 64, padding=1, stride=2),
        Dropout(0.5),
        *conv(64, 128, padding=1),
        *conv(128, 128, padding=1),
        *conv(128, 128, padding=1, stride=2),
        Dropout(0.5),
        # Without a border, but where fewer than 3x3 pixels are left.
        *conv(128, 256, padding=0 if left >= 3 else 1),
        *conv(256, 128, 1),
        *conv(128, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    z = nn.Sequential(
        Dropout(0.2),
        *(nn.Linear(n_latent, 500), leaky(), Dropout(0.5)),
        *(nn.Linear(500, 250), leaky(), Dropout(0.5)),
    )
    logits = weight_norm(nn.Linear(64 + 250, n_classes), std=0.1, train_scale=True)
    return Critic(x, z, nn.Identity(), logits)


def _generator(n_channels: int, height: int, width: int, n_latent: int) -> nn.Module:
    full, half, quarter, eighth = halvings(height, width, 3)
    n_first = 512 * eighth[0] * eighth[1]
    return nn.Sequential(
        *normalized(nn.Linear(n_latent, n_first, bias=False), n_first, nn.ReLU()),
        nn.Unflatten(1, (512, *eighth)),
        *normalized(upsampling(512, 256, 5, quarter), 256, nn.ReLU()),
        *normalized(upsampling(256, 128, 5, half), 128, nn.ReLU()),
        weight_norm(upsampling(128, n_channels, 5, full, bias=True), std=0.1, train_scale=True),
        SignedTanh(),
    )


def _encoder(n_channels: int, n_latent: int) -> nn.Module:
    def conv(n_in: int, n_out: int) -> nn.Conv2d:
        return nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)

    return nn.Sequential(
        ToSigned(),
        *(nn.Conv2d(n_channels, 128, 3, stride=2, padding=1), leaky()),
        *normalized(conv(128, 256), 256, leaky()),
        *normalized(conv(256, 512), 512, leaky()),
        *normalized(nn.Conv2d(512, 512, 1, bias=False), 512, leaky()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, n_latent),
        nn.Sigmoid(),
    )
