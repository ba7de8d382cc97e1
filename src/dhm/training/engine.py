"""The Accelerate engine: device, precision and processes from the options of a run."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from dhm.errors import ConfigError, DHMError
from dhm.nn.device import check_device

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


def make_engine(device: str, precision: str) -> "Accelerator":
    """An `Accelerator` for the device asked for; raises `ConfigError` where it is not there."""
    if device != "auto":
        check_device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        # Imported once processes are joined, as it would be, it has their connection as a default
        # argument, and `end_processes` could not end that.
        import torch.distributed.nn  # noqa: F401
    engine = _accelerator(device, precision)
    if engine.num_processes < int(os.environ.get("WORLD_SIZE", 1)):
        # Without an accelerator to share, Accelerate joins processes only when told to use CPUs.
        engine = _accelerator("cpu", precision)
    if precision != "no" and not engine.native_amp:  # Accelerate would compute in float32
        raise ConfigError(f"--precision {precision} cannot be used on {engine.device.type}")
    return engine


def on_main(engine: "Accelerator", action: Callable[[], T]) -> T:
    """What an action of the main process returns, in all; its error is raised in all, too.

    Were it raised in one process only, the others would wait for that one for ever.
    """
    from accelerate.utils import broadcast_object_list

    outcome: list[object] = [None, None]
    if engine.is_main_process:
        try:
            outcome[0] = action()
        except DHMError as error:
            outcome[1] = error
    result, failure = broadcast_object_list(outcome)
    if failure is not None:
        raise failure
    return result


def end_processes() -> None:
    """End the connection between processes, after which each may leave when it wants to.

    Python can exit while a thread of gloo frees a tensor of the last exchange, and then aborts.
    That thread is joined when nothing holds the connection any more: call this when no model
    wrapped by an engine is in use, and after success alone, for the others may still be at work.
    """
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
        gc.collect()  # wrapped models are parts of cycles


@contextmanager
def engine_of_the_process() -> Iterator[None]:
    """After it, what Accelerate knows of the process is as it was, for an engine of the caller."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    states = (PartialState, AcceleratorState, GradientState)
    before = [dict(state._shared_state) for state in states]
    try:
        yield
    finally:
        for state, kept in zip(states, before, strict=True):
            state._shared_state.clear()
            state._shared_state.update(kept)


def _accelerator(device: str, precision: str) -> "Accelerator":
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState
    from accelerate.utils import ProjectConfiguration, patch_environment

    # Accelerate keeps one state a process; a second run in this process starts afresh.
    AcceleratorState._reset_state(reset_partial_state=True)
    chosen = {} if device in ("auto", "cpu") else {"ACCELERATE_TORCH_DEVICE": device}
    try:
        with patch_environment(**chosen):
            return Accelerator(
                cpu=device == "cpu",
                mixed_precision=precision,
                log_with="tensorboard",
                # The run's folder takes this place once it is made.
                project_config=ProjectConfiguration(logging_dir="."),
                kwargs_handlers=[
                    # A term of weight zero leaves its parameters without a gradient. Buffers, such
                    # as methods' tables of all examples, are too large to send with every step:
                    # they are kept alike, or made alike at the end of an epoch.
                    DistributedDataParallelKwargs(
                        find_unused_parameters=True, broadcast_buffers=False
                    )
                ],
            )
    except ValueError as error:  # a precision the device lacks
        raise ConfigError(f"--precision {precision}: {error}") from error
