"""Learning rates and weights as pure functions of how far training has come."""

from math import exp


def rampdown(epoch: float, n_epochs: int, length: int) -> float:
    """Factor of the learning rate: 1, then exp(-12.5 t^2) over the last `length` epochs.

    t rises from 0 to 1 over them.

    With length 50 this is the original's curve, exp(-(e/2)^2 / 50); other lengths stretch it.

    Example:
        >>> [round(rampdown(e, 200, 50), 4) for e in (0, 150, 175, 200)]
        [1.0, 1.0, 0.0439, 0.0]
    """
    start = n_epochs - length
    if epoch <= start:
        return 1.0
    return exp(-12.5 * ((epoch - start) / length) ** 2)
