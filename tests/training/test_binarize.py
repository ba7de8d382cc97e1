"""`--binarize`: training sees new draws of an image, evaluation always the same ones."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dhm import TrainConfig, load_data
from dhm.consistency.base import Views
from dhm.consistency.build import regularize
from dhm.consistency.regularized import Regularized
from dhm.data import Dataset
from dhm.errors import ConfigError
from dhm.inference.novelty import NoveltyDetector
from dhm.inference.sampling import sample
from dhm.models.base import Batch, GenerativeModel, Model
from dhm.models.build import build_model, load_model
from dhm.training.data import prepare
from dhm.training.novelty import run_detector
from dhm.training.reevaluate import evaluate_run

Trained = Callable[..., Path]
Small = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


def hybrid(data: Dataset, small: Small, **options: Any) -> Model:
    config = small(binarize=True, **options).for_model()
    return build_model(config.model, config.network, data, config.own_options())


def noting(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the model's losses are shown from now on."""
    shown: list[Tensor] = []
    forward = type(model).forward

    def noted(self: Model, batch: Batch, player: str) -> Any:
        shown.extend(x for x in (batch.x, batch.x_unlabeled) if x is not None)
        return forward(self, batch, player)

    monkeypatch.setattr(type(model), "forward", noted)
    return shown


@pytest.mark.parametrize("name", ["supervised-hdgm", "semisup-hdgm"])
def test_losses_see_new_draws_each_time(
    digits: Dataset, small: Small, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hybrid(digits, small, model=name)
    shown = noting(model, monkeypatch)
    x, y = torch.from_numpy(digits.train.x[:9]), torch.from_numpy(digits.train.y[:9])
    batch = Batch(x, y, x.flip(0) if model.uses_unlabeled else None)
    for _ in range(2):
        Regularized(model, binarize=True)(batch, "hybrid")
    n = len(shown) // 2
    for first, second in zip(shown[:n], shown[n:], strict=True):
        assert set(first.unique().tolist()) == {0, 255}
        assert not torch.equal(first, second)
    grey = x.float() / 255
    sure = (grey == 0) | (grey == 1)
    assert torch.equal(shown[0][sure], x.float()[sure])


def test_methods_see_draws_and_holes_come_after_them(
    digits: Dataset, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(binarize=True, pi_model=1.0, augment="none", hide=0.9).for_model()
    model = build_model(config.model, config.network, digits, config.own_options())
    objective = regularize(model, config, digits.train, False)
    seen: list[Tensor] = []
    copies = Views._copies

    def noted(self: Views, strong: bool) -> Tensor:
        seen.append(self.inputs)
        return copies(self, strong)

    monkeypatch.setattr(Views, "_copies", noted)
    shown = noting(model, monkeypatch)
    x, y = torch.from_numpy(digits.train.x[:99]), torch.from_numpy(digits.train.y[:99])
    objective(Batch(x, y), "hybrid")
    assert seen and all(set(u.unique().tolist()) == {0, 1} for u in seen)
    observed = shown[0][~shown[0].isnan()]
    assert set(observed.unique().tolist()) == {0, 255} and shown[0].isnan().any()
    assert torch.equal(observed, (seen[0] * 255)[~shown[0].isnan()]), "of one draw"


def test_methods_with_a_memory_of_all_examples_get_draws(
    digits: Dataset, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(binarize=True, label_spreading=1.0).for_model()
    model = build_model(config.model, config.network, digits, config.own_options())
    objective = regularize(model, config, digits.train, False)
    method: Any = objective.methods["label_spreading"]
    assert set(np.unique(method.x)) == {0, 255}


@pytest.mark.parametrize("model", ["supervised-hdgm", "semisup-hdgm"])
def test_validation_and_test_images_are_fixed_draws(
    digits: Dataset, small: Small, model: str
) -> None:
    parts = [prepare(digits, small(model=model, binarize=True)) for _ in range(2)]
    grey = prepare(digits, small(model=model))
    for part in ("validation", "test"):
        one, other = (getattr(data, part).x for data in parts)
        assert np.array_equal(one, other) and set(np.unique(one)) == {0, 255}
        assert one.dtype == np.uint8
    assert np.array_equal(parts[0].labeled.x, grey.labeled.x), "drawn when they are seen"
    another = prepare(digits, replace(small(model=model, binarize=True), seed_data=1))
    assert another.test is not None and parts[0].test is not None
    assert not np.array_equal(another.test.x, parts[0].test.x)


@pytest.mark.parametrize("options", [{}, {"network": "strided", "ema": 0.9}], ids=["", "average"])
def test_evaluate_gives_the_figures_of_the_summary(
    trained: Trained, options: dict[str, Any], tmp_path: Path
) -> None:
    run = trained(binarize=True, unsup_weight=1.0, **options)
    summary = json.loads((run / "summary.json").read_text())
    found = evaluate_run(run)
    assert found["test"] == summary["test"] and found["validation"] == summary["validation"]
    # Away from its folder a weights file still says what it was trained on.
    elsewhere = tmp_path / "model.safetensors"
    elsewhere.write_bytes((run / "model.safetensors").read_bytes())
    again = evaluate_run(elsewhere, dataset="digits", n_eval_samples=2)
    assert again["test"] == summary["test"]


def test_a_run_is_the_same_twice(trained: Trained, assert_same_run: Any) -> None:
    runs = [trained(logname=name, binarize=True, network="strided", ema=0.9) for name in "ab"]
    assert_same_run(*runs)


def test_what_is_drawn_is_black_or_white(trained: Trained) -> None:
    model = load_model(trained(binarize=True, unsup_weight=1.0))
    assert isinstance(model, GenerativeModel)
    assert set(sample(model, 20).unique().tolist()) == {0, 255}
    assert len(sample(model, 20, mean=True).unique()) > 100
    grey = load_model(trained(logname="grey", unsup_weight=1.0))
    assert len(sample(grey, 20).unique()) > 100


def test_the_novelty_detector_is_fitted_to_draws(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    fit = NoveltyDetector.fit

    def noted(model: Model, x: Any, y: Any, held_out: Any, **others: Any) -> NoveltyDetector:
        given.extend(part for part in (x, held_out) if part is not None)
        return fit(model, x, y, held_out, **others)

    monkeypatch.setattr(NoveltyDetector, "fit", noted)
    run = trained(binarize=True, unsup_weight=1.0, n_labeled=None, epochs=1, n_batch=500)
    run_detector(run, load_model(run))
    assert given and all(set(np.unique(part)) == {0, 255} for part in given)


@pytest.mark.parametrize("likelihood", ["gaussian", "discretized-logistic"])
def test_other_likelihoods_are_refused(trained: Trained, likelihood: str) -> None:
    message = f"--binarize .*--likelihood bernoulli; found images under --likelihood {likelihood}"
    with pytest.raises(ConfigError, match=message):
        trained(binarize=True, likelihood=likelihood)


def test_tables_are_refused(trained: Trained, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "t.npz", x=rng.normal(size=(90, 5)), y=np.arange(90) % 2)
    with pytest.raises(ConfigError, match="--binarize draws the pixels of images, found vectors"):
        trained(binarize=True, dataset=str(tmp_path / "t.npz"), n_labeled=None)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("model", ["supervised-cnn", "semisup-ali"])
def test_models_without_a_density_refuse_it(model: str) -> None:
    with pytest.raises(ConfigError, match=f"--binarize cannot be used with --model {model}"):
        TrainConfig(model=model, binarize=True).for_model()
