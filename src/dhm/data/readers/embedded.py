"""Data sets that need no file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dhm.data.assemble import Parts


def read_digits(paths: Sequence[Path]) -> Parts:
    """The 1797 digits of scikit-learn, 8 x 8, their 17 grey levels spread over 0..255."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = np.rint(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Parts(x, labels)


def make_random(paths: Sequence[Path]) -> Parts:
    """Black and white noise whose two classes have nothing to do with it.

    Always the same noise. Nothing can be learnt from it: it serves to try things out fast.
    """
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (1200, 1, 8, 8), np.uint8) * np.uint8(255)
    y = np.arange(1200) % 2
    return Parts(x[:1000], y[:1000], x[1000:], y[1000:])
