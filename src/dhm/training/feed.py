"""From arrays on the host to batches on the device, in an order seed and epoch alone decide."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dhm.data.dataset import Examples
from dhm.models.base import Batch
from dhm.nn.device import to_device

Index = NDArray[np.intp]
SUPERBATCH_BYTES = 256 * 2**20


def epoch_batches(n: int, n_batch: int, seed: tuple[int, ...]) -> list[Index]:
    """Every one of n examples once, shuffled, in batches of at most n_batch.

    Sizes differ by at most one: no example is dropped and no batch is a small remainder.

    Example:
        >>> [len(batch) for batch in epoch_batches(10, 4, (0, 0))]
        [4, 3, 3]
    """
    order = np.random.default_rng(seed).permutation(n)
    return np.array_split(order, ceil(n / n_batch))


def cycled_batches(n: int, n_batch: int, steps: int, seed: tuple[int, ...]) -> list[Index]:
    """Batches of exactly n_batch for so many steps: pass after pass, each shuffled anew."""
    rng = np.random.default_rng(seed)
    passes = [rng.permutation(n) for _ in range(ceil(steps * n_batch / n))]
    return list(np.concatenate(passes)[: steps * n_batch].reshape(steps, n_batch))


@dataclass(frozen=True)
class Feed:
    """Batches of one epoch after another; each process gets its share of every batch.

    A superbatch is the part of the epoch that is resident on the device at a time.
    """

    labeled: Examples
    unlabeled: Examples | None
    """Set for models that learn from unlabelled examples; an epoch is then a pass over these."""
    n_batch: int
    n_lbl_batch: int | None
    n_superbatch: int | None
    seed: int
    device: torch.device
    process: int = 0
    n_processes: int = 1

    @property
    def n_main(self) -> int:
        """Examples in one epoch."""
        return len(self.labeled if self.unlabeled is None else self.unlabeled)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch."""
        return ceil(self.n_main / self.n_batch)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Batch, float]]:
        """Batches from a step on, each with the factor that makes the mean over processes exact.

        Gradients are averaged over processes whose shares of a batch differ by at most one example.
        """
        main = epoch_batches(self.n_main, self.n_batch, (self.seed, epoch))
        steps = len(main)
        factors = [len(self._share(b)) * self.n_processes / len(b) for b in main]
        if self.unlabeled is None:
            streams = [self._stream(self.labeled, main[first_step:])]
        else:
            assert self.n_lbl_batch is not None
            n_labeled = len(self.labeled)
            labeled = cycled_batches(n_labeled, self.n_lbl_batch, steps, (self.seed, epoch, 1))
            streams = [
                self._stream(self.labeled, labeled[first_step:]),
                self._stream(self.unlabeled, main[first_step:]),
            ]
        for step, parts in enumerate(zip(*streams, strict=True), start=first_step):
            x, y = parts[0]
            x_unlabeled = parts[1][0] if len(parts) > 1 else None
            yield Batch(x, y, x_unlabeled, epoch + step / steps), factors[step]

    def _share(self, batch: Index) -> Index:
        return batch[self.process :: self.n_processes]

    def _stream(self, examples: Examples, batches: list[Index]) -> Iterator[tuple[Tensor, Tensor]]:
        resident = self._superbatch_size(examples)
        group: list[Index] = []
        for i, batch in enumerate(batches):
            group.append(self._share(batch))
            full = sum(map(len, group)) + len(group[-1]) > resident
            if full or i == len(batches) - 1:
                taken = examples.take(np.concatenate(group))
                x, y = to_device(taken.x, self.device), to_device(taken.y, self.device)
                sizes = [len(part) for part in group]
                yield from zip(x.split(sizes), y.split(sizes), strict=True)
                group = []

    def _superbatch_size(self, examples: Examples) -> int:
        if self.n_superbatch is not None:
            return self.n_superbatch // self.n_processes
        if self.device.type == "cpu":
            return self.n_batch  # already in host memory: nothing to gain from copying ahead
        size = prod(examples.x.shape[1:]) * examples.x.dtype.itemsize
        return max(self.n_batch, SUPERBATCH_BYTES // size)
