"""A detector in a file: safetensors with a header of JSON, nothing that could be executed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dhm.errors import RunError, one_line
from dhm.files import replacing
from dhm.inference.novelty.combination import COMBINATION, Combination, Marginal
from dhm.inference.novelty.registry import SCORES
from dhm.inference.novelty.score import Score
from dhm.models.base import Model

FORMAT = "dhm novelty 1"
FILE = "novelty.safetensors"
"""What a detector is called beside the weights that it is for."""

State = tuple[dict[str, Score], Combination, dict[str, Tensor]]


def write_detector(
    path: str | Path,
    model: Model,
    fitted: Mapping[str, Score],
    combination: Combination,
    calibration: Mapping[str, Tensor],
) -> None:
    """Write the parts of a detector, whole or not at all, by names as PART/KIND."""
    tensors = {f"calibration/{kind}": scores for kind, scores in calibration.items()}
    for kind, marginal in combination.marginals.items():
        tensors[f"marginal/{kind}"] = marginal.values
    for kind, score in fitted.items():
        for field in fields(score):
            tensors[f"score/{kind}/{field.name}"] = getattr(score, field.name)
    header = {"format": FORMAT, "kinds": list(fitted), "weights": fingerprint(model)}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={"dhm": json.dumps(header)})


def read_detector(path: str | Path, model: Model) -> State:
    """The parts of a detector, on the model's device.

    Raises:
        RunError: there is no such file, it is damaged, or it belongs to other weights.
    """
    path = Path(path)
    if not path.is_file():
        raise RunError(f"no novelty detector at {path}: expected a file that `save` has written")
    try:
        device = str(model.standardize.scale.device)
        with safe_open(path, framework="pt", device=device) as file:
            header = json.loads((file.metadata() or {}).get("dhm", "{}"))
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise RunError(
                    f"{path} is not a novelty detector of dhm: its header lacks format {FORMAT!r}"
                )
            if header["weights"] != fingerprint(model):
                raise RunError(f"{path} belongs to another model; fit a detector for this one")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        fitted = {
            kind: SCORES[kind](
                **{
                    field.name: tensors[f"score/{kind}/{field.name}"]
                    for field in fields(SCORES[kind])
                }
            )
            for kind in header["kinds"]
        }
        unmet = [kind for kind, score in fitted.items() if not score.requires.met(model)]
        if unmet:
            raise ValueError(f"{unmet[0]} is not for this model")
        marginals = {
            kind: Marginal(_ranked(tensors, f"marginal/{kind}"), score.two_sided)
            for kind, score in fitted.items()
            if score.combined
        }
        if not marginals:
            raise ValueError("it has no score to combine")
        calibration = {
            kind: _ranked(tensors, f"calibration/{kind}") for kind in (COMBINATION, *fitted)
        }
    except RunError:
        raise
    # A damaged header or one of another version: anything may be missing or of another type.
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, RuntimeError) as error:
        reason = one_line(error)
        raise RunError(
            f"{path} is damaged or of another version ({reason}); fit it anew"
        ) from error
    return fitted, Combination(marginals), calibration


def _ranked(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Scores (M,), M > 0, in ascending order, as ranks are looked up in them."""
    scores = tensors[name]
    if scores.dim() != 1 or not len(scores) or not (scores[1:] >= scores[:-1]).all():
        raise ValueError(f"{name} holds no scores in ascending order")
    return scores


def fingerprint(model: Model) -> str:
    """A digest of the weights: a detector of other weights would be wrong without a sign of it."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()
