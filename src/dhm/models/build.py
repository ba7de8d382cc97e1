"""Building a model for a data set, and keeping it: a file of weights that says how to build it."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dhm.config import TrainConfig
from dhm.data.checks import count_missing, value_range
from dhm.data.dataset import Dataset
from dhm.errors import ConfigError, DataError, RunError, one_line
from dhm.models.base import Model, ModelSpec, fit_standardization
from dhm.models.bounded import Bounded
from dhm.models.registry import model_class, options_before
from dhm.tensor_file import decoding, read_tensors, write_tensors

FORMAT = "dhm 1"


def build_model(name: str, network: str, data: Dataset, options: Mapping[str, Any]) -> Model:
    """An untrained model for the shape, type and classes of a data set.

    Raises `DataError` where the data is outside what the chosen p(x|z) covers.
    """
    options = dict(options)
    if options.get("likelihood") == "auto":
        options["likelihood"] = default_likelihood(data)
    dtype = str(data.train.x.dtype)
    spec = ModelSpec(name, network, data.shape, dtype, data.classes, options, data.features)
    model = model_from_spec(spec)
    check_domain(model, data)
    fit_standardization(model, data.train.x)
    return model


def default_likelihood(data: Dataset) -> str:
    """Bernoulli for grey images, discretised logistic for colour bytes, else Gaussian."""
    if len(data.shape) == 1:
        return "gaussian"
    if data.shape[0] == 1:
        return "bernoulli"
    return "discretized-logistic" if data.train.x.dtype == "uint8" else "gaussian"


def model_from_spec(spec: ModelSpec) -> Model:
    """An untrained model of the kind, sizes and options that the spec names."""
    model = model_class(spec.model)(spec)
    # Convolutions on a processor take less time in this layout.
    # Transposed ones, which are not `Conv2d`, take longer in it.
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            for parameter in layer.parameters():  # a normalised weight's lie deeper
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def save_model(model: Model, path: str | Path, estimator: Mapping[str, Any] | None = None) -> None:
    """Write weights and spec to one safetensors file, whole or not at all.

    With what an estimator that the model belongs to knows beside it, if there is one.
    """
    described = asdict(model.spec)
    if estimator is not None:
        described["estimator"] = dict(estimator)
    write_tensors(path, FORMAT, model.state_dict(), described)


def load_model(path: str | Path, device: str = "cpu") -> Model:
    """The model in a weights file, or in a run folder's `model.safetensors`, ready to evaluate.

    Raises `RunError` where there is none, or the file is damaged or not one of ours.
    """
    path = weights_file(path)
    if not os.path.isfile(path):
        raise RunError(f"no model at {path}: expected a run folder or a .safetensors file")
    with decoding(path):
        stored, tensors = read_tensors(path, FORMAT, "a model", device)
        stored.pop("estimator", None)
        stored |= {"shape": tuple(stored["shape"]), "classes": tuple(stored["classes"])}
        if stored.get("features") is not None:  # older files have none
            stored["features"] = tuple(stored["features"])
        # What an option that came later stands for leaves models as they were.
        name, network = stored["model"], stored["network"]
        usual = TrainConfig(model=name, network=network).for_model().own_options()
        stored["options"] = {**usual, **options_before(name, network), **stored["options"]}
        # Sizes in the header are anybody's; those of what is stored are there to be counted.
        with Bounded(max((tensor.numel() for tensor in tensors.values()), default=0)):
            model = model_from_spec(ModelSpec(**stored))
        model.load_state_dict(tensors)
    return model.to(device).eval()


def weights_file(path: str | Path) -> Path:
    """A weights file itself, or that of a run folder."""
    # Unlike Path.is_dir this takes a name that is too long for a folder.
    return Path(path, "model.safetensors") if os.path.isdir(path) else Path(path)


def check_domain(model: Model, data: Dataset) -> None:
    """Refuse data, of training or of test, that the model does not cover, with `DataError`."""
    domain, likelihood = model.data_domain(), model.spec.options.get("likelihood")
    what = f"--likelihood {likelihood}" if likelihood else f"--model {model.spec.model}"
    instead = " or choose --likelihood gaussian" if likelihood else ""
    for x in (data.train.x, data.test.x):
        if not model.learns_from_incomplete and (missing := count_missing(x)):
            raise DataError(
                f"--model {model.spec.model} compares whole inputs with generated ones, found "
                f"{missing} missing entries (NaN); fill them in, or choose --model semisup-hdgm"
            )
        if domain == "bytes" and x.dtype != "uint8":
            raise DataError(
                f"{what} needs 8-bit pixels, found {x.dtype}; store the images as uint8{instead}"
            )
        if domain == "unit" and x.dtype != "uint8":
            low, high = value_range(x)
            if low < 0 or high > 1:
                raise DataError(
                    f"{what} needs values in [0, 1], found {low:g} to {high:g}; rescale the data"
                    f"{instead}"
                )


def copy_weights(model: Model, source: Model, name: str) -> None:
    """Copy the weights of a trained model into another one of the same parts and sizes."""
    for what in ("dtype", "classes", "likelihood", "prior", "features"):
        theirs, ours = ((asdict(m.spec) | dict(m.spec.options)).get(what) for m in (source, model))
        unnamed = what == "features" and None in (theirs, ours)  # then columns go by position
        if theirs != ours and not unnamed:
            raise ConfigError(
                f"--reload {name} does not fit this model: its {what} is {theirs}, here {ours}"
            )
    try:
        model.load_state_dict(source.state_dict())
    except RuntimeError as error:
        # Of weights that do not fit, the first few tell what kind they are of.
        raise ConfigError(f"--reload {name} does not fit this model: {one_line(error)}") from error
