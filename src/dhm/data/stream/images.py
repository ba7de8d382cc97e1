"""Image files, and the images in folders, made to fit the model's number of channels."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dhm.data.readers.guard import reading
from dhm.data.readers.images import EXTENSIONS
from dhm.data.stream.form import Form
from dhm.errors import DataError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
CONVERTIBLE = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}
"""Modes of 8 bits a channel, which Pillow converts into each other."""


def is_images(path: Path) -> bool:
    """Whether a path is that of an image file or a folder."""
    return path.is_dir() or path.suffix.lower() in EXTENSIONS


def image_paths(path: Path) -> Iterator[Path]:
    """The file itself, or a folder's images, those of its sub-folders too, by name."""
    if not path.is_dir():
        yield path
        return
    found = False
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in EXTENSIONS and not name.startswith("."):
                found = True
                yield Path(folder, name)
    if not found:
        raise DataError(f"{path}: expected images in this folder, found none; name files instead")


def read_image(path: Path, form: Form) -> Any:
    """Pixels (C, H, W), uint8, of an image of the model's size and any mode of 8-bit channels."""
    from PIL import Image

    if len(form.shape) != 3 or form.shape[0] not in MODES:
        raise DataError(f"{path}: the model takes inputs of shape {form.shape}, found an image")
    channels, height, width = form.shape
    with reading(path, "an image"), Image.open(path) as image:
        # Only the header has been read so far: a huge image is refused undecoded.
        if image.size != (width, height):
            raise DataError(
                f"{path}: the model takes images of {width} x {height} pixels, found "
                f"{image.size[0]} x {image.size[1]}; scale it as those of training were"
            )
        if image.mode not in CONVERTIBLE:
            raise DataError(f"{path}: expected 8 bits a channel, found mode {image.mode}")
        pixels = np.asarray(image.convert(MODES[channels]))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
