"""Sums and rows over all processes, for what a method remembers; alone, its own."""

import torch
from torch import Tensor, distributed


def total(x: Tensor) -> Tensor:
    """The sum over processes of a tensor of the same shape in each."""
    if not _several():
        return x
    x = x.clone()
    distributed.all_reduce(x)
    return x


def gather_rows(x: Tensor) -> Tensor:
    """The rows of all processes, (N, ...), of which each may have another number."""
    if not _several():
        return x
    n_processes = distributed.get_world_size()
    sizes = [x.new_zeros(1, dtype=torch.int64) for _ in range(n_processes)]
    distributed.all_gather(sizes, x.new_tensor([len(x)], dtype=torch.int64))
    counts = [int(size) for size in sizes]
    # The tensors of a gather have one shape.
    padded = torch.cat([x, x.new_zeros(max(counts) - len(x), *x.shape[1:])])
    gathered = [torch.empty_like(padded) for _ in range(n_processes)]
    distributed.all_gather(gathered, padded)
    return torch.cat([rows[:count] for rows, count in zip(gathered, counts, strict=True)])


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
