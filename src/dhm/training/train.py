"""One training run from options to summary."""

import random
import shlex
import shutil
import sys
from contextlib import suppress
from dataclasses import fields, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from dhm.config import TrainConfig, parse_config, read_config
from dhm.consistency.build import regularize
from dhm.data import Dataset, load
from dhm.errors import ConfigError, RunError
from dhm.evaluation.evaluate import evaluate
from dhm.evaluation.pictures import learning_curves
from dhm.models.base import Model
from dhm.models.build import build_model, copy_weights, load_model
from dhm.models.registry import options_before
from dhm.nn.generators import seed_generators
from dhm.training.data import TrainingData, prepare
from dhm.training.engine import engine_of_the_process, make_engine, on_main
from dhm.training.environment import hardware, versions
from dhm.training.feed import Feed, epoch_size
from dhm.training.pictures import picture_writer
from dhm.training.progress import Progress
from dhm.training.recording import InFolder, Recorder
from dhm.training.run_folder import RunFolder, new_run, writing
from dhm.training.trainer import Trainer, TrainingState

if TYPE_CHECKING:
    from accelerate import Accelerator

TARGET_STEPS = 4000
FEW_VALIDATION, FEW_EPOCHS, FEW_NATS = 50, 10, 0.5
LABELED_BATCH = 1024
"""A labelled batch may be this large however few labels there are: each copy has its own noise."""

# What may change when a run goes on: how long and where, not what it computes.
FREE_ON_RESUME = {
    *("epochs", "patience", "logname", "run_dir", "data_dir", "device"),
    *("picture_every", "checkpoint_every"),
}

T = TypeVar("T")


@engine_of_the_process()
def train(
    config: TrainConfig, *, resume: bool = False, overwrite: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Train a model, write its run folder and return what `summary.json` holds.

    Arguments:
        config: the options.
        resume: go on with the run of this name from its last checkpoint, under its own options:
            those that are None are taken from it, and others than it had are refused, but for its
            length and its place.
        overwrite: replace the run of this name.
        progress: print a line an epoch (and a bar on a terminal) to standard error.

    Raises `ConfigError`, `DataError`, `DataNotFoundError`, `DownloadError` or `RunError`; options
    and data are checked before anything on disk is touched.

    Example:
        >>> import tempfile
        >>> from dhm.config import TrainConfig
        >>> config = TrainConfig(model="softmax", epochs=2, run_dir=tempfile.mkdtemp())
        >>> summary = train(config, progress=False)
        >>> 0 <= summary["test"]["error"] <= 1
        True
    """
    if not isinstance(config, TrainConfig):
        raise ConfigError(
            f"expected a TrainConfig, as that of dhm.load_recipe(NAME).config(), found "
            f"{type(config).__name__}"
        )
    config = config.check()
    if overwrite and (resume or config.logname is None):
        raise ConfigError("--overwrite needs --logname, and contradicts --resume")
    run = _find_run(config, resume, overwrite)
    if resume:
        config = _as_started(config, _value(run))
    config = config.for_model()
    engine = make_engine(config.device, config.precision)
    with engine.local_main_process_first():
        dataset = load(
            config.dataset,
            data_dir=config.data_dir,
            seed_data=config.seed_data,
            progress=progress and engine.is_main_process,
        )
    data = prepare(dataset, config.for_classes(len(dataset.classes)))
    config = fill_in(config, data, engine.num_processes)
    _seed(config.seed, engine.device)  # the same weights in every process
    # The scaling of inputs, too, is learnt from the examples that are trained on, and no others.
    seen = replace(dataset, train=data.main)
    model = build_model(config.model, config.network, seen, config.own_options())
    if config.reload is not None and not resume:
        copy_weights(model, load_model(config.reload), config.reload)
    if not resume:
        run = on_main(engine, lambda: _make_run(run, config, overwrite))
    assert run is not None
    if progress and not resume and engine.is_main_process:
        _advise(dataset, data, config)
    try:
        return _train(model, data, config, engine, run, resume, progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_how_to_resume(run)) from None
    finally:
        # Not `engine.end_training()`, which ends the connection that another run here would need.
        for tracker in engine.trackers:
            with suppress(OSError):  # on a full disk the error to show is the one under way
                tracker.finish()
        if engine.is_main_process:
            run.abandon_if_empty()


def _train(
    model: Model,
    data: TrainingData,
    config: TrainConfig,
    engine: "Accelerator",
    run: RunFolder,
    resume: bool,
    progress: bool,
) -> dict[str, Any]:
    assert data.validation is not None
    pictures = picture_writer(run, data.validation, config.seed)
    recorder = InFolder(run, engine, pictures, config.picture_every)
    fresh = not resume and config.reload is None
    trainer = make_trainer(model, data, config, engine, recorder, fresh=fresh, progress=progress)
    if resume:
        trainer.resume(_value(run.latest_checkpoint()))
        finished = run.read_summary()
        if trainer.finished and finished.get("steps") == trainer.state.step:
            return {"run": str(run.path), "finished_before": True, **finished}
        on_main(engine, lambda: run.write_config(config.to_dict()))  # it may go on for longer
    _start_tensorboard(engine, run, trainer.state)
    trainer.fit()
    engine.wait_for_everyone()
    best = load_model(run.weights).to(engine.device)
    summary = summarize(best, data, config, trainer.state, engine)
    if engine.is_main_process:
        title = f"{config.dataset}, {config.model}"
        learning_curves(trainer.state.history, run.path / "curves.png", title)
        run.write_summary(summary)
        if progress:
            _advise_of_collapse(trainer.state, config)
    engine.wait_for_everyone()
    return {"run": str(run.path), **summary}


def make_trainer(
    model: Model,
    data: TrainingData,
    config: TrainConfig,
    engine: "Accelerator",
    recorder: Recorder,
    *,
    fresh: bool,
    progress: bool,
) -> Trainer:
    """What trains a model as the options say, which `fill_in` has made whole.

    Arguments:
        model: the model, which is moved to the engine's device.
        data: what it is trained on.
        config: the options; their seed is set in all generators.
        engine: device, precision and processes.
        recorder: whom the loop tells what happens.
        fresh: whether the weights are new, and may be adapted to the data before the first step.
        progress: whether the main process shows any.
    """
    feed = Feed(
        data,
        _value(config.n_batch),
        config.n_lbl_batch,
        config.n_superbatch,
        config.seed,
        engine.device,
        engine.process_index,
        engine.num_processes,
    )
    show = Progress(progress and engine.is_main_process)
    if fresh:
        # Of the whole batch and before processes draw noise of their own: alike in all of them.
        first, _ = next(replace(feed, process=0, n_processes=1).epoch(0))
        model.to(engine.device).initialize(first)
    # After that: methods may keep a copy of the weights.
    objective = regularize(model, config, data.main, data.symmetric, data.class_counts)
    trainer = Trainer(objective, feed, config, engine, recorder, show)
    _seed(config.seed + engine.process_index, engine.device)  # but noise of its own for each
    return trainer


def _seed(seed: int, device: torch.device) -> None:
    random.seed(seed)
    np.random.seed(seed)
    seed_generators(seed, device)


def fill_in(config: TrainConfig, data: TrainingData, n_processes: int) -> TrainConfig:
    """Give the options that depend on the number of examples their values, and check them."""
    n = epoch_size(data.main)
    usual_batch = config.usual("n_batch")
    n_batch = config.n_batch if config.n_batch is not None else min(usual_batch, n)
    if n_batch > n:
        raise ConfigError(f"--n_batch {n_batch} is larger than the training set of {n} examples")
    if config.n_superbatch is not None and config.n_superbatch < n_batch:
        raise ConfigError(
            f"--n_superbatch {config.n_superbatch} is smaller than --n_batch {n_batch}"
        )
    steps = ceil(n / n_batch)
    if n // steps < n_processes:
        raise ConfigError(
            f"--n_batch {n_batch} leaves some of {n_processes} processes without work"
        )
    if config.n_lbl_batch is not None and config.n_lbl_batch < n_processes:
        raise ConfigError(
            f"--n_lbl_batch {config.n_lbl_batch} leaves some of {n_processes} processes without "
            f"work"
        )
    n_labels = epoch_size(data.labeled)
    most = max(n_labels, n_batch, LABELED_BATCH)
    if config.n_lbl_batch is not None and config.n_lbl_batch > most:
        raise ConfigError(
            f"--n_lbl_batch should be at most {most}, the largest of {n_labels} labels, --n_batch "
            f"and {LABELED_BATCH}, found {config.n_lbl_batch}: a step would hold copies of the "
            f"same labels over and over; choose a smaller one"
        )
    epochs = config.epochs or min(100, max(10, ceil(TARGET_STEPS / steps)))
    usual = _usual_rampdown(config, epochs)
    rampdown = usual if config.rampdown is None else config.rampdown
    if rampdown > epochs:
        raise ConfigError(f"--rampdown {rampdown} is longer than --epochs {epochs}")
    return replace(config, n_batch=n_batch, epochs=epochs, rampdown=rampdown)


def summarize(
    model: Model, data: TrainingData, config: TrainConfig, state: TrainingState, engine: Any
) -> dict[str, Any]:
    """The figures of a finished run; the only place where the test set is read."""
    assert data.validation is not None and data.test is not None
    evaluated = {"seed": config.seed, "engine": engine}
    validation = evaluate(model, data.validation, **evaluated)
    test = evaluate(model, data.test, config.n_eval_samples, **evaluated)
    n_train = len(data.main)
    examples = state.step * (n_train / ceil(n_train / _value(config.n_batch)))
    return {
        "dataset": config.dataset,
        "model": config.model,
        "network": config.network,
        "seed": config.seed,
        "seed_data": config.seed_data,
        "n_train": n_train,
        "n_labeled": len(data.labeled),
        "n_validation": len(data.validation),
        "n_test": len(data.test),
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "steps": state.step,
        "wall_seconds": round(state.wall_seconds, 3),
        "examples_per_second": round(examples / max(state.wall_seconds, 1e-9), 1),
        "validation": validation,
        "test": test,
        "n_eval_samples": config.n_eval_samples,
        "parameters": model.n_parameters(),
        "versions": versions(),
        "hardware": hardware(engine),
    }


def _find_run(config: TrainConfig, resume: bool, overwrite: bool) -> RunFolder | None:
    """The run that the options name, checked before data are read; None if it has no name yet."""
    if config.logname is None:
        if resume:
            raise ConfigError("--resume needs --logname: the name of the run to go on with")
        return None
    run = RunFolder(Path(config.run_dir) / config.logname)
    if not resume:
        run.check_free(overwrite)
    elif run.latest_checkpoint() is None:
        raise RunError(f"no checkpoint in {run.path} to resume from")
    return run


def _usual_rampdown(config: TrainConfig, epochs: int) -> int:
    return epochs // 3 if config.schedule == "linear" else min(50, epochs // 2)


def _as_started(config: TrainConfig, run: RunFolder) -> TrainConfig:
    """The options with the run's own where they say nothing; `ConfigError` where they differ."""
    options = read_config(run.config)
    started = parse_config(options)
    started = parse_config(options_before(started.model, started.network) | options)
    taken: dict[str, Any] = {}
    for f in fields(TrainConfig):
        ours, theirs = getattr(config, f.name), getattr(started, f.name)
        if ours is None:
            taken[f.name] = theirs
        elif ours != theirs and f.name not in FREE_ON_RESUME:
            # Other splits, above all, would train on what the run so far was validated on.
            how = "without" if theirs is None else f"with {theirs}"
            raise ConfigError(f"--{f.name} {ours}: the run {run.path} was started {how}")
    longer_or_shorter = config.epochs is not None and config.epochs != started.epochs
    if longer_or_shorter and started.rampdown == _usual_rampdown(started, started.epochs or 0):
        taken["rampdown"] = config.rampdown  # what was filled in for its old length is no choice
    return replace(config, **taken)


def _make_run(run: RunFolder | None, config: TrainConfig, overwrite: bool) -> RunFolder:
    if run is None:
        run = new_run(Path(config.run_dir), f"{Path(config.dataset).resolve().stem}-{config.model}")
    else:
        run.create(overwrite)
    try:
        run.write_config(config.to_dict())
    except RunError:
        run.abandon_if_empty()
        raise
    return run


def _advise(dataset: Dataset, data: TrainingData, config: TrainConfig) -> None:
    """Say what the user may not know of the examples."""
    n, held = int((~dataset.train.labeled).sum()), len(data.validation or ())
    if config.methods():  # made for those whose label is hidden, too
        n = len(dataset.train) - held - len(data.main)
    advice = []
    if n and data.unlabeled is None:
        advice.append(
            f"{n:,} examples without a label are left out; the semisup models (--model "
            f"semisup-hdgm) learn from them, too"
        )
    if config.keep == "best" and held < FEW_VALIDATION:
        advice.append(
            f"{held} validation examples choose the weights, too few to tell one epoch from "
            f"another; --keep last is safer, or a larger --val_size"
        )
    for text in advice:
        print(f"dhm: {text}", file=sys.stderr)


def _advise_of_collapse(state: TrainingState, config: TrainConfig) -> None:
    """Say so where p(x|z) came to leave z alone, which a figure of p(x) does not show."""
    kl = state.history[state.best_epoch - 1].get("train_kl")
    if state.epoch < FEW_EPOCHS or kl is None or kl >= FEW_NATS:
        return
    advice = ["more --epochs"]
    if not config.warmup:
        advice.insert(0, f"--warmup {state.epoch // 2}")
    if config.prior == "gaussian" and config.n_samples == 1:
        advice.insert(0, "--prior classes")
    print(
        f"dhm: z tells {kl:.2f} nats of x, so that samples and reconstructions are all much the "
        f"same; try {' or '.join(advice)}",
        file=sys.stderr,
    )


def _how_to_resume(run: RunFolder) -> str:
    if run.latest_checkpoint() is None:
        return "nothing was saved yet"
    words = ["dhm", "train", "--logname", run.path.name]
    if str(run.path.parent) != TrainConfig.run_dir:
        words += ["--run_dir", str(run.path.parent)]
    return f"go on with: {shlex.join([*words, '--resume'])}"


def _start_tensorboard(engine: "Accelerator", run: RunFolder, state: TrainingState) -> None:
    if state.epoch == 0 and engine.is_main_process:
        shutil.rmtree(run.path / "tensorboard", ignore_errors=True)
    # Events of epochs after the checkpoint that training goes on from are purged.
    kwargs = {"tensorboard": {"purge_step": state.epoch + 1}}
    engine.project_configuration.logging_dir = str(run.path)
    with writing(str(run.path)):
        engine.init_trackers("tensorboard", init_kwargs=kwargs)


def _value(value: T | None) -> T:
    assert value is not None, "checked before"
    return value
