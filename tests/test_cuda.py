"""On CUDA: every model answers as on the CPU, and runs go on elsewhere."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dhm import HybridClassifier, TrainConfig, load_model, train
from dhm.data import load
from dhm.data.dataset import Dataset, Examples
from dhm.inference.annealing import annealed_log_likelihood
from dhm.inference.likelihood import log_joint, log_likelihood
from dhm.inference.missing import impute, predict_proba
from dhm.inference.novelty import NoveltyDetector
from dhm.inference.predict import predict_latent, predict_logits, reconstruct
from dhm.inference.sampling import interpolate, sample, sample_given_label
from dhm.models.base import GenerativeModel, LatentModel, Model
from dhm.models.build import build_model
from dhm.models.registry import MODELS
from dhm.training.reevaluate import evaluate_run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
CUDA = torch.device("cuda")
N, K = 44, 4
SHAPES = [(1, 8, 8), (6,)]


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """No TF32, whose products have 10 bits: answers are compared."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def examples(shape: tuple[int, ...]) -> Examples:
    rng = np.random.default_rng(0)
    if len(shape) == 3:
        return Examples(rng.integers(0, 256, (N, *shape)).astype(np.uint8), np.arange(N) % K)
    return Examples(rng.normal(3.0, 2.0, (N, *shape)).astype(np.float32), np.arange(N) % K)


def make(name: str, shape: tuple[int, ...]) -> Model:
    options = TrainConfig(model=name, network="small").for_model().own_options()
    torch.manual_seed(0)
    data = examples(shape)
    return build_model(name, "small", Dataset("made", data, data, tuple("abcd")), options)


def on_both(ask: Callable[[], Any], model: Model) -> tuple[Any, Any]:
    """An answer by the CPU and one by CUDA."""
    one = ask()
    model.to(CUDA)
    other = ask()
    model.cpu()
    return one, other


def assert_alike(ask: Callable[[], torch.Tensor], model: Model) -> None:
    one, other = on_both(ask, model)
    assert other.device.type == "cuda"
    torch.testing.assert_close(other.cpu(), one, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("name", "shape"), [*product(MODELS, SHAPES)])
def test_the_same_answers(name: str, shape: tuple[int, ...]) -> None:
    model = make(name, shape).eval()
    x = examples(shape).x
    with_gaps = x.astype(np.float32)
    with_gaps[:, ..., ::2] = np.nan
    if model.has_classifier:
        assert_alike(lambda: predict_logits(model, x), model)
        assert_alike(lambda: predict_proba(model, with_gaps), model)
    if isinstance(model, LatentModel):
        assert_alike(lambda: predict_latent(model, x), model)
        assert_alike(lambda: reconstruct(model, x), model)
        assert_alike(lambda: interpolate(model, x[0], x[1], 3), model)
        one, other = on_both(lambda: sample(model, 500, mean=True), model)  # of other generators
        spread = one.std(0) / 500**0.5
        assert ((one.mean(0) - other.cpu().mean(0)).abs() <= 8 * spread + 1e-4).all()
    if isinstance(model, GenerativeModel):
        assert_alike(lambda: log_likelihood(model, x, 10).value, model)
        assert_alike(lambda: impute(model, with_gaps, 2, n_samples=10).draws, model)
        on_both(lambda: annealed_log_likelihood(model, x[:2], n_chains=2, n_temperatures=3), model)
        if model.has_classifier:
            assert_alike(lambda: log_joint(model, x, 10), model)
            drawn = on_both(lambda: sample_given_label(model, 1, 5), model)[1]
            assert drawn.x.device.type == "cuda"


@pytest.mark.parametrize(("name", "shape"), [*product(MODELS, SHAPES)])
def test_novelty(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    model = make(name, shape).to(CUDA).eval()
    if not model.has_classifier:
        pytest.skip("novelty is of classifiers")
    x = examples(shape).x
    detector = NoveltyDetector.fit(model, x[:4], np.arange(4), x[4:])
    detector.save(tmp_path / "novelty.safetensors")
    again = NoveltyDetector.load(tmp_path / "novelty.safetensors", model)
    for kind in detector.kinds:
        score, p = detector.score(x, kind), detector.p_value(x, kind)
        assert score.isfinite().all() and ((p > 0) & (p <= 1)).all()
        torch.testing.assert_close(again.score(x, kind), score)


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
@pytest.mark.parametrize("name", MODELS)
def test_a_run_and_its_figures_elsewhere(name: str, precision: str, tmp_path: Path) -> None:
    """Stopped and resumed; on the CPU its weights have the same error, within an image or two."""
    options: dict[str, Any] = {
        **{"model": name, "network": "small", "precision": precision, "n_labeled": 200},
        **{"device": "cuda", "run_dir": str(tmp_path), "logname": "x", "picture_every": 1},
    }
    train(TrainConfig(**options, epochs=1), progress=False)
    summary = train(TrainConfig(**options, epochs=2), resume=True, progress=False)
    assert summary["hardware"]["device"].startswith("cuda") and summary["epochs"] == 2
    assert next(load_model(summary["run"]).parameters()).device.type == "cpu"
    error = summary["test"].get("error")
    if error is not None:
        elsewhere = evaluate_run(summary["run"], device="cpu")["test"]["error"]
        assert elsewhere == pytest.approx(error, abs=0.01)


def test_the_estimator(tmp_path: Path) -> None:
    """Its answers are numpy's, wherever they were computed."""
    train_, test = load("digits").train, load("digits").test
    y = np.where(np.arange(len(train_)) < 200, train_.y, -1)
    model = HybridClassifier(device="cuda", epochs=3, random_state=0).fit(train_.x, y)
    assert model.score(test.x, test.y) > 0.5
    x = test.x[:20].astype(np.float32)
    with_gaps = x.copy()
    with_gaps[..., :4] = np.nan
    answers: list[NDArray[Any]] = [
        *(model.predict_proba(x), model.predict(with_gaps), model.score_samples(x)),
        *(model.transform(x), model.sample(3), model.sample(3, y=1), model.impute(with_gaps)),
        *(model.reconstruct(x), model.novelty_score(x), model.log_joint(x, test.y[:20])),
    ]
    assert all(isinstance(answer, np.ndarray) for answer in answers)
    model.save(tmp_path / "model")
    again = HybridClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict_proba(x), model.predict_proba(x), atol=0.01)
