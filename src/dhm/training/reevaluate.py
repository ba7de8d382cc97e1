"""The figures of a run that is already trained, on its own data or on other data like it."""

from dataclasses import replace
from functools import partial
from os.path import realpath
from pathlib import Path
from typing import Any

from dhm.config import TrainConfig, parse_config, read_config
from dhm.data import binarized, load, load_test
from dhm.errors import ConfigError, DataError
from dhm.evaluation.evaluate import evaluate
from dhm.models.base import Model
from dhm.models.build import check_domain, load_model
from dhm.nn.device import find_device
from dhm.training.data import TrainingData, prepare
from dhm.training.run_folder import RunFolder


def evaluate_run(
    run: str | Path,
    dataset: str | None = None,
    data_dir: str | None = None,
    n_eval_samples: int | None = None,
    *,
    device: str = "auto",
) -> dict[str, Any]:
    """Error, nll, ECE and log p(x) of a run's best weights on validation and test data.

    Of other data there are those of test data alone: its own test part, or, of a file or folder
    without one, all that has a label.

    Arguments:
        run: a run folder, or a weights file in one; a weights file elsewhere needs `dataset`.
        dataset: other data, of the same shape; the classes are the run's, or some of them. For a
            weights file elsewhere it is taken for data that the run has not seen.
        data_dir: folder to look for data in first.
        n_eval_samples: importance samples for log p(x), instead of the run's own number.
        device: where to compute: auto, cpu, cuda ...

    Raises `RunError` for a folder without a model, `DataError` for data that does not fit it,
    `ConfigError` for a device that is not there.

    Example:
        >>> import tempfile
        >>> from dhm import TrainConfig, train
        >>> config = TrainConfig(model="softmax", epochs=1, run_dir=tempfile.mkdtemp())
        >>> summary = train(config, progress=False)
        >>> evaluate_run(summary["run"])["test"] == summary["test"]
        True
    """
    model = load_model(run, str(find_device(device)))
    given = {"dataset": dataset, "data_dir": data_dir, "n_eval_samples": n_eval_samples}
    config, data = data_of_run(run, model, **given)
    assert data.test is not None
    figures: dict[str, Any] = {}
    if data.validation is not None:
        figures["validation"] = evaluate(model, data.validation, seed=config.seed)
    figures["test"] = evaluate(model, data.test, config.n_eval_samples, seed=config.seed)
    return {
        "dataset": config.dataset,
        "model": model.spec.model,
        "network": model.spec.network,
        "parameters": model.n_parameters(),
        "n_test": len(data.test),
        "n_eval_samples": config.n_eval_samples,
        **figures,
    }


def data_of_run(run: str | Path, model: Model, **given: Any) -> tuple[TrainConfig, TrainingData]:
    """The options of a run, and the data that they name, checked to be as its model takes it.

    Its parts are those that the run was trained, validated and tested on. Of another data set
    there is a test part alone, see `load_test`.

    Arguments:
        run: a run folder, or a weights file in one; a weights file elsewhere needs `dataset`.
        model: what was loaded from it.
        given: options that replace the run's own, unless they are None.

    Raises `DataError` for data that does not fit the model, `ConfigError` where none is named.
    """
    # A weights file in a run folder was trained with the splits that the folder's options say.
    options = RunFolder.of(run).config
    config = parse_config(read_config(options)) if options.is_file() else None
    if config is None and given.get("dataset") is None:
        raise ConfigError(f"{run} does not say what it was trained on: name a --dataset")
    asked = given.get("dataset")
    own = config is not None and (asked is None or realpath(asked) == realpath(config.dataset))
    config = config or parse_config({"model": model.spec.model, "network": model.spec.network})
    # What the weights were trained for stands in their file, wherever that lies.
    given = {**given, "binarize": model.spec.options.get("binarize")}
    config = replace(config, **{k: v for k, v in given.items() if v is not None})
    config = config.check().for_model()
    find = load if own else partial(load_test, classes=model.spec.classes)
    data = find(config.dataset, data_dir=config.data_dir, seed_data=config.seed_data)
    data = data.arranged(model.spec.features)
    found = (data.shape, str(data.train.x.dtype), data.classes)
    if found != (model.spec.shape, model.spec.dtype, model.spec.classes):
        raise DataError(
            f"{config.dataset} has {_described(*found)}; the model was trained on "
            f"{_described(model.spec.shape, model.spec.dtype, model.spec.classes)}"
        )
    check_domain(model, data)
    if own:
        return config, prepare(data, config.for_classes(len(data.classes)))
    test = binarized(data.test, config.seed_data) if config.binarize else data.test
    return config, TrainingData(test, None, None, test)


def _described(shape: tuple[int, ...], dtype: str, classes: tuple[str, ...]) -> str:
    names = ", ".join(classes[:10]) + (" ..." if len(classes) > 10 else "")
    return f"{dtype} examples of shape {shape} in {len(classes)} classes ({names})"
