"""Augmentation of images: shifts by whole pixels, affine maps, contrast and cutout."""

from dataclasses import dataclass
from math import radians

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class ImageAugmentation:
    """Random copies of images (B, C, H, W) with pixels in [0, 1].

    Each range is symmetric about no change, so that all zeros is the identity.

    References:
        DeVries & Taylor, Improved regularization of convolutional neural networks with cutout,
        2017; Sohn et al., FixMatch, 2020, for what weak and strong copies are for.

    Example:
        >>> import torch
        >>> images = torch.rand(5, 1, 28, 28)
        >>> ImageAugmentation().strong(images).shape
        torch.Size([5, 1, 28, 28])
    """

    mirror: bool = False
    """Exchange left and right in half of the copies, weak and strong."""
    scene: bool = False
    """What lies beyond the border: False is black, True the image mirrored at it, with grey for
    what is cut out."""
    shift: float = 0.08
    """Weak: largest translation, a share of the side, rounded to whole pixels."""
    rotation: float = 15.0
    """Strong: degrees."""
    log_scale: float = 0.15
    """Strong: logarithm of the magnification."""
    shear: float = 0.2
    """Strong: the tangent of the angle."""
    translation: float = 0.1
    """Strong: a share of the side."""
    log_contrast: float = 0.2
    """Strong: logarithm of the factor of deviations from the image's mean."""
    brightness: float = 0.0
    """Strong: what is added to all pixels."""
    cutout: float = 0.0
    """Strong: side of the square that is cut out, a share of the image's."""

    def weak(self, u: Tensor) -> Tensor:
        """Translated by whole pixels, so that bytes stay bytes; perhaps mirrored."""
        height, width = u.shape[2:]
        rows, inside_rows = self._shifted(u, height)
        columns, inside_columns = self._shifted(u, width)
        if self.mirror:
            columns = torch.where(_coins(u), width - 1 - columns, columns)
        pixels = rows[:, :, None] * width + columns[:, None, :]
        moved = u.flatten(2).gather(2, pixels.flatten(1)[:, None].expand(-1, u.shape[1], -1))
        moved = moved.view_as(u)
        if self.scene:
            return moved
        inside = inside_rows[:, :, None] & inside_columns[:, None, :]
        return moved.masked_fill(~inside[:, None], 0)

    def strong(self, u: Tensor) -> Tensor:
        """An affine map, then contrast, brightness and a square cut out; clamped to [0, 1].

        What is missing, NaN, counts as cut out.
        """
        cut_out = 0.5 if self.scene else 0.0
        u = u.masked_fill(u.isnan(), cut_out)  # or one missing pixel would make the mean one
        grid = F.affine_grid(self._affine(u), list(u.shape), align_corners=False)
        padding = "reflection" if self.scene else "zeros"
        u = F.grid_sample(u, grid, padding_mode=padding, align_corners=False)
        mean = u.mean((1, 2, 3), keepdim=True)
        contrast = _uniform(u, self.log_contrast).exp().view_as(mean)
        brightness = _uniform(u, self.brightness).view_as(mean)
        u = ((u - mean) * contrast + mean + brightness).clamp(0, 1)
        return u.masked_fill(self._square(u), cut_out)

    def _shifted(self, u: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Where each of `size` rows or columns comes from, (B, size), and if it is in the image."""
        largest = round(self.shift * size)
        shift = torch.randint(-largest, largest + 1, (len(u), 1), device=u.device)
        source = torch.arange(size, device=u.device) + shift
        inside = (source >= 0) & (source < size)
        # A shift stays below the side, so one reflection at each border brings it back.
        return (size - 1 - (size - 1 - source.abs()).abs()).abs(), inside

    def _affine(self, u: Tensor) -> Tensor:
        """From places in the copy to places in the image, in units of half a side: (B, 2, 3)."""
        angle = _uniform(u, radians(self.rotation))
        zoom = _uniform(u, self.log_scale).exp()
        shear = _uniform(u, self.shear)
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        side = 1 - 2 * _coins(u)[:, 0].to(u.dtype) if self.mirror else torch.ones_like(cos)
        # Half sides differ where an image is not square; angles are those of its pixels.
        aspect = u.shape[2] / u.shape[3]
        right = [side * cos, (shear * cos - sin) * aspect, _uniform(u, 2 * self.translation)]
        down = [side * sin / aspect, shear * sin + cos, _uniform(u, 2 * self.translation)]
        return torch.stack([torch.stack(right, 1), torch.stack(down, 1)], 1)

    def _square(self, u: Tensor) -> Tensor:
        """What is cut out, (B, 1, H, W): a square around a random place, the border included."""
        within = []
        for size in u.shape[2:]:
            centre = torch.rand(len(u), 1, device=u.device) * size
            places = torch.arange(size, device=u.device) + 0.5
            within.append((places - centre).abs() < self.cutout * size / 2)
        return (within[0][:, :, None] & within[1][:, None, :])[:, None]


def _uniform(u: Tensor, limit: float) -> Tensor:
    """A number in [-limit, limit] for each image, (B,)."""
    return (2 * torch.rand(len(u), device=u.device) - 1) * limit


def _coins(u: Tensor) -> Tensor:
    return torch.rand(len(u), 1, device=u.device) < 0.5
