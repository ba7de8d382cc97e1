"""Moving data from the host to the device that computes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_device(x: Any, device: torch.device) -> Tensor:
    """Rows of an array, memory map or scipy CSR matrix as a dense tensor, type kept."""
    dense = x.toarray() if hasattr(x, "toarray") else np.ascontiguousarray(x)
    if not dense.flags.writeable:  # torch has no read-only tensors: rows of a memory map are copied
        dense = dense.copy()
    return torch.from_numpy(dense).to(device, non_blocking=True)
