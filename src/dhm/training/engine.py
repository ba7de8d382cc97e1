"""The Accelerate engine: device, precision and processes from the options of a run."""

import os
from typing import TYPE_CHECKING

import torch

from dhm.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator


def make_engine(device: str, precision: str, tensorboard_dir: str | None = None) -> "Accelerator":
    """An `Accelerator` for the device asked for; raises `ConfigError` where it is not there."""
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    if device != "auto":
        check_device(device)
    # Accelerate keeps one state a process; a second run in this process starts afresh.
    AcceleratorState._reset_state(reset_partial_state="RANK" not in os.environ)
    previous = os.environ.get("ACCELERATE_TORCH_DEVICE")
    if device not in ("auto", "cpu"):
        os.environ["ACCELERATE_TORCH_DEVICE"] = device
    try:
        return Accelerator(
            cpu=device == "cpu",
            mixed_precision=precision,
            log_with="tensorboard" if tensorboard_dir else None,
            project_dir=tensorboard_dir,
            # A term of weight zero leaves its parameters without a gradient.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
    except ValueError as error:  # a precision the device lacks
        raise ConfigError(f"--precision {precision}: {error}") from error
    finally:
        if previous is None:
            os.environ.pop("ACCELERATE_TORCH_DEVICE", None)
        else:
            os.environ["ACCELERATE_TORCH_DEVICE"] = previous


def check_device(name: str) -> torch.device:
    """The torch device of this name, if this machine has it; else `ConfigError`."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {name} cannot be used here: {reason}") from error
    return device
