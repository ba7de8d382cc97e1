"""What a model says of inputs, in columns: as the parts of the library say it one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dhm.data import from_arrays
from dhm.errors import UnsupportedError
from dhm.inference.likelihood import log_likelihood
from dhm.inference.missing import predict_proba
from dhm.inference.novelty import NoveltyDetector
from dhm.inference.predictions import predictions
from dhm.models.base import Model
from dhm.models.build import build_model

OPTIONS = {
    "likelihood": "auto",
    "sup_weight": 1.0,
    "unsup_weight": 1.0,
    "n_samples": 1,
    "warmup": 0.0,
    "prior": "gaussian",
    "n_hidden": 16,
    "n_latent": 4,
    "n_aux": 2,
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5)).astype(np.float32)
Y = np.array(["cat", "dog", "eel"] * 40)


def hybrid(**options: Any) -> Model:
    torch.manual_seed(0)
    data = from_arrays(X, Y)
    return build_model("supervised-hdgm", "small", data, {**OPTIONS, **options}).eval()


def test_columns_are_the_parts_answers() -> None:
    model = hybrid()
    x = X.copy()
    x[7, :3] = np.nan
    detector = NoveltyDetector.fit(model, X, np.arange(120) % 3)
    found = predictions(model, x, n_samples=20, detector=detector, seed=3)
    p_y = predict_proba(model, x, n_samples=20, seed=3)
    assert [f"p_{name}" for name in ("cat", "dog", "eel")] == [n for n in found if n[:2] == "p_"]
    for k, name in enumerate(("cat", "dog", "eel")):
        np.testing.assert_array_equal(found[f"p_{name}"], p_y[:, k])
    assert (found["label"] == np.array(["cat", "dog", "eel"])[p_y.argmax(1)]).all()
    estimate = log_likelihood(model, x, 20, seed=3)
    np.testing.assert_array_equal(found["log_px"], estimate.value)
    np.testing.assert_array_equal(found["log_px_se"], estimate.standard_error)
    np.testing.assert_array_equal(found["novelty"], detector.score(x, seed=3))
    np.testing.assert_array_equal(found["novelty_p"], detector.p_value(x, seed=3))
    assert all(len(column) == 120 for column in found.values())
    assert all(np.isfinite(column).all() for name, column in found.items() if name != "label")


def test_bits_are_of_8_bit_pixels_under_a_discretised_likelihood() -> None:
    x = RNG.integers(0, 256, (12, 1, 4, 4)).astype(np.uint8)
    data = from_arrays(x, ["cat", "dog"] * 6)
    for likelihood, has_bits in (("discretized-logistic", True), ("bernoulli", False)):
        options = {**OPTIONS, "likelihood": likelihood}
        model = build_model("supervised-hdgm", "small", data, options).eval()
        found = predictions(model, x, n_samples=2)
        assert ("bits_per_dim" in found) == has_bits
        if has_bits:
            nats = found["bits_per_dim"] * 16 * np.log(2)
            np.testing.assert_allclose(nats, -found["log_px"], rtol=1e-5)


def test_draws_leave_the_global_generator_alone() -> None:
    model = hybrid()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = predictions(model, X, n_samples=2)
    assert torch.equal(torch.rand(3), expected)
    assert (predictions(model, X, n_samples=2)["log_px"] == first["log_px"]).all()
    assert (predictions(model, X, n_samples=2, seed=1)["log_px"] != first["log_px"]).any()


def test_what_was_not_trained_is_left_out() -> None:
    assert not {"log_px", "novelty"} & predictions(hybrid(unsup_weight=0.0), X).keys()
    assert "log_px" not in predictions(hybrid(), X, n_samples=0)
    generative = hybrid(sup_weight=0.0)
    assert list(predictions(generative, X, n_samples=2)) == ["log_px", "log_px_se"]
    with pytest.raises(UnsupportedError, match="nothing to say"):
        predictions(generative, X, n_samples=0)


def test_a_detector_is_kept_in_a_file(tmp_path: Path) -> None:
    model = hybrid()
    detector = NoveltyDetector.fit(model, X)
    detector.save(tmp_path / "novelty.safetensors")
    loaded = NoveltyDetector.load(tmp_path / "novelty.safetensors", model)
    for name in ("novelty", "novelty_p"):
        expected = predictions(model, X, n_samples=0, detector=detector)[name]
        assert (predictions(model, X, n_samples=0, detector=loaded)[name] == expected).all()
