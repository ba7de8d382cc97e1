"""Random numbers of a question about an input: from the seed and the input itself."""

from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class RowNoise:
    """Normal and uniform numbers for each of B inputs, from a generator of its own each.

    The generator is seeded by the input's values and the seed, so an estimate for an input is the
    same in whatever batch, order, chunk or process it is made, and equal inputs get equal numbers,
    whether they are stored as bytes or as floats of the same 0..255.

    Arguments:
        x: (B, *shape), as stored.
        seed: a whole number >= 0.
        device: where the numbers are wanted.

    Example:
        >>> x = np.eye(3, dtype=np.float32)
        >>> cpu = torch.device("cpu")
        >>> together = RowNoise(x, 0, cpu).normal(5, 2)
        >>> alone = RowNoise(x[2:], 0, cpu)
        >>> parts = torch.cat([alone.normal(1, 2), alone.normal(4, 2)])
        >>> together.shape, torch.equal(together[:, 2:], parts)
        (torch.Size([5, 3, 2]), True)
    """

    def __init__(self, x: NDArray[np.generic], seed: int, device: torch.device) -> None:
        digests = (blake2b(row.tobytes(), digest_size=8).digest() for row in _canonical(x))
        marks = (int.from_bytes(digest, "little") for digest in digests)
        self._generators = [np.random.default_rng([seed, mark]) for mark in marks]
        self._device = device

    def normal(self, k: int, n: int) -> Tensor:
        """The next k x n standard normal numbers of each input, (k, B, n)."""
        # numpy's generators, unlike torch's, give the same numbers in one call as in several.
        rows = [g.standard_normal((k, n), dtype=np.float32) for g in self._generators]
        return self._stacked(rows)

    def uniform(self, k: int) -> Tensor:
        """The next k numbers of each input, uniform on [0, 1), (k, B)."""
        rows = [g.random((k, 1), dtype=np.float32) for g in self._generators]
        return self._stacked(rows)[..., 0]

    def _stacked(self, rows: list[NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(np.stack(rows, 1)).to(self._device, non_blocking=True)


def _canonical(x: NDArray[np.generic]) -> NDArray[np.float32]:
    """Equal values as equal bytes: a gap in one row makes floats of its whole block."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(x, np.float32) + np.float32(0)  # of -0.0 it makes 0.0
    values[np.isnan(values)] = np.nan
    return values
