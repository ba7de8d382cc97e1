"""A fitted estimator as safetensors with a header of JSON, and as bytes for pickle."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from dhm.errors import RunError
from dhm.inference.novelty.storage import FILE
from dhm.models.base import Model, ModelSpec
from dhm.models.build import load_model, model_from_spec, save_model
from dhm.tensor_file import read_header

FORMAT = "dhm estimator 1"
WEIGHTS, NOVELTY = "model.safetensors", FILE


def pack(model: Model) -> dict[str, Any]:
    """The model as plain data: what it is, and its weights as bytes of safetensors.

    Pickle cannot take the modules themselves, of which some are parametrised.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    return {"spec": asdict(model.spec), "weights": safetensors.torch.save(tensors)}


def unpack(packed: Mapping[str, Any]) -> Model:
    """The model of `pack`, on the CPU, ready to evaluate."""
    model = model_from_spec(ModelSpec(**packed["spec"]))
    model.load_state_dict(safetensors.torch.load(packed["weights"]))
    return model.eval()


def write(folder: str | Path, model: Model, facts: Mapping[str, Any]) -> None:
    """Write weights, and the facts in their header: one file, whole or not at all.

    Raises `RunError` where the folder is that of a run, or has a model that is no estimator's.
    """
    path = Path(folder) / WEIGHTS
    ours = path.is_file() and _facts(path) is not None
    if (Path(folder) / "config.yaml").exists() or (path.exists() and not ours):
        raise RunError(
            f"{folder} holds a training run or another model, which would be lost: save the "
            "estimator in a folder of its own"
        )
    save_model(model, path, {"format": FORMAT, **facts})


def read(folder: str | Path, device: str = "cpu") -> tuple[Model, dict[str, Any]]:
    """What `write` wrote; raises `RunError` where that is absent or damaged."""
    path = Path(folder) / WEIGHTS
    if not os.path.isfile(path):
        raise RunError(f"no estimator at {folder}: expected a folder with {WEIGHTS}")
    model, facts = load_model(path, device), _facts(path)
    if facts is None:
        raise RunError(f"{path} is a model, but not an estimator: use dhm.load_model")
    if facts.pop("format", None) != FORMAT:
        raise RunError(f"{path} is of another version: it lacks format {FORMAT!r}")
    return model, facts


def _facts(path: Path) -> dict[str, Any] | None:
    """The facts in the header of a file of weights; None where there are none."""
    try:
        facts = read_header(path).get("estimator")
    except RunError:
        return None
    return facts if isinstance(facts, dict) else None


def array_to_json(values: Any) -> dict[str, Any]:
    """An array of labels or names as JSON; its type is kept.

    Raises `RunError` for what JSON cannot hold.
    """
    values = np.asarray(values)
    if strange := [v for v in values.tolist() if not isinstance(v, str | int | float)]:
        raise RunError(
            f"labels of type {type(strange[0]).__name__} cannot be saved: expected numbers, text "
            "or truth values; fit to text"
        )
    return {"dtype": values.dtype.str, "values": values.tolist()}


def array_from_json(stored: Mapping[str, Any]) -> Any:
    """The array of `array_to_json`; raises `ValueError` or `TypeError` for anything else."""
    dtype = np.dtype(stored["dtype"])
    if dtype.kind not in "biufUO":
        raise ValueError(f"unexpected type {dtype}")
    # Text is as long as it is: the length in the type of a file is nothing to make room for.
    return np.array(stored["values"], np.str_ if dtype.kind == "U" else dtype)
