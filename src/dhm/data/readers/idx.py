"""IDX, the format of MNIST: a big-endian header and unsigned bytes, gzipped or not."""

import gzip
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dhm.data.assemble import Parts
from dhm.data.readers.guard import MAX_DEFLATE_RATIO, reading
from dhm.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 20


def read_mnist(paths: Sequence[Path]) -> Parts:
    """Training images and labels, then test images and labels."""
    images, labels, test_images, test_labels = paths
    return Parts(
        read_idx(images, 3), read_idx(labels, 1), read_idx(test_images, 3), read_idx(test_labels, 1)
    )


def read_idx(path: Path, ndim: int) -> Any:
    """Read an IDX file of unsigned bytes with `ndim` dimensions.

    A raw file comes back memory-mapped, a gzipped one in memory. The size that the header promises
    is compared with the file's before anything is allocated.

    Raises `DataError` for another kind of file, another number of dimensions or another size.
    """
    with reading(path, "IDX"), path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if zipped:
            with gzip.open(raw) as stream:
                shape = _read_header(stream, path, ndim)
                return _read_values(stream, path, shape)
        shape = _read_header(raw, path, ndim)
        size = math.prod(shape)
        _check_size(path, shape, path.stat().st_size - raw.tell(), exact=True)
        if not size:
            return np.empty(shape, np.uint8)
        return np.memmap(path, np.uint8, "r", raw.tell(), shape)


def _read_header(stream: BinaryIO | gzip.GzipFile, path: Path, ndim: int) -> tuple[int, ...]:
    magic, expected = stream.read(4), bytes((0, 0, 8, ndim))
    if magic != expected:
        raise DataError(
            f"{path}: expected an IDX file of {ndim}-dimensional bytes (magic 0x{expected.hex()}), "
            f"found magic 0x{magic.hex()}; replace it"
        )
    return struct.unpack(f">{ndim}I", stream.read(4 * ndim))


def _read_values(stream: gzip.GzipFile, path: Path, shape: tuple[int, ...]) -> Any:
    _check_size(path, shape, path.stat().st_size * MAX_DEFLATE_RATIO, exact=False)
    values = np.empty(math.prod(shape), np.uint8)
    filled = 0
    while filled < len(values) and (piece := stream.read(min(_PIECE, len(values) - filled))):
        values[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    # Reading to the end also makes gzip compare its checksum.
    _check_size(path, shape, filled + len(stream.read(1)), exact=True)
    return values.reshape(shape)


def _check_size(path: Path, shape: tuple[int, ...], available: int, exact: bool) -> None:
    size = math.prod(shape)
    if size > available or (exact and size != available):
        found = "more" if size < available else f"at most {available}"
        raise DataError(
            f"{path}: the header promises {' x '.join(map(str, shape))} = {size} bytes, "
            f"the file holds {found}; it is damaged or cut short: replace it"
        )
