"""ONNX files compute what the model does, and one that does not is never written."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dhm.config import TrainConfig
from dhm.data.dataset import Dataset, Examples
from dhm.errors import ExportError, MissingDependencyError, UnsupportedError
from dhm.inference import onnx as ours
from dhm.inference.onnx import export_onnx
from dhm.inference.predict import predict_logits
from dhm.models.base import LatentModel, Model
from dhm.models.build import build_model
from dhm.models.registry import MODELS, model_class

# Each export takes some seconds: what computes something of its own once, of bytes and of floats.
CASES = [
    ("supervised-mlp", "small", (6,)),
    ("supervised-cnn", "strided", (1, 8, 8)),
    ("supervised-hdgm", "small", (1, 8, 8)),
    ("semisup-ali", "small", (6,)),
]


def make(name: str, network: str, shape: tuple[int, ...], **options: Any) -> Model:
    rng = np.random.default_rng(0)
    n = 24
    x: Any = rng.normal(3.0, 2.0, (n, *shape)).astype(np.float32)
    if len(shape) == 3:
        x = rng.integers(0, 256, (n, *shape)).astype(np.uint8)
    examples = Examples(x, np.arange(n) % 4)
    data = Dataset("made", examples, examples, ("a", "b", "c", "d"))
    config = TrainConfig(model=name, network=network, **options).for_model()  # type: ignore[arg-type]
    torch.manual_seed(0)
    return build_model(name, network, data, config.own_options()).eval()


def ask(path: Path, x: Any) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x})
    return found


@pytest.mark.parametrize(("name", "network", "shape"), CASES)
def test_every_model(name: str, network: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    model = make(name, network, shape)
    rng = np.random.default_rng(1)
    x: Any = rng.normal(3.0, 2.0, (9, *shape)).astype(np.float32)
    if len(shape) == 3:
        x = rng.integers(0, 256, (9, *shape)).astype(np.uint8)
    export_onnx(model, tmp_path / "m.onnx")
    for n in (1, 9):
        expected = predict_logits(model, x[:n]).softmax(1)
        np.testing.assert_allclose(ask(tmp_path / "m.onnx", x[:n]), expected, atol=1e-5)
    stored = onnx.load(tmp_path / "m.onnx")
    spec = json.loads({p.key: p.value for p in stored.metadata_props}["dhm"])
    assert spec["classes"] == ["a", "b", "c", "d"] and spec["model"] == name
    if isinstance(model, LatentModel):
        export_onnx(model, tmp_path / "e.onnx", encoder=True)
        with torch.no_grad():
            z = model.encode(torch.from_numpy(x))
        np.testing.assert_allclose(ask(tmp_path / "e.onnx", x), z, atol=1e-5)


def test_other_models_compute_what_one_of_these_does() -> None:
    exported = [model_class(name) for name, _, _ in CASES]
    for name in MODELS:
        alike = [one for one in exported if one.logits is model_class(name).logits]
        assert alike, name
        if issubclass(model_class(name), LatentModel):
            assert model_class(name).encode is alike[0].encode, name  # type: ignore[attr-defined]


def test_another_function_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("softmax", "small", (6,)).train()
    describe = ours._describe

    bump = np.float32([1, 0, 0, 0])

    def change_a_weight(onnx_: Any, path: Path, model_: Model) -> None:
        describe(onnx_, path, model_)
        stored = onnx.load(path)
        for tensor in stored.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.shape == (4,):
                tensor.CopyFrom(onnx.numpy_helper.from_array(values + bump, tensor.name))
        onnx.save(stored, path)

    monkeypatch.setattr(ours, "_describe", change_a_weight)
    (tmp_path / "m.onnx").write_text("old")
    with pytest.raises(ExportError, match="does not compute what the model does, for 1 examples"):
        export_onnx(model, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    assert model.training


def test_what_was_not_trained_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(UnsupportedError, match=r"no p\(y\|x\)"):
        export_onnx(make("supervised-hdgm", "small", (6,), sup_weight=0.0), path)
    ali = make("semisup-ali", "small", (6,), unsup_weight=0.0)
    for model in (ali, make("softmax", "small", (6,))):
        with pytest.raises(UnsupportedError, match="no trained encoder"):
            export_onnx(model, path, encoder=True)
    assert not path.exists()


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_without_its_packages_the_extra_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"{package} is needed.*\[onnx\]"):
        export_onnx(make("softmax", "small", (6,)), tmp_path / "m.onnx")
