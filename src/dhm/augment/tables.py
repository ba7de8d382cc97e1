"""Augmentation of vectors: noise, and features of other examples."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TableAugmentation:
    """Random copies of standardised features (B, D).

    References:
        Bahri et al., SCARF: self-supervised contrastive learning using random feature corruption,
        2022, for features replaced by draws of their empirical marginal.

    Example:
        >>> import torch
        >>> TableAugmentation().strong(torch.randn(5, 3)).shape
        torch.Size([5, 3])
    """

    weak_noise: float = 0.05
    """Weak: standard deviation of the noise, in units of network inputs: a feature's standard
    deviation, but the whole range where features are bytes or lie in [0, 1]."""
    strong_noise: float = 0.2
    """Strong: the same."""
    replaced: float = 0.2
    """Strong: share of the features that come from other rows of the batch."""

    def weak(self, u: Tensor) -> Tensor:
        """With a little Gaussian noise."""
        return u + self.weak_noise * torch.randn_like(u)

    def strong(self, u: Tensor) -> Tensor:
        """With features of other rows, each of its own, and more noise."""
        others = u.gather(0, torch.randint(len(u), u.shape, device=u.device))
        replaced = torch.rand_like(u) < self.replaced
        return torch.where(replaced, others, u) + self.strong_noise * torch.randn_like(u)
