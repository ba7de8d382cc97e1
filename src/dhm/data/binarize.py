"""One black and white image from each grey one: what `--binarize` validates and tests on."""

from dataclasses import replace

import numpy as np

from dhm.data.dataset import Examples
from dhm.errors import ConfigError

CHUNK = 1000
"""Images at a time, so that the numbers drawn do not take more memory than the images."""


def binarized(examples: Examples, seed: int) -> Examples:
    """The images with each pixel drawn once, white with its grey level as probability.

    A fixed draw for a seed, of the same shape and type: bytes are then 0 or 255, floats 0 or 1, and
    NaN, a missing pixel, stays NaN. Images that are black and white already stay as they are. The
    copy is in memory, also of memory-mapped images.

    References:
        Salakhutdinov & Murray, On the quantitative analysis of deep belief networks, ICML 2008.

    Arguments:
        examples: images, bytes or floats in [0, 1].
        seed: of the draws.

    Raises `ConfigError` for vectors.

    Example:
        >>> grey = Examples(np.full((2, 1, 2, 2), 0.5, np.float32), np.zeros(2, np.int64))
        >>> binarized(grey, seed=0).x.ravel()
        array([0., 0., 0., 1., 1., 1., 1., 1.], dtype=float32)
    """
    if len(examples.x.shape) != 4:
        raise ConfigError(
            f"--binarize draws the pixels of images, found vectors of shape "
            f"{tuple(examples.x.shape[1:])}: leave it out"
        )
    rng = np.random.default_rng(seed)
    x = np.empty(examples.x.shape, examples.x.dtype)
    white = 255 if x.dtype == np.uint8 else 1
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        grey = np.asarray(examples.x[part])
        drawn = white * (white * rng.random(grey.shape, np.float32) < grey)
        x[part] = np.where(np.isnan(grey), grey, drawn)
    return replace(examples, x=x)
