"""Which entries of an input to hide: what `--hide` trains models to do without."""

import torch
from torch import Tensor


def random_holes(shape: torch.Size, most: float, device: torch.device) -> Tensor:
    """Of half of the examples a random share of the entries, uniform up to `most`; True is hidden.

    The other half stays whole, lest a classifier forgets what whole examples look like. Of images
    pixels are hidden, all channels together: of as many images scattered ones as those in a
    rectangle, which along each axis lies at a border half of the time, so that strips, halves and
    corners are among the holes. Of vectors scattered features.

    Arguments:
        shape: (B, C, H, W) or (B, D).
        most: in [0, 1].
        device: where the draws are made, by its default generator.

    Returns:
        (B, 1, H, W) or (B, D), booleans.

    Example:
        >>> random_holes(torch.Size((2, 3, 8, 8)), 0.5, torch.device("cpu")).shape
        torch.Size([2, 1, 8, 8])
    """
    n, *event = shape
    share = most * torch.rand(n, 1, device=device) * (torch.rand(n, 1, device=device) < 0.5)
    if len(event) == 1:
        return torch.rand(n, *event, device=device) < share
    _, height, width = event
    scattered = torch.rand(n, height, width, device=device) < share[:, :, None]
    # Sides whose product is the share: from a strip as wide as the image to one as high.
    narrow = torch.rand(n, 1, device=device)
    rows = _interval(height, share**narrow)
    columns = _interval(width, share ** (1 - narrow))
    rectangle = rows[:, :, None] & columns[:, None, :]
    coins = torch.rand(n, 1, 1, device=device) < 0.5
    return torch.where(coins, scattered, rectangle)[:, None]


def _interval(size: int, share: Tensor) -> Tensor:
    """Which of `size` places lie in an interval of this share of them, (B, 1) -> (B, size)."""
    start = (2 * torch.rand_like(share) - 0.5).clamp(0, 1) * (1 - share)
    places = (torch.arange(size, device=share.device) + 0.5) / size
    return (start <= places) & (places < start + share)
