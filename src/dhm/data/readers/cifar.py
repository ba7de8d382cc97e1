"""CIFAR-10, binary version: records of one label byte and 3 x 32 x 32 image bytes."""

import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dhm.data.assemble import Parts
from dhm.data.readers.guard import MAX_DEFLATE_RATIO, reading
from dhm.errors import DataError, DataNotFoundError

_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST = "test_batch.bin"
_RECORD = 1 + 3 * 32 * 32


def read_cifar10(paths: Sequence[Path]) -> Parts:
    """The archive, or the first of its six files extracted side by side.

    The archive is read in place; nothing is extracted to disk.
    """
    (path,) = paths
    batches = _read_folder(path.parent) if path.suffix == ".bin" else _read_archive(path)
    x, y = zip(*(batches[name] for name in _TRAIN), strict=True)
    return Parts(np.concatenate(x), np.concatenate(y), *batches[_TEST])


def _read_folder(folder: Path) -> dict[str, tuple[Any, Any]]:
    batches = {}
    for name in (*_TRAIN, _TEST):
        path = folder / name
        if not path.is_file():
            raise DataNotFoundError(f"{path}: this file of CIFAR-10 is missing beside the others")
        with reading(path, "binary CIFAR-10"):
            batches[name] = _records(path.read_bytes(), path)
    return batches


def _read_archive(path: Path) -> dict[str, tuple[Any, Any]]:
    batches: dict[str, tuple[Any, Any]] = {}
    limit = path.stat().st_size * MAX_DEFLATE_RATIO
    with reading(path, "a gzipped tar"), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is None or name not in (*_TRAIN, _TEST):
                continue
            where = f"{path}: {name}"
            if member.size > limit:
                raise DataError(f"{where} claims {member.size} bytes; the archive is damaged")
            batches[name] = _records(stream.read(), where)
    missing = [name for name in (*_TRAIN, _TEST) if name not in batches]
    if missing:
        raise DataError(
            f"{path}: expected the binary version of CIFAR-10, found no {', '.join(missing)} in "
            "it; get cifar-10-binary.tar.gz"
        )
    return batches


def _records(content: bytes, where: Path | str) -> tuple[Any, Any]:
    if not content or len(content) % _RECORD:
        raise DataError(
            f"{where}: expected records of {_RECORD} bytes, found {len(content)} bytes; "
            "the file is damaged or cut short: replace it"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
