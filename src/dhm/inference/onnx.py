"""A trained model as an ONNX file, which other programs and languages run without torch."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dhm.errors import ExportError, one_line
from dhm.extras import require
from dhm.files import replacing
from dhm.inference.abilities import require_classifier, require_encoder
from dhm.models.base import Model

TOLERANCE = 1e-3
"""How far an output may be off, absolutely and relatively: far more than rounding makes."""


class _Function(nn.Module):
    """One question to a model, as a module of its own."""

    def __init__(self, model: Model, ask: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.ask = model, ask

    def forward(self, x: Tensor) -> Tensor:
        return self.ask(x)


def export_onnx(model: Model, path: str | Path, *, encoder: bool = False) -> None:
    """Write p(y|x), or the encoder's z, as a function of stored inputs to an ONNX file.

    The input `x` is (batch, *shape) of any number of examples, uint8 or float32 as the model takes
    them; scaling is in the file. The output is `probabilities` (batch, K), or `z` (batch,
    n_latent), the mean of q(z|x). The classes and all else of the model's spec are JSON in the
    file's metadata, under `dhm`.

    The file is run by onnxruntime and compared with the model before it takes its name.

    Arguments:
        model: the trained model.
        path: the file.
        encoder: write z instead of p(y|x).

    Raises:
        UnsupportedError: the model has no trained encoder, or no trained classifier.
        ExportError: it cannot be written in ONNX, or the file computes something else.
        MissingDependencyError: onnx, onnxscript or onnxruntime is not installed.
        RunError: the file cannot be written.
    """
    function = _Function(model, _question(model, encoder))
    onnx, _, runtime = (
        require(name, "onnx", "writing ONNX") for name in ("onnx", "onnxscript", "onnxruntime")
    )
    was_training = model.training
    model.eval()
    examples = _examples(model, 5)
    name = "z" if encoder else "probabilities"
    try:
        with replacing(path) as temporary:
            with _quiet():
                program = _translated(function, examples[:2], name)
                program.save(str(temporary), external_data=False)
            _describe(onnx, temporary, model)
            _compare(runtime, temporary, function, examples)
    finally:
        model.train(was_training)


def _question(model: Model, encoder: bool) -> Callable[[Tensor], Tensor]:
    if encoder:
        return require_encoder(model).encode
    classifier = require_classifier(model)
    return lambda x: classifier.logits(x).softmax(1)


def _examples(model: Model, n: int) -> Tensor:
    """Inputs of the kind the model takes: any bytes, or normal numbers of the training's scale."""
    rng = np.random.default_rng(0)
    shape = (n, *model.spec.shape)
    device = model.standardize.scale.device
    if model.spec.dtype == "uint8":
        return torch.from_numpy(rng.integers(0, 256, shape).astype(np.uint8)).to(device)
    normal = torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).to(device)
    return model.standardize.inverse(normal)


def _translated(function: nn.Module, examples: Tensor, name: str) -> Any:
    try:
        return torch.onnx.export(
            function,
            (examples,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["x"],
            output_names=[name],
            verbose=False,
        )
    except Exception as error:  # the exporter's own and whatever tracing raises
        reason = one_line(error)
        raise ExportError(f"torch cannot write this model in ONNX: {reason}") from error


def _describe(onnx: Any, path: Path, model: Model) -> None:
    stored = onnx.load(path)
    stored.metadata_props.add(key="dhm", value=json.dumps(asdict(model.spec)))
    onnx.checker.check_model(stored)
    onnx.save(stored, path)


@torch.no_grad()
def _compare(runtime: Any, path: Path, function: nn.Module, examples: Tensor) -> None:
    """Refuse a file that gives other outputs than the model, for one example or several."""
    for x in (examples[:1], examples):
        try:
            session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            (found,) = session.run(None, {"x": x.cpu().numpy()})
        except Exception as error:  # onnxruntime's errors have no common class
            reason = one_line(error)
            raise ExportError(f"onnxruntime cannot run the ONNX file: {reason}") from error
        expected = function(x).cpu().numpy()
        if found.shape != expected.shape or not np.allclose(found, expected, TOLERANCE, TOLERANCE):
            raise ExportError(
                f"the ONNX file does not compute what the model does, for {len(x)} examples; "
                "nothing was written. Please report it, with the versions of torch and onnxruntime"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's remarks on packages we do not need and on its own code are not shown."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
