"""torch's random generators, which belong to the process: seeded, and given back as they were."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import RLock

import numpy as np
import torch

_GENERATORS = RLock()


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
