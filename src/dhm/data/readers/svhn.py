"""SVHN, cropped digits: MATLAB 5 files with X (32, 32, 3, N) and y (N, 1) in 1..10."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhm.data.assemble import Parts
from dhm.data.readers.guard import reading
from dhm.errors import DataError


def read_svhn(paths: Sequence[Path]) -> Parts:
    """The training file, the test file, then any further files that join training."""
    train, test, *extra = paths
    (x, y), (x_test, y_test) = _read_mat(train), _read_mat(test)
    more = [_read_mat(path) for path in extra]
    if more:
        x = np.concatenate([x, *(m[0] for m in more)])
        y = np.concatenate([y, *(m[1] for m in more)])
    return Parts(x, y, x_test, y_test)


def _read_mat(path: Path) -> tuple[Any, Any]:
    with reading(path, "MATLAB 5"):
        from scipy.io import loadmat

        found = loadmat(path, variable_names=("X", "y"))
        x, y = found["X"], found["y"].reshape(-1)
    if x.shape[:3] != (32, 32, 3) or x.ndim != 4 or x.dtype != np.uint8:
        raise DataError(
            f"{path}: expected X of bytes with shape (32, 32, 3, N), "
            f"found {x.dtype} with shape {x.shape}; replace the file"
        )
    if len(y) != x.shape[3] or y.dtype.kind not in "iu" or ((y < 0) | (y > 10)).any():
        raise DataError(
            f"{path}: expected y to be {x.shape[3]} digits 1..10, found {len(y)} values of type "
            f"{y.dtype}{f' up to {y.max()}' if len(y) else ''}; replace the file"
        )
    # MATLAB stores the last axis slowest, so each image is one stretch of memory in this view.
    return x.transpose(3, 2, 0, 1), (y % 10).astype(np.int64)
