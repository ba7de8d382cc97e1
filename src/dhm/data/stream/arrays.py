"""Blocks of rows of .npy, .npz and HDF5 files: the inputs alone, labels are not looked at."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np

from dhm.data.readers.guard import reading
from dhm.data.readers.keyed import X_NAMES
from dhm.data.readers.pairs import read_sparse
from dhm.data.stream.form import Form
from dhm.errors import DataError
from dhm.extras import require

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def npy_blocks(path: Path, form: Form) -> Iterator[Any]:
    """Rows of one array."""
    with reading(path, "npy"):
        stored = np.lib.format.open_memmap(path, mode="r")
        n, *shape = stored.shape
        form.check_shape(tuple(shape), str(path))
        for start in range(0, n, form.rows):
            # Mapped anew each time: what was read of a map stays in memory as long as it lives.
            block = np.lib.format.open_memmap(path, mode="r")[start : start + form.rows]
            yield np.array(block)


def npz_blocks(path: Path, form: Form) -> Iterator[Any]:
    """Rows of the array x of an archive, unpacked as they are read; of a scipy matrix, whole."""
    with reading(path, "npz"), ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if "format" in names:
            matrix = read_sparse(path)
            yield from array_blocks(matrix, form, str(path))
            return
        with archive.open(f"{_inputs(names, path)}.npy") as file:
            yield from _unpacked(file, form, path)


def _unpacked(file: IO[bytes], form: Form, path: Path) -> Iterator[Any]:
    (n, *shape), fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    form.check_shape(tuple(shape), str(path))
    if dtype.hasobject:
        raise DataError(f"{path}: expected numbers, found Python objects, which are never loaded")
    if fortran and shape:
        raise DataError(
            f"{path}: the array is stored by columns and cannot be read by rows; store it with "
            f"np.ascontiguousarray, or as .npy"
        )
    row_bytes = dtype.itemsize * int(np.prod(shape))
    for start in range(0, n, form.rows):
        rows = min(form.rows, n - start)
        yield np.frombuffer(file.read(rows * row_bytes), dtype).reshape(rows, *shape)


def hdf5_blocks(path: Path, form: Form) -> Iterator[Any]:
    """Rows of the data set x (or data)."""
    h5py = require("h5py", "hdf5")
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        keys = [key for key, item in file.items() if isinstance(item, h5py.Dataset)]
        yield from array_blocks(file[_inputs(keys, path)], form, str(path))


def array_blocks(x: Any, form: Form, what: str) -> Iterator[Any]:
    """Rows of anything with a shape that can be sliced."""
    form.check_shape(tuple(x.shape[1:]), what)
    for start in range(0, x.shape[0], form.rows):
        yield x[start : start + form.rows]


def _inputs(keys: Collection[str], path: Path) -> str:
    """The name of the inputs: x, or whatever a single array is called."""
    found = [name for name in X_NAMES if name in keys] or list(keys)
    if len(found) > 1 and found[0] not in X_NAMES:
        raise DataError(f"{path}: expected an array x, found {', '.join(sorted(keys))}; rename it")
    if not found:
        raise DataError(f"{path}: expected an array x, found none")
    return found[0]
