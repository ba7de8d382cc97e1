"""Cutting work into chunks that memory holds whatever the number of examples and samples."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhm.errors import ConfigError, DataError
from dhm.models.base import Model, check_inputs

PAIRS = 10_000
"""Most pairs (x, z) at a time."""
ENTRIES = 2**23
"""Most entries of x that are decoded at a time: 32 MiB of float32 for each tensor of that size."""

MOST_BYTES = 2**31
"""Most of an answer that is held at once, as float32."""


def pairs_at_once(shape: tuple[int, ...]) -> int:
    """How many x of this shape are decoded at a time.

    Example:
        >>> pairs_at_once((1, 8, 8)), pairs_at_once((3, 64, 64))
        (10000, 682)
    """
    return max(1, min(PAIRS, ENTRIES // prod(shape)))


def check_size(what: str, n: int, shape: tuple[int, ...], advice: str) -> None:
    """Refuse, before anything is allocated, n arrays of a shape that are too many to hold at once.

    Raises `ConfigError`.

    Example:
        >>> check_size("2 draws", 2, (1, 8, 8), "draw fewer")
        >>> check_size("10000000 draws", 10_000_000, (1, 8, 8), "draw fewer")
        Traceback (most recent call last):
        dhm.errors.ConfigError: 10000000 draws of shape (1, 8, 8) take 2.4 GiB, above the 2 GiB \
held at once: draw fewer
    """
    wanted = 4 * n * prod(shape)
    if wanted > MOST_BYTES:
        raise ConfigError(
            f"{what} of shape {shape} take {wanted / 2**30:.1f} GiB, above the "
            f"{MOST_BYTES / 2**30:.0f} GiB held at once: {advice}"
        )


def spans(n: int, size: int) -> Iterator[range]:
    """The positions 0 to n in runs of at most `size`.

    Example:
        >>> list(spans(5, 2))
        [range(0, 2), range(2, 4), range(4, 5)]
    """
    for start in range(0, n, size):
        yield range(start, min(start + size, n))


def rows(x: Any, positions: range) -> NDArray[Any]:
    """Some examples of an array, a memory map or a scipy CSR matrix, dense and in memory."""
    part = x[np.asarray(positions, dtype=np.intp)]
    return part.toarray() if hasattr(part, "toarray") else np.array(part)


def check_examples(model: Model, x: Any) -> None:
    """Refuse examples of another shape than the model's, or none at all, with `DataError`."""
    check_inputs(model, x)
    if x.shape[0] == 0:
        raise DataError("expected at least one example, found none")


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Within it the model is in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
