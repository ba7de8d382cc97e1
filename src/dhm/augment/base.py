"""What every augmentation offers."""

from typing import Protocol

from torch import Tensor


class Augmentation(Protocol):
    """Random copies of network inputs (B, *shape): pixels in [0, 1], or standardised features.

    Draws come from torch's default generator of the inputs' device.
    """

    def weak(self, u: Tensor) -> Tensor:
        """Copies anyone would give the same label, nearly as likely as the inputs themselves."""

    def strong(self, u: Tensor) -> Tensor:
        """Copies that keep their label but look unlike the inputs."""


class NoAugmentation:
    """The inputs themselves, weak and strong."""

    def weak(self, u: Tensor) -> Tensor:
        """(B, *shape) -> the same tensor."""
        return u

    def strong(self, u: Tensor) -> Tensor:
        """(B, *shape) -> the same tensor."""
        return u
