"""Training that leaves nothing on disk, and the global random generators as they were."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from dhm.config import TrainConfig
from dhm.models.base import Model
from dhm.nn.generators import seeded
from dhm.training.data import TrainingData
from dhm.training.engine import engine_of_the_process, make_engine
from dhm.training.recording import InMemory, Row
from dhm.training.train import fill_in, make_trainer


class Outcome(NamedTuple):
    """What training leaves beside the weights."""

    history: list[Row]
    """A row for each epoch."""
    optimizers: dict[str, Any]
    """The optimisers' states, to go on with."""
    interrupted: bool
    """Whether Ctrl-C ended it early."""


@engine_of_the_process()
def train_in_memory(
    model: Model,
    data: TrainingData,
    config: TrainConfig,
    *,
    fresh: bool = True,
    optimizers: Mapping[str, Any] | None = None,
    on_epoch: Callable[[Row], bool] = lambda row: False,
    progress: bool = False,
) -> Outcome:
    """Train a model by the same loop as `dhm.train`, and leave the best weights in it.

    Draws come from the global generators, which `private_generators` keeps apart. After Ctrl-C the
    model holds the best weights of the epochs finished until then, if there is any.

    Arguments:
        model: the model; it is in evaluation mode and on the device of the options afterwards.
        data: what it is trained on; without validation examples the last weights are the best.
        config: options that `TrainConfig.for_model` made whole, as far as it can.
        fresh: whether the weights are new, and may be adapted to the data before the first step.
        optimizers: the states to go on with.
        on_epoch: called after each epoch with its figures; true ends training.
        progress: whether to print a line an epoch.

    Raises `ConfigError` for options that do not fit the data, `DivergedError`.
    """
    engine = make_engine(config.device, config.precision)
    config = fill_in(config, data, engine.num_processes)
    recorder = InMemory(on_epoch)
    trainer = make_trainer(model, data, config, engine, recorder, fresh=fresh, progress=progress)
    for name, state in (optimizers or {}).items():
        # A copy: the optimiser would write into the tensors of the states it is given.
        trainer.optimizers[name].optimizer.load_state_dict(copy.deepcopy(state))
    interrupted = False
    try:
        trainer.fit()
    except KeyboardInterrupt:
        interrupted = True
    if recorder.kept is not None:
        model.load_state_dict(recorder.kept)
    model.eval()
    states = {name: made.optimizer.state_dict() for name, made in trainer.optimizers.items()}
    return Outcome(recorder.history, states, interrupted)


@contextmanager
def private_generators(seed: int, device: torch.device) -> Iterator[None]:
    """Within it the generators of torch start from the seed; afterwards all are as before.

    One thread at a time is within.
    """
    with seeded(seed, device):
        python, numpy = random.getstate(), np.random.get_state()
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
