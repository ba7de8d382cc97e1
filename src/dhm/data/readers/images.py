"""A folder of images by class: root/CLASS/*.png, perhaps in root/train and root/test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhm.data.assemble import Parts
from dhm.data.readers.guard import reading
from dhm.errors import DataError

EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_CHANNELS = {"1": 1, "L": 1, "RGB": 3, "RGBA": 4}
_UNLABELED = ("unlabeled", "unlabelled")


def read_images(root: Path) -> Parts:
    """Images in a folder per class; a folder `unlabeled` holds images without one.

    The class folders lie in `root`, or in `root/train` and `root/test`. Every image must have the
    size and the mode (1 bit, grey, RGB or RGBA) of the first.

    Raises `DataError` naming the file that is damaged or differs.
    """
    train_root = root / "train" if _folders(root / "train") else root
    test_root = root / "test" if train_root != root and _folders(root / "test") else None
    files, labels = _by_class(train_root)
    folders = [d for base in {root, train_root} for d in _folders(base) if _unlabeled(d)]
    unlabeled = [file for folder in folders for file in _images(folder)]
    like = _Like(files[0])
    test_files, test_labels = _by_class(test_root) if test_root else ([], None)
    return Parts(
        like.read(files),
        labels,
        like.read(test_files) if test_files else None,
        test_labels,
        like.read(unlabeled) if unlabeled else None,
    )


class _Like:
    """Reads images that are all like the first."""

    def __init__(self, first: Path) -> None:
        from PIL import Image

        self._open = Image.open
        self._first = first
        with reading(first, "an image"), self._open(first) as image:
            self._size, self._mode = image.size, image.mode
        if self._mode not in _CHANNELS:
            raise DataError(
                f"{first}: expected a 1 bit, grey, RGB or RGBA image, found mode {self._mode}; "
                "convert the images"
            )

    def read(self, files: Sequence[Path]) -> Any:
        width, height = self._size
        x = np.empty((len(files), _CHANNELS[self._mode], height, width), np.uint8)
        for slot, path in zip(x, files, strict=True):
            with reading(path, "an image"), self._open(path) as image:
                # Only the header has been read so far: a huge image is refused undecoded.
                if (image.size, image.mode) != (self._size, self._mode):
                    raise DataError(
                        f"{path}: expected {_shown(self._size, self._mode)} as in {self._first}, "
                        f"found {_shown(image.size, image.mode)}; make all images alike"
                    )
                pixels = np.asarray(image)
            pixels = pixels * np.uint8(255) if pixels.dtype == bool else pixels
            slot[...] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return x


def _shown(size: tuple[int, int], mode: str) -> str:
    return f"{size[0]} x {size[1]} {mode}"


def _by_class(root: Path) -> tuple[list[Path], Any]:
    files: list[Path] = []
    labels: list[str] = []
    for folder in _folders(root):
        if _unlabeled(folder):
            continue
        found = _images(folder)
        if not found:
            raise DataError(
                f"{folder}: expected images of class {folder.name!r}, found none; "
                "add some or remove the folder"
            )
        files += found
        labels += [folder.name] * len(found)
    if not files:
        raise DataError(
            f"{root}: expected x.npy and y.npy, or a folder of images per class, found neither"
        )
    return files, np.array(labels)


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(d for d in root.iterdir() if d.is_dir() and not d.name.startswith("."))


def _unlabeled(folder: Path) -> bool:
    return folder.name.lower() in _UNLABELED


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        f
        for f in folder.iterdir()
        if f.suffix.lower() in EXTENSIONS and f.is_file() and not f.name.startswith(".")
    )
