"""The figures of a model on a set of examples."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dhm.data.dataset import Examples
from dhm.evaluation.metrics import error_rate, expected_calibration_error, nll
from dhm.inference.likelihood import log_likelihood
from dhm.inference.predict import predict_logits
from dhm.models.base import Model

if TYPE_CHECKING:
    from accelerate import Accelerator

METRICS = {"error": error_rate, "nll": nll, "ece": expected_calibration_error}


def evaluate(
    model: Model,
    examples: Examples,
    n_samples: int = 0,
    *,
    seed: int = 0,
    engine: "Accelerator | None" = None,
) -> dict[str, float | None]:
    """Error (a fraction), nll (nats), ECE, and with `n_samples` log p(x) (mean nats), of a model.

    `n_samples` importance samples estimate each log p(x), 1 gives the bound. What a model has not
    been trained for, log p(x) or the classifier's figures, is None. The draws come from `seed` and
    leave the global generator as it was. With several processes each computes its share, and all
    return the same figures.
    """
    rank, world = (engine.process_index, engine.num_processes) if engine else (0, 1)
    device = model.standardize.scale.device
    # A process without an example of its own repeats one, which `_gather` then leaves out.
    n = len(examples)
    part = examples.x if world == 1 else examples.take(np.arange(rank % n, n, world)).x
    result: dict[str, float | None] = dict.fromkeys(METRICS)
    if model.has_classifier:
        labels = torch.from_numpy(examples.y).to(device)
        logits = _gather(predict_logits(model, part), n, engine)
        result = {name: metric(logits, labels).item() for name, metric in METRICS.items()}
    if n_samples:
        result["log_likelihood"] = None
        if model.has_density:
            log_px = log_likelihood(model, part, n_samples, seed=seed).value
            result["log_likelihood"] = _gather(log_px, n, engine).mean().item()
    return result


def _gather(share: Tensor, n: int, engine: "Accelerator | None") -> Tensor:
    """The n rows of all processes, of which each has every so manieth, in their own order."""
    if engine is None or engine.num_processes == 1:
        return share
    rows = engine.gather(engine.pad_across_processes(share))
    by_process = rows.unflatten(0, (engine.num_processes, -1))
    return by_process.transpose(0, 1).flatten(0, 1)[:n]
