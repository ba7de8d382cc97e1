"""Which training examples are kept to judge what is novel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dhm.data import Examples
from dhm.estimator.inputs import stacked

SIZE = 5000
"""Examples that are kept at most."""


@dataclass(frozen=True, eq=False)
class Memory:
    """A sample of all examples that were added: each is in it with the same probability.

    Every example gets a random number when added, and those with the smallest stay.

    References:
        Efraimidis & Spirakis, Weighted random sampling with a reservoir, Information Processing
        Letters 2006, here with equal weights.

    Example:
        >>> memory = Memory()
        >>> for call in range(3):
        ...     memory = memory.add(Examples(np.full((4000, 1), call), np.zeros(4000, int)), 0)
        >>> len(memory.examples), np.bincount(memory.examples.x[:, 0]).round(-2).tolist()
        (5000, [1700, 1700, 1700])
    """

    examples: Examples | None = None
    """None before the first are added."""
    keys: NDArray[np.float64] | None = None
    """(M,) their numbers."""
    n_added: int = 0
    """How many were added in all."""

    def add(self, examples: Examples, seed: int) -> "Memory":
        """With more examples; which are kept depends on the seeds and the numbers of examples."""
        # The seed of one call after another may be the same: with how many came before it is not.
        keys = np.random.default_rng((seed, self.n_added)).random(len(examples))
        kept = np.sort(np.argsort(keys, kind="stable")[:SIZE])
        new, keys = examples.take(kept), keys[kept]
        if self.examples is not None and self.keys is not None:
            both = Examples(stacked(self.examples.x, new.x), np.append(self.examples.y, new.y))
            keys = np.append(self.keys, keys)
            kept = np.sort(np.argsort(keys, kind="stable")[:SIZE])
            new, keys = both.take(kept), keys[kept]
        return Memory(Examples(new.x, new.y), keys, self.n_added + len(examples))
