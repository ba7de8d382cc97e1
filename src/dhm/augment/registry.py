"""The choices of `--augment`."""

from collections.abc import Callable

from dhm.augment.base import Augmentation, NoAugmentation
from dhm.augment.images import ImageAugmentation
from dhm.augment.tables import TableAugmentation
from dhm.errors import ConfigError

AUGMENTATIONS: dict[str, Callable[[tuple[int, ...]], Augmentation]] = {
    "none": lambda shape: NoAugmentation(),
    "image": lambda shape: _images(shape, mirror=False),
    "mirrored-image": lambda shape: _images(shape, mirror=True),
    "table": lambda shape: TableAugmentation(),
}
"""By name, what makes an augmentation for examples of a shape.

Images of one channel stand on black; those of more channels are scenes.
"""


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
    is_image = len(shape) == 3
    if name == "auto":
        name = ("mirrored-image" if symmetric else "image") if is_image else "table"
    if name != "none" and is_image != (name != "table"):
        raise ConfigError(
            f"--augment {name} cannot be used on examples of shape {shape}: use --augment auto"
        )
    return AUGMENTATIONS[name](shape)
