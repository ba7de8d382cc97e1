"""The novelty detector of a run that is already trained."""

import sys
from contextlib import suppress
from pathlib import Path

from dhm.data.binarize import binarized
from dhm.errors import ConfigError, RunError
from dhm.inference.novelty import FILE, NoveltyDetector
from dhm.models.base import Model
from dhm.training.reevaluate import data_of_run
from dhm.training.run_folder import RunFolder

ENOUGH = 500
"""Validation examples; where there are fewer, and unlabelled ones, these are used instead."""


def kept_detector(run: str | Path, model: Model) -> NoveltyDetector:
    """The detector that is kept in a run folder, or beside a weights file.

    Raises `RunError` where there is none, or one that is damaged or of other weights.
    """
    path = RunFolder.of(run).path / FILE
    if not path.is_file():
        raise RunError(f"there is no {path}; `dhm score` makes it")
    return NoveltyDetector.load(path, model)


def run_detector(
    run: str | Path,
    model: Model,
    data_dir: str | Path | None = None,
    *,
    progress: bool = False,
) -> NoveltyDetector:
    """The detector of a run: the one in its folder, else fitted to its data and kept there.

    One that is damaged, or of weights that training has left behind, is replaced. It is kept for
    the run's best weights only: for others, as its last, it is fitted each time.

    It is calibrated on the run's validation examples. With few labels these are few, too: a run
    with less than 500 of them and with unlabelled examples is calibrated on some of the latter,
    which the model has seen, but without their labels.

    Arguments:
        run: a run folder, or a weights file in one.
        model: the weights of that run.
        data_dir: folder to look for the run's data in first.
        progress: say on standard error that one is fitted, and why.

    Raises:
        RunError: the weights lie outside a run folder, and no detector lies beside them.
        DataError: too few examples to calibrate on, or the data is not what the run was trained on.

    Example:
        >>> import dhm, tempfile
        >>> config = dhm.TrainConfig(model="softmax", epochs=1, run_dir=tempfile.mkdtemp())
        >>> run = dhm.train(config, progress=False)["run"]
        >>> detector = run_detector(run, dhm.load_model(run))
        >>> Path(run, FILE).exists()
        True
    """
    folder = RunFolder.of(run)
    path = folder.path / FILE
    try:
        return kept_detector(run, model)
    except RunError as error:
        reason = str(error) if path.is_file() else f"there is no {path}"
    try:
        config, data = data_of_run(run, model, data_dir=data_dir)
    except ConfigError as error:
        raise RunError(f"{reason}; {run} does not say what data to fit one to: {error}") from error
    if progress:
        if path.is_file():
            print(f"dhm: {reason}", file=sys.stderr)
        print("dhm: fitting the novelty detector to the run's data", file=sys.stderr)
    assert data.validation is not None, "split off by prepare"
    train, held_out = data.main, data.validation.x
    if config.binarize:
        train = binarized(train, config.seed_data)
    if len(data.validation) < ENOUGH and not train.labeled.all():
        held_out = None
        if progress:
            print(
                f"dhm: calibrated on unlabelled examples, which the model has seen, as "
                f"{len(data.validation)} for validation are few: p-values of new inputs are a "
                "little too small",
                file=sys.stderr,
            )
    detector = NoveltyDetector.fit(model, train.x, train.y, held_out, seed=config.seed)
    if Path(run).is_dir() or Path(run) == folder.weights:
        # In a folder of somebody else's it cannot be kept, which only costs the time again.
        with suppress(RunError):
            detector.save(path)
    return detector
