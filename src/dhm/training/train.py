"""One training run from options to summary."""

import shutil
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dhm.config import TrainConfig
from dhm.data import load
from dhm.data.dataset import UNLABELED, Dataset, Examples
from dhm.data.splits import hide_labels, labeled_subset, split_validation
from dhm.errors import ConfigError, RunError
from dhm.evaluation.evaluate import evaluate
from dhm.evaluation.pictures import learning_curves
from dhm.models.base import Model
from dhm.models.build import build_model, copy_weights, load_model
from dhm.training.engine import make_engine
from dhm.training.environment import hardware, versions
from dhm.training.feed import Feed
from dhm.training.pictures import picture_writer
from dhm.training.progress import Progress
from dhm.training.run_folder import RunFolder, free_name
from dhm.training.trainer import Trainer, TrainingState

if TYPE_CHECKING:
    from accelerate import Accelerator

TARGET_STEPS = 4000


@dataclass(frozen=True)
class TrainingData:
    """The parts of a data set as a run uses them."""

    labeled: Examples
    """What log p(y|x, z) is trained on."""
    unlabeled: Examples | None
    """Every training input, for the models that learn from unlabelled ones."""
    validation: Examples
    test: Examples


def train(
    config: TrainConfig, *, resume: bool = False, overwrite: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Train a model, write its run folder and return what `summary.json` holds.

    Arguments:
        config: the options.
        resume: go on with the run of this name from its last checkpoint.
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
    config = config.check().for_model()
    engine = make_engine(config.device, config.precision, str(config.run_dir))
    with engine.main_process_first():
        dataset = load(
            config.dataset,
            data_dir=config.data_dir,
            seed_data=config.seed_data,
            progress=progress and engine.is_main_process,
        )
    data = prepare(dataset, config)
    config = fill_in(config, data, engine.num_processes)
    from accelerate.utils import set_seed

    set_seed(config.seed)  # the same weights in every process
    model = build_model(config.model, config.network, dataset, config.own_options())
    if config.reload is not None:
        copy_weights(model, load_model(config.reload), config.reload)
    run = _open_run(config, engine, resume, overwrite)
    feed = Feed(
        data.labeled,
        data.unlabeled,
        _value(config.n_batch),
        config.n_lbl_batch,
        config.n_superbatch,
        config.seed,
        engine.device,
        engine.process_index,
        engine.num_processes,
    )
    show = Progress(progress and engine.is_main_process)
    pictures = picture_writer(run, data.validation, config.seed)
    trainer = Trainer(model, feed, data.validation, config, engine, run, pictures, show)
    set_seed(config.seed, device_specific=True)  # but noise of its own for each
    if resume:
        checkpoint = run.latest_checkpoint()
        if checkpoint is None:
            raise RunError(f"{run.path} has no checkpoint to resume from; use --overwrite")
        trainer.resume(checkpoint)
    _start_tensorboard(engine, run, trainer.state)
    trainer.fit()
    engine.end_training()
    engine.wait_for_everyone()
    best = load_model(run.weights).to(engine.device)
    summary = summarize(best, data, config, trainer.state, engine)
    if engine.is_main_process:
        title = f"{config.dataset}, {config.model}"
        learning_curves(trainer.state.history, run.path / "curves.png", title)
        run.write_summary(summary)
    engine.wait_for_everyone()
    return {"run": str(run.path), **summary}


def prepare(dataset: Dataset, config: TrainConfig) -> TrainingData:
    """Split off validation examples, then choose the labels that training may use."""
    training, validation = split_validation(dataset.train, config.val_size, config.seed_data)
    from dhm.models.registry import model_class

    if model_class(config.model).uses_unlabeled:
        if config.n_labeled is not None:
            training = hide_labels(training, config.n_labeled, config.seed_data)
        labeled = training.take((training.y != UNLABELED).nonzero()[0])
        return TrainingData(labeled, training, validation, dataset.test)
    if config.n_labeled is not None:
        labeled = labeled_subset(training, config.n_labeled, config.seed_data)
    elif (training.y == UNLABELED).any():
        labeled = training.take((training.y != UNLABELED).nonzero()[0])
    else:
        labeled = training
    return TrainingData(labeled, None, validation, dataset.test)


def fill_in(config: TrainConfig, data: TrainingData, n_processes: int) -> TrainConfig:
    """Give the options that depend on the number of examples their values, and check them."""
    n = len(data.labeled if data.unlabeled is None else data.unlabeled)
    n_batch = config.n_batch if config.n_batch is not None else min(128, n)
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
    epochs = config.epochs or min(100, max(10, ceil(TARGET_STEPS / steps)))
    rampdown = min(50, epochs // 2) if config.rampdown is None else config.rampdown
    if rampdown > epochs:
        raise ConfigError(f"--rampdown {rampdown} is longer than --epochs {epochs}")
    return replace(config, n_batch=n_batch, epochs=epochs, rampdown=rampdown)


def summarize(
    model: Model, data: TrainingData, config: TrainConfig, state: TrainingState, engine: Any
) -> dict[str, Any]:
    """The figures of a finished run; the only place where the test set is read."""
    evaluated = {"seed": config.seed, "engine": engine}
    validation = evaluate(model, data.validation, **evaluated)
    test = evaluate(model, data.test, config.n_eval_samples, **evaluated)
    n_train = len(data.labeled if data.unlabeled is None else data.unlabeled)
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


def _open_run(
    config: TrainConfig, engine: "Accelerator", resume: bool, overwrite: bool
) -> RunFolder:
    """The run's folder, made by the main process and known to all."""
    from accelerate.utils import broadcast_object_list

    run_dir = Path(config.run_dir)
    name = config.logname
    if name is None:
        stem = Path(config.dataset).stem or "data"
        name = free_name(run_dir, f"{stem}-{config.model}")
    (name,) = broadcast_object_list([name])
    run = RunFolder(run_dir / name)
    if engine.is_main_process and not resume:
        run.create(overwrite)
        run.write_config(config.to_dict())
    engine.wait_for_everyone()
    return run


def _start_tensorboard(engine: "Accelerator", run: RunFolder, state: TrainingState) -> None:
    if state.epoch == 0 and engine.is_main_process:
        shutil.rmtree(run.path / "tensorboard", ignore_errors=True)
    # Events of epochs after the checkpoint that training goes on from are purged.
    kwargs = {"tensorboard": {"purge_step": state.epoch + 1}}
    engine.project_configuration.logging_dir = str(run.path)
    engine.init_trackers("tensorboard", init_kwargs=kwargs)


def _value(n: int | None) -> int:
    assert n is not None, "fill_in sets it"
    return n
