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


class Past(NamedTuple):
    """What training goes on from, beside the weights."""

    epochs: int
    """How many were trained: ramps do not begin again."""
    optimizers: Mapping[str, Any] = {}
    """Their states, by player."""
    methods: Mapping[str, Any] = {}
    """The states of consistency methods, but of those that are of the examples trained on."""


class Outcome(NamedTuple):
    """What training leaves beside the weights."""

    history: list[Row]
    """A row for each epoch."""
    past: Past
    """To go on from."""
    interrupted: bool
    """Whether Ctrl-C ended it early."""


@engine_of_the_process()
def train_in_memory(
    model: Model,
    data: TrainingData,
    config: TrainConfig,
    *,
    fresh: bool = True,
    past: Past | None = None,
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
        past: what to go on from; the options' epochs count those in it.
        on_epoch: called after each epoch with its figures; true ends training.
        progress: whether to print a line an epoch.

    Raises `ConfigError` for options that do not fit the data, `DivergedError`.
    """
    engine = make_engine(config.device, config.precision)
    config = fill_in(config, data, engine.num_processes)
    recorder = InMemory(on_epoch)
    trainer = make_trainer(model, data, config, engine, recorder, fresh=fresh, progress=progress)
    methods = trainer.objective.methods
    if past is not None:
        trainer.state.epoch = past.epochs
        for name, state in past.optimizers.items():
            # A copy: the optimiser would write into the tensors of the states it is given.
            trainer.optimizers[name].optimizer.load_state_dict(copy.deepcopy(state))
        for name in past.methods.keys() & methods.keys():
            methods[name].load_state_dict(past.methods[name])
    interrupted = False
    try:
        trainer.fit()
    except KeyboardInterrupt:
        interrupted = True
    if recorder.kept is not None:
        model.load_state_dict(recorder.kept)
    model.eval()
    past = Past(
        trainer.state.epoch,
        {name: made.optimizer.state_dict() for name, made in trainer.optimizers.items()},
        {n: method.state_dict() for n, method in methods.items() if not method.of_examples},
    )
    return Outcome(recorder.history, past, interrupted)


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
