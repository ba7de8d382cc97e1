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
from dhm.training.data import TrainingData

Index = NDArray[np.intp]
SUPERBATCH_BYTES = 256 * 2**20
MAX_REPEATS = 10
"""How many times their number examples with weights are drawn in an epoch, at most."""


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


def epoch_size(examples: Examples) -> int:
    """How many examples are drawn in an epoch: each one once, or as often as the weights say.

    Their sum, if it is no smaller than the number of examples and at most ten times as large: a
    scale of the weights that leaves examples out of an epoch, or makes it endless, says nothing.
    """
    n = len(examples)
    if examples.weight is None:
        return n
    return int(np.clip(np.rint(examples.weight.sum()), n, MAX_REPEATS * n))


def drawn(examples: Examples, seed: tuple[int, ...]) -> Index:
    """Positions of the examples of one epoch, in order; each in proportion to its weight.

    By systematic sampling: an example is drawn as often as its share of the epoch says, rounded up
    or down by chance. Whole weights that add up to the epoch are met exactly, so that a weight of 2
    is the same as the example given twice.

    Example:
        >>> from dhm.data import Examples
        >>> weighted = Examples(np.zeros((3, 1)), np.array([0, 1, 1]), np.array([1.0, 3.0, 1.0]))
        >>> drawn(weighted, (0,))
        array([0, 1, 1, 1, 2])
    """
    n = epoch_size(examples)
    if examples.weight is None:
        return np.arange(n)
    upto = np.cumsum(examples.weight)
    points = (np.arange(n) + np.random.default_rng(seed).random()) * (upto[-1] / n)
    return np.searchsorted(upto, points, side="right").clip(max=len(examples) - 1)


@dataclass(frozen=True)
class Feed:
    """Batches of one epoch after another; each process gets its share of every batch.

    A superbatch is the part of the epoch that is resident on the device at a time.
    """

    data: TrainingData
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
        return epoch_size(self.data.main)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Batch, float]]:
        """Batches from a step on, each with the factor of its loss before processes are averaged.

        Shares of a batch differ by at most one example; the factor makes the mean over processes
        that over the batch. (Where `n_lbl_batch` does not divide by the processes, a labelled
        example of a larger share weighs that little less.)
        """
        main = epoch_batches(self.n_main, self.n_batch, (self.seed, epoch))
        steps = len(main)
        factors = [len(self._share(b)) * self.n_processes / len(b) for b in main]
        rows = self._rows(self.data.main, epoch, main)
        streams = [self._stream(self.data.main, rows[first_step:])]
        if self.data.unlabeled is not None:
            assert self.n_lbl_batch is not None
            n_labeled = epoch_size(self.data.labeled)
            labeled = cycled_batches(n_labeled, self.n_lbl_batch, steps, (self.seed, epoch, 1))
            rows = self._rows(self.data.labeled, epoch, labeled)
            streams.insert(0, self._stream(self.data.labeled, rows[first_step:]))
        for step, parts in enumerate(zip(*streams, strict=True), start=first_step):
            x, y, _ = parts[0]
            x_unlabeled = parts[1][0] if len(parts) > 1 else None
            yield Batch(x, y, x_unlabeled, epoch + step / steps, parts[-1][2]), factors[step]

    def _rows(self, examples: Examples, epoch: int, batches: list[Index]) -> list[Index]:
        """Batches of draws as batches of positions: the same, where no example has a weight."""
        if examples.weight is None:
            return batches
        rows = drawn(examples, (self.seed, epoch, 2))
        return [rows[batch] for batch in batches]

    def _share(self, batch: Index) -> Index:
        return batch[self.process :: self.n_processes]

    def _stream(
        self, examples: Examples, batches: list[Index]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """This process's share of each batch: inputs, labels and positions."""
        shares = [self._share(batch) for batch in batches]
        at_a_time = max(1, self._superbatch_size(examples) // max(map(len, shares), default=1))
        for start in range(0, len(shares), at_a_time):
            group = shares[start : start + at_a_time]
            index = np.concatenate(group)
            taken = examples.take(index)
            resident = [to_device(part, self.device) for part in (taken.x, taken.y, index)]
            sizes = [len(share) for share in group]
            x, y, positions = (part.split(sizes) for part in resident)
            yield from zip(x, y, positions, strict=True)

    def _superbatch_size(self, examples: Examples) -> int:
        if self.n_superbatch is not None:
            return self.n_superbatch // self.n_processes
        if self.device.type == "cpu":
            return 0  # already in host memory: nothing to gain from more than a batch at a time
        size = prod(examples.x.shape[1:]) * examples.x.dtype.itemsize
        return SUPERBATCH_BYTES // size
