"""The choices of `--augment`."""

from collections.abc import Callable
from typing import NamedTuple

from dhm.augment.base import Augmentation, NoAugmentation
from dhm.augment.images import ImageAugmentation
from dhm.augment.tables import TableAugmentation
from dhm.errors import ConfigError


class Choice(NamedTuple):
    """An augmentation one may choose."""

    make: Callable[[tuple[int, ...]], Augmentation]
    """From the shape of an example."""
    axes: tuple[int, ...]
    """Of an example: 3 of an image, 1 of a table's row."""


AUGMENTATIONS = {
    "none": Choice(lambda shape: NoAugmentation(), (1, 3)),
    "image": Choice(lambda shape: _images(shape, mirror=False), (3,)),
    "mirrored-image": Choice(lambda shape: _images(shape, mirror=True), (3,)),
    "table": Choice(lambda shape: TableAugmentation(), (1,)),
}
"""By name. Images of one channel stand on black; those of more channels are scenes."""


def _images(shape: tuple[int, ...], mirror: bool) -> Augmentation:
    if shape[0] > 1:
        return ImageAugmentation(mirror=mirror, scene=True, cutout=1 / 3)
    if mirror:
        # Things that stand upright and fill the frame tell their class by small parts, a collar or
        # a zip, which a large affine map blurs.
        return ImageAugmentation(
            mirror=True,
            rotation=4.0,
            log_scale=0.06,
            shear=0.04,
            translation=0.05,
            log_contrast=0.3,
            cutout=0.5,
        )
    # What is cut out of a thin stroke may be all that told its class: no cutout in writing.
    return ImageAugmentation()


def make_augmentation(name: str, shape: tuple[int, ...], symmetric: bool = False) -> Augmentation:
    """The augmentation of this name for examples of a shape, (C, H, W) or (D,).

    `auto` is the one for tables or for images, mirrored where the data set is `symmetric`. Raises
    `ConfigError` where examples are not of the kind.

    Example:
        >>> make_augmentation("auto", (1, 8, 8)).mirror
        False
    """
    if name == "auto":
        name = "table" if len(shape) == 1 else "mirrored-image" if symmetric else "image"
    choice = AUGMENTATIONS[name]
    if len(shape) not in choice.axes:
        raise ConfigError(
            f"--augment {name} cannot be used on examples of shape {shape}: use --augment auto"
        )
    return choice.make(shape)
