"""The device that computes, and moving data to it from the host."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dhm.errors import ConfigError, one_line


def to_device(x: Any, device: torch.device) -> Tensor:
    """Rows of an array, memory map or scipy CSR matrix as a dense tensor, type kept."""
    dense = x.toarray() if hasattr(x, "toarray") else np.ascontiguousarray(x)
    if not dense.flags.writeable:  # torch has no read-only tensors: rows of a memory map are copied
        dense = dense.copy()
    return torch.from_numpy(dense).to(device, non_blocking=True)


def find_device(name: str) -> torch.device:
    """The device of this name; "auto" is an accelerator if there is one, else the CPU.

    Raises `ConfigError` where this machine does not have it.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
    """
    if name != "auto":
        return check_device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def check_device(name: str) -> torch.device:
    """The torch device of this name, if this machine has it; else `ConfigError`."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = one_line(error)
        raise ConfigError(f"--device {name} cannot be used here: {reason}") from error
    return device
