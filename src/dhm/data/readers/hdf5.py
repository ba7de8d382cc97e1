"""HDF5: the same names as .npz, or data and label."""

from pathlib import Path
from typing import Any

from dhm.data.assemble import Parts
from dhm.data.readers.guard import MAX_DEFLATE_RATIO, reading
from dhm.data.readers.keyed import parts_by_name
from dhm.errors import DataError
from dhm.extras import require


def read_hdf5(path: Path) -> Parts:
    """Data sets x and y (or data and label), or x_train, y_train, x_test, y_test, x_unlabeled.

    They are read into memory in the type they are stored in: bytes stay bytes.
    """
    h5py = require("h5py", "hdf5")

    def read(key: str) -> Any:
        stored = file[key]
        if stored.nbytes > limit:
            raise DataError(
                f"{path}: {key} claims {stored.nbytes} bytes, more than a file of this size can "
                "hold; it is damaged: replace it"
            )
        if h5py.check_string_dtype(stored.dtype) is not None:
            return stored.asstr()[...].astype(str)
        return stored[...]

    limit = path.stat().st_size * MAX_DEFLATE_RATIO
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        keys = [key for key, item in file.items() if isinstance(item, h5py.Dataset)]
        return parts_by_name(keys, read, str(path))
