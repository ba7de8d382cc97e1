"""Random numbers of a question: from its seed, or from the seed and the input asked about."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import blake2b
from threading import RLock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GENERATORS = RLock()


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


@contextmanager
def seeded(seed: int, device: torch.device, part: int | None = None) -> Iterator[None]:
    """Within it the generators of the CPU and the device start from the seed; after it, they are as
    they were.

    They belong to the process, so one thread at a time is within: the others wait. With `part` the
    numbers are others for each part of a question that has one seed. The generator of a device that
    is neither a CPU nor of CUDA goes on from the seed.
    """
    if part is not None:
        seed = int(np.random.SeedSequence((seed, part)).generate_state(1, np.uint64)[0])
    with _GENERATORS, _kept(device):
        seed_generators(seed, device)
        yield


@contextmanager
def lent(device: torch.device) -> Iterator[None]:
    """Within it, which is within `seeded`, other threads may draw; it then goes on as if nobody
    had drawn.
    """
    with _kept(device):
        _GENERATORS.release()
        try:
            yield
        finally:
            _GENERATORS.acquire()


def seed_generators(seed: int, device: torch.device) -> None:
    """Start torch's generators of the CPU and of one device from the seed.

    torch.manual_seed would seed every GPU there is, and nobody would put the others back.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)


def _kept(device: torch.device) -> AbstractContextManager[None]:
    """After it, the generators of the CPU and the device are as they were."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _unlock() -> None:
    global _GENERATORS
    _GENERATORS = RLock()


if hasattr(os, "register_at_fork"):
    # A thread that draws is not there in a child process, but its lock would be.
    os.register_at_fork(after_in_child=_unlock)
