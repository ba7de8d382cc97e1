"""NumPy's .npz: several named arrays, or one scipy sparse matrix with labels beside it."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dhm.data.assemble import Parts
from dhm.data.readers.guard import reading
from dhm.data.readers.keyed import parts_by_name
from dhm.data.readers.pairs import read_pair
from dhm.errors import DataError


def read_npz(path: Path) -> Parts:
    """Arrays x and y, or x_train, y_train, x_test, y_test, and optionally x_unlabeled."""
    # Opened here because np.load leaves a file that is no archive open.
    with (
        reading(path, "npz"),
        path.open("rb") as file,
        _archive(file, path) as arrays,
    ):
        if "format" not in arrays.files:
            return parts_by_name(arrays.files, arrays.__getitem__, str(path))
    return read_pair(path)


def _archive(file: BinaryIO, path: Path) -> Any:
    found = np.load(file, allow_pickle=False)
    if isinstance(found, np.ndarray):
        raise DataError(f"{path}: expected an archive of arrays, found one array; call it .npy")
    return found
