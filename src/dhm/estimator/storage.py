"""A fitted estimator as a folder of safetensors and JSON, and as bytes for pickle."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from dhm.errors import RunError
from dhm.files import replacing
from dhm.models.base import Model, ModelSpec
from dhm.models.build import load_model, model_from_spec, save_model

FORMAT = "dhm estimator 1"
WEIGHTS, FACTS, NOVELTY = "model.safetensors", "estimator.json", "novelty.safetensors"


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
    """Write weights and facts; each file whole or not at all."""
    folder = Path(folder)
    save_model(model, folder / WEIGHTS)
    with replacing(folder / FACTS) as temporary:
        text = json.dumps({"format": FORMAT, **facts}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")


def read(folder: str | Path, device: str = "cpu") -> tuple[Model, dict[str, Any]]:
    """What `write` wrote; raises `RunError` where that is absent or damaged."""
    path = Path(folder) / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"no estimator at {folder}: expected a folder with {FACTS}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}") from error
    if not isinstance(facts, dict) or facts.pop("format", None) != FORMAT:
        raise RunError(f"{path} is not an estimator of dhm: it lacks format {FORMAT!r}")
    return load_model(folder, device), facts


def array_to_json(values: Any) -> dict[str, Any]:
    """An array of labels or names as JSON; its type is kept."""
    values = np.asarray(values)
    return {"dtype": values.dtype.str, "values": values.tolist()}


def array_from_json(stored: Mapping[str, Any]) -> Any:
    """The array of `array_to_json`; raises `ValueError` or `TypeError` for anything else."""
    dtype = np.dtype(stored["dtype"])
    if dtype.kind not in "biufUO":
        raise ValueError(f"unexpected type {dtype}")
    return np.array(stored["values"], dtype)
