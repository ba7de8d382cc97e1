"""Arrays found by name: what .npz, HDF5 and folders of .npy have in common."""

from collections.abc import Callable, Collection
from typing import Any

from dhm.data.assemble import Parts
from dhm.errors import DataError

X_NAMES = ("x", "X", "data")
Y_NAMES = ("y", "Y", "label", "labels")
_UNLABELED = ("_unlabeled", "_unlabelled")


def parts_by_name(
    keys: Collection[str],
    read: Callable[[str], Any],
    where: str,
    shown: Callable[[str], str] = str,
) -> Parts:
    """Read x_train, y_train and, where present, x_test, y_test, x_unlabeled; or just x and y.

    `shown` is how messages call an array that is missing.

    Raises `DataError` where there are no inputs or no labels under any of the usual names.
    """

    def find(names: tuple[str, ...], *suffixes: str) -> str | None:
        return next((n + s for s in suffixes for n in names if n + s in keys), None)

    x_key = find(X_NAMES, "_train", "")
    if x_key is None:
        raise DataError(
            f"{where}: expected arrays x and y, or x_train, y_train, x_test and y_test, "
            f"found {', '.join(sorted(keys)) or 'nothing'}; rename them"
        )
    y_key = find(Y_NAMES, "_train" if x_key.endswith("_train") else "")
    if y_key is None:
        wanted = "y_train" if x_key.endswith("_train") else "y"
        raise DataError(
            f"{where}: expected labels {shown(wanted)}, found only {', '.join(sorted(keys))}; "
            "add them, with -1 for unlabelled examples"
        )
    rest = (find(X_NAMES, "_test"), find(Y_NAMES, "_test"), find(X_NAMES, *_UNLABELED))
    return Parts(read(x_key), read(y_key), *(None if key is None else read(key) for key in rest))
