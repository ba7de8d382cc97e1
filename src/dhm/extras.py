"""Optional packages: imported when they are needed, with how to install those that are missing."""

import importlib
from typing import Any

from dhm.errors import MissingDependencyError


def require(module: str, extra: str, what: str = "this file") -> Any:
    """Import a module of an optional package, which `what` needs.

    Raises `MissingDependencyError` naming the extra that installs it.

    >>> require("no_such_package", "hdf5")
    Traceback (most recent call last):
    dhm.errors.MissingDependencyError: no_such_package is needed for this file; install it with: \
pip install "deep-hybrid-models[hdf5]"
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{error.name or module} is needed for {what}; install it with: "
            f'pip install "deep-hybrid-models[{extra}]"'
        ) from error
