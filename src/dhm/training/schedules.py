"""Learning rates as pure functions of how far training has come."""

from collections.abc import Callable
from math import exp

SHAPES: dict[str, Callable[[float], float]] = {
    "gaussian": lambda t: exp(-12.5 * t**2),
    "linear": lambda t: 1 - t,
}
"""The factor of the learning rate while it falls, as t rises from 0 to 1."""


def rampdown(epoch: float, n_epochs: int, length: int, schedule: str = "gaussian") -> float:
    """Factor of the learning rate: 1, then falling over the last `length` epochs.

    Over 50 epochs "gaussian" is the curve of the original's explicit models, exp(-(e/2)^2 / 50);
    "linear" over the last third is that of its implicit model. Other lengths stretch them.

    Example:
        >>> [round(rampdown(e, 200, 50), 4) for e in (0, 150, 175, 200)]
        [1.0, 1.0, 0.0439, 0.0]
        >>> [rampdown(e, 900, 300, "linear") for e in (0, 600, 750)]
        [1.0, 1.0, 0.5]
    """
    start = n_epochs - length
    if epoch <= start:
        return 1.0
    return SHAPES[schedule]((epoch - start) / length)
