"""A detector in a file: safetensors with a header of JSON, nothing that could be executed."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from torch import Tensor

from dhm.errors import RunError
from dhm.inference.novelty.combination import COMBINATION, Combination, Marginal
from dhm.inference.novelty.registry import SCORES
from dhm.inference.novelty.score import Score
from dhm.models.base import Model
from dhm.tensor_file import decoding, read_tensors, write_tensors

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
    header = {"kinds": list(fitted), "weights": fingerprint(model)}
    write_tensors(path, FORMAT, tensors, header)


def read_detector(path: str | Path, model: Model) -> State:
    """The parts of a detector, on the model's device.

    Raises:
        RunError: there is no such file, it is damaged, or it belongs to other weights.
    """
    path = Path(path)
    if not path.is_file():
        raise RunError(f"no novelty detector at {path}: expected a file that `save` has written")
    with decoding(path, "; fit it anew"):
        device = str(model.standardize.scale.device)
        header, tensors = read_tensors(path, FORMAT, "a novelty detector", device)
        if header["weights"] != fingerprint(model):
            raise RunError(f"{path} belongs to another model; fit a detector for this one")
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
