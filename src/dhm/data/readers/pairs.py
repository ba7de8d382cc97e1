"""Inputs and labels in files side by side: x.npy and y.npy, or foo.X.npz and foo.y.npy."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from dhm.data.assemble import Parts
from dhm.data.readers.guard import reading
from dhm.data.readers.keyed import X_NAMES, parts_by_name
from dhm.errors import DataError

# "foo.X" or "x_train": what comes before, the name of the inputs, and the part they belong to.
_INPUTS = re.compile(rf"(?P<prefix>(?:.*[._-])?)(?:{'|'.join(X_NAMES)})(?P<part>_train)?")
_SUFFIXES = (".npy", ".npz")


def has_pairs(folder: Path) -> bool:
    """Whether a folder holds inputs under a name that `read_folder_of_pairs` understands."""
    return any(
        match is not None and not match["prefix"]
        for match in (_INPUTS.fullmatch(file.stem) for file in _files(folder))
    )


def read_folder_of_pairs(folder: Path) -> Parts:
    """x_train.npy, y_train.npy and so on in a folder; .npy files are memory-mapped."""
    return _read_beside({file.stem: file for file in _files(folder)}, folder, "")


def read_pair(path: Path) -> Parts:
    """The file given and its companions of the same prefix: labels, test part, unlabelled."""
    match = _INPUTS.fullmatch(path.stem)
    prefix = match["prefix"] if match else f"{path.stem}."
    beside = {
        file.stem.removeprefix(prefix): file
        for file in _files(path.parent)
        if file.stem.startswith(prefix)
    }
    # Asked for x.npy, read that and not an x_train.npy that happens to lie beside it.
    if match and not match["part"]:
        beside = {name: f for name, f in beside.items() if not name.endswith("_train")}
    inputs = path.stem.removeprefix(prefix) if match else "x"
    chosen = {name: f for name, f in beside.items() if name not in X_NAMES} | {inputs: path}
    return _read_beside(chosen, path, prefix)


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in _SUFFIXES and f.is_file())


def _read_beside(files: dict[str, Path], where: Path, prefix: str) -> Parts:
    return parts_by_name(
        files.keys(),
        lambda name: _read_array(files[name]),
        str(where),
        lambda name: f"{prefix}{name}.npy",
    )


def _read_array(path: Path) -> Any:
    return read_sparse(path) if path.suffix.lower() == ".npz" else read_npy(path)


def read_npy(path: Path) -> Any:
    """One array, memory-mapped."""
    with reading(path, "npy"):
        return np.lib.format.open_memmap(path, mode="r")


def read_sparse(path: Path) -> Any:
    """One scipy sparse matrix as CSR, its indices checked."""
    with reading(path, "scipy sparse npz"):
        from scipy.sparse import csr_array, load_npz

        matrix = csr_array(load_npz(path))
        # Indices outside the matrix would otherwise be read from foreign memory later on.
        matrix.check_format(full_check=True)
        matrix.sum_duplicates()
    if matrix.ndim != 2:
        raise DataError(f"{path}: expected a matrix, found shape {matrix.shape}")
    return matrix
