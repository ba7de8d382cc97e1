"""Log p(x), draws, missing entries and novelty, asked of one fitted estimator."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from dhm import HybridClassifier
from dhm.errors import ConfigError, DataError
from dhm.estimator.answers import _numpy
from dhm.inference.annealing import annealed_log_likelihood

Data = tuple[Any, Any]
SIZES = {"n_hidden": 16, "n_aux": 2}


@pytest.fixture(scope="module")
def fitted(images: Data) -> HybridClassifier:
    """Fitted to 100 images with labels "left" and "right", in units of 0 to 200."""
    x, y = images
    names = np.where(y == 0, "left", "right")
    options = {"n_hidden": 32, "n_aux": 2}
    model = HybridClassifier(
        epochs=80, lr=0.005, unsup_weight=1.0, n_latent=2, options=options, random_state=0
    )
    return model.fit(x * 200, names)


def test_log_likelihood_and_joint(fitted: HybridClassifier, images: Data) -> None:
    x, y = images[0] * 200, np.where(images[1] == 0, "left", "right")
    log_px, joint = fitted.score_samples(x), fitted.log_joint(x)
    assert joint.shape == (100, 2)
    np.testing.assert_allclose(logsumexp(joint, 1), log_px, atol=1e-4)
    np.testing.assert_array_equal(fitted.log_joint(x, y), joint[np.arange(100), images[1]])
    noise = np.random.default_rng(1).uniform(0, 200, (100, 8, 8))
    assert log_px.mean() > fitted.score_samples(noise).mean() + 5
    with pytest.raises(DataError, match="a label for each of 100"):
        fitted.log_joint(x, y[:5])


def test_draws_have_the_units_of_x(fitted: HybridClassifier) -> None:
    one, two = fitted.sample(20), fitted.sample(20)
    assert one.shape == (20, 8, 8) and one.max() > 100
    np.testing.assert_array_equal(one, two)
    mixed = np.array(["left", "right"] * 10)
    drawn = fitted.sample(20, mixed)
    assert (fitted.predict(drawn) == mixed).mean() > 0.8
    assert (fitted.predict(fitted.sample(10, "right")) == "right").mean() > 0.8
    with pytest.raises(DataError, match="one for each of n = 20"):
        fitted.sample(20, ["left"])


def test_missing_entries(fitted: HybridClassifier, images: Data) -> None:
    x, y = images[0] * 200, np.where(images[1] == 0, "left", "right")
    holes = x.copy()
    holes[:, :, 4:] = np.nan
    filled = fitted.impute(holes)
    seen = ~np.isnan(holes)
    assert filled.dtype == x.dtype and (filled[seen] == x[seen]).all()
    error = np.square(filled - x)[~seen].mean()
    assert error < np.square(x.mean(0) - x)[~seen].mean()
    assert fitted.impute(holes[:5], n_draws=3).shape == (3, 5, 8, 8)
    proba = fitted.predict_proba(holes)
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-6)
    assert fitted.score(holes, y) > 0.9
    np.testing.assert_allclose(np.log(proba), fitted.predict_log_proba(holes))


def test_training_with_missing_entries(quick: Callable[..., HybridClassifier], blobs: Data) -> None:
    x, y = blobs
    holes = np.where(np.random.default_rng(0).random(x.shape) < 0.2, np.nan, x)
    model = quick(epochs=40, lr=0.01).fit(holes, y)
    assert model.score(x, y) > 0.9 and np.isfinite(model.score_samples(holes)).all()


def test_novelty(fitted: HybridClassifier, images: Data, tmp_path: Path) -> None:
    x = images[0] * 200
    noise = np.random.default_rng(1).uniform(0, 200, (30, 8, 8))
    fresh = fitted.__class__.load(_saved(fitted, tmp_path / "fresh"))
    with pytest.raises(ConfigError, match="ask for novelty_score once before saving"):
        fresh.novelty_score(x)
    assert np.median(fitted.novelty_score(noise)) > np.median(fitted.novelty_score(x))
    again = HybridClassifier.load(_saved(fitted, tmp_path / "asked"))
    np.testing.assert_allclose(again.novelty_score(x), fitted.novelty_score(x), rtol=1e-5)
    fitted._detector = None


def test_p_values_of_novelty(
    quick: Callable[..., HybridClassifier], blobs: Data, tmp_path: Path
) -> None:
    x, y = blobs
    # New ones of the same kind: further draws around the same three centres.
    rng = np.random.default_rng(2)
    centres = np.stack([x[y == k].mean(0) for k in range(3)])
    more, fresh = (centres[np.arange(n) % 3] + rng.normal(0, 0.5, (n, 4)) for n in (60, 600))
    validation = more, np.arange(60) % 3
    model = quick(epochs=20, lr=0.01, n_samples=5).fit(x, y, validation_data=validation)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = model.novelty_p_value(fresh)
    assert len(model._novelty_detector().calibration["combination"]) == 30
    # Exact on average over 30 calibration examples: Beta distributed, with a deviation of 0.05.
    assert (p <= 0.1).mean() < 0.25 and p.min() > 0.999 / 31
    assert (model.novelty_p_value(x * 100) < 0.1).mean() > 0.9
    model.save(tmp_path / "kept")
    again = HybridClassifier.load(tmp_path / "kept")
    np.testing.assert_allclose(again.novelty_p_value(fresh), p, atol=1e-6)
    expected = _numpy(model._novelty_detector().score(fresh.astype(np.float32), seed=model.seed_))
    np.testing.assert_array_equal(model.novelty_score(fresh), expected)
    holes = np.where(rng.random(x.shape) < 0.3, np.nan, x)
    with pytest.warns(UserWarning, match="examples have missing entries: their p-values"):
        model.novelty_p_value(holes)
    like_them = quick(n_samples=5).fit(x, y, validation_data=(holes, y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        like_them.novelty_p_value(holes)
    trained_on = quick(n_samples=5).fit(x, y)
    with pytest.warns(UserWarning, match="hold out 40 or more"):
        trained_on.novelty_p_value(x)


FAR = (1e4, 1e10, 1e19, 1e30, -1e30, 3e38)


@pytest.mark.filterwarnings("ignore:novelty is measured by examples")
@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("model", ["supervised-hdgm", "semisup-ali", "supervised-mlp"])
def test_values_far_out_have_answers_and_change_no_others(
    quick: Callable[..., HybridClassifier], blobs: Data, model: str, gap: bool
) -> None:
    x, y = blobs[0] * 1e-4, blobs[1]  # standardised, they are further out still
    options = SIZES if model == "supervised-hdgm" else {}
    fitted = quick(model=model, n_latent=None, options=options, n_samples=5).fit(x, y)
    normal, far = x[:9], np.repeat(x[:1], len(FAR), 0)
    far[:, 1] = FAR
    if gap:
        far[:, 2] = np.nan
    both = np.concatenate([normal, far])
    asked = [fitted.predict_proba, fitted.transform]
    if model != "supervised-mlp":
        asked.append(fitted.reconstruct)
    if model == "supervised-hdgm":
        asked.append(fitted.impute)
        log_px = fitted.score_samples(both)
        np.testing.assert_allclose(log_px[:9], fitted.score_samples(normal), rtol=1e-5)
        assert (log_px[9:] < -1e6).all() and np.isneginf(log_px[-1])
        stored = fitted.layout_.stored(both)
        annealed, _ = annealed_log_likelihood(fitted.model_, stored, 2, 5)
        assert annealed[:9].isfinite().all() and (annealed[9:] < -1e6).all()
    for ask in asked:
        found = ask(both)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[:9], ask(normal), rtol=1e-4, atol=1e-6)
    novelty = fitted.novelty_score(both)
    np.testing.assert_allclose(novelty[:9], fitted.novelty_score(normal), rtol=1e-4)
    assert not np.isnan(novelty).any()
    if model == "supervised-hdgm":
        assert novelty[9:].min() > 10 * novelty[:9].max()


def test_doubles_are_made_on_the_cpu(
    quick: Callable[..., HybridClassifier], blobs: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some devices have none: stands for one by refusing tensors that were not moved first."""
    cpu, double = torch.Tensor.cpu, torch.Tensor.double

    def moved(x: Any) -> Any:
        x = cpu(x).clone()
        x.moved = True
        return x

    def checked(x: Any) -> Any:
        assert getattr(x, "moved", False), "double precision on the model's device"
        return double(x)

    model = quick(n_samples=5).fit(*blobs)
    monkeypatch.setattr(torch.Tensor, "cpu", moved)
    monkeypatch.setattr(torch.Tensor, "double", checked)
    assert np.isfinite(model.predict_proba(blobs[0])).all()
    assert np.isfinite(model.score_samples(blobs[0])).all()
    assert np.isfinite(model.novelty_score(blobs[0])).all()
    assert model.sample(3, 1).shape == (3, 4)


def _saved(model: HybridClassifier, folder: Path) -> Path:
    model.save(folder)
    return folder


@pytest.mark.filterwarnings("ignore:novelty is measured by examples")
@pytest.mark.filterwarnings("ignore:.* examples have missing entries")
def test_an_answer_depends_on_the_example_alone(
    quick: Callable[..., HybridClassifier], blobs: Data
) -> None:
    x, y = blobs
    holes = np.where(np.random.default_rng(0).random(x.shape) < 0.2, np.nan, x)
    holes[:9], holes[9] = x[:9] * 1e4, np.nan  # whole ones, of which p(y|x) is below any float32
    fitted = quick(n_samples=2, options={**SIZES, "hide": 0.5}).fit(x, y)
    asked: list[Callable[[Any], Any]] = [
        *(fitted.predict_proba, fitted.predict_log_proba, fitted.transform, fitted.reconstruct),
        *(fitted.score_samples, fitted.log_joint, fitted.novelty_score, fitted.novelty_p_value),
        *(fitted.impute, lambda x: fitted.impute(x, 3).swapaxes(0, 1)),
    ]
    for ask in asked:
        alone = np.concatenate([ask(holes[i : i + 1]) for i in range(20)])
        np.testing.assert_allclose(ask(holes)[:20], alone, rtol=1e-5, atol=1e-7)
    whole = fitted.predict_log_proba(holes[:9])
    np.testing.assert_array_equal(fitted.predict_log_proba(holes)[:9], whole)
    assert whole.min() < -200
