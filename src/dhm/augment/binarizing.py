"""Black and white images from grey ones: what `--binarize` shows in training."""

import torch
from torch import Tensor


def drawn_pixels(u: Tensor) -> Tensor:
    """Of grey levels in [0, 1], draws of 0 and 1 with these probabilities of 1; NaN stays NaN.

    Drawn by the default generator of the device, anew with each call: what a model learns is then
    a distribution of black and white images, of which each grey one stands for many.

    References:
        Salakhutdinov & Murray, On the quantitative analysis of deep belief networks, ICML 2008;
        Burda et al., Importance weighted autoencoders, ICLR 2016.

    Example:
        >>> drawn_pixels(torch.tensor([0.0, 1.0, torch.nan]))
        tensor([0., 1., nan])
    """
    return (torch.rand_like(u) < u).to(u.dtype).masked_fill(u.isnan(), torch.nan)
