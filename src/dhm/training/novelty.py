"""The novelty detector of a run that is already trained."""

import sys
from contextlib import suppress
from pathlib import Path

from dhm.errors import ConfigError, RunError
from dhm.evaluation.reevaluate import data_of_run
from dhm.inference.novelty import NoveltyDetector
from dhm.models.base import Model
from dhm.training.train import prepare

FILE = "novelty.safetensors"
"""Where in a run folder it is kept."""
ENOUGH = 500
"""Validation examples; where there are fewer, and unlabelled ones, these are used instead."""


def run_detector(
    run: str | Path,
    model: Model,
    data_dir: str | Path | None = None,
    *,
    progress: bool = False,
) -> NoveltyDetector:
    """The detector of a run: the one in its folder, else fitted to its data and kept there.

    It is calibrated on the run's validation examples. With few labels these are few, too: a run
    with less than 500 of them and with unlabelled examples is calibrated on some of the latter,
    which the model has seen, but without their labels.

    Arguments:
        run: a run folder, or a weights file in one.
        model: the weights of that run.
        data_dir: folder to look for the run's data in first.
        progress: say on standard error that one is fitted.

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
    folder = Path(run) if Path(run).is_dir() else Path(run).parent
    # One that is damaged, or of weights that training has left behind, is replaced.
    with suppress(RunError):
        return NoveltyDetector.load(folder / FILE, model)
    try:
        config, dataset = data_of_run(run, model, data_dir=data_dir)
    except ConfigError as error:
        raise RunError(
            f"{run} has no {FILE}, and does not say what data to fit one to: {error}"
        ) from error
    if progress:
        print("dhm: fitting the novelty detector to the run's data, once", file=sys.stderr)
    data = prepare(dataset, config.for_model().for_classes(len(dataset.classes)))
    assert data.validation is not None, "split off by prepare"
    train, held_out = data.unlabeled or data.labeled, data.validation.x
    if len(data.validation) < ENOUGH and not train.labeled.all():
        held_out = None
    detector = NoveltyDetector.fit(model, train.x, train.y, held_out, seed=config.seed)
    # In a folder of somebody else's it cannot be kept, which only costs the time again.
    with suppress(RunError):
        detector.save(folder / FILE)
    return detector
