"""What every model must keep: players, gradients, prediction, saving and loading."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dhm.config import TrainConfig
from dhm.data.dataset import Dataset, Examples
from dhm.errors import ConfigError, DataError, RunError
from dhm.models.base import Batch, GenerativeModel, LatentModel, Model
from dhm.models.build import build_model, copy_weights, load_model, save_model
from dhm.models.registry import MODELS, model_class

SHAPES = [(1, 8, 8), (3, 9, 14), (1, 1, 1), (6,)]
CASES = [
    *product(MODELS, ("small",), SHAPES),
    *((name, "paper", (1, 8, 8)) for name in MODELS if not name.endswith("-mlp")),
    ("semisup-ali", "paper", (3, 9, 14)),
    *product(("semisup-ali",), ("mlp",), SHAPES),
    *(
        case
        for network in ("strided", "halving", "patches")
        for case in product(
            [m for m in MODELS if network in model_class(m).options], (network,), SHAPES
        )
    ),
]


def dataset(shape: tuple[int, ...], n: int = 24) -> Dataset:
    rng = np.random.default_rng(0)
    if len(shape) == 3:
        x = rng.integers(0, 256, (n, *shape)).astype(np.uint8)
    else:
        x = rng.normal(3.0, 2.0, (n, *shape)).astype(np.float32)
    examples = Examples(x, np.arange(n) % 4)
    return Dataset("made", examples, examples, ("a", "b", "c", "d"))


def make(name: str, network: str, shape: tuple[int, ...], **options: object) -> Model:
    config = TrainConfig(model=name, network=network, **options).for_model()  # type: ignore[arg-type]
    torch.manual_seed(0)
    return build_model(name, network, dataset(shape), config.own_options())


def batch(model: Model) -> Batch:
    examples = dataset(model.spec.shape).train
    x = torch.from_numpy(examples.x)
    y = torch.from_numpy(examples.y)
    return Batch(x, y, x.flip(0) if model.uses_unlabeled else None)


@pytest.mark.parametrize(("name", "network", "shape"), CASES)
def test_every_model(name: str, network: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    model = make(name, network, shape)
    owned = [id(p) for parameters in model.players().values() for p in parameters]
    assert sorted(owned) == sorted(id(p) for p in model.parameters()), "one owner a parameter"
    for player, parameters in model.players().items():
        model.zero_grad()
        loss = model(batch(model), player)
        assert loss.total.shape == () and loss.total.isfinite()
        assert all(not term.requires_grad and term.shape == () for term in loss.terms.values())
        loss.total.backward()
        for name_, p in model.named_parameters():
            if any(p is q for q in parameters) and p.numel():
                assert p.grad is not None and p.grad.any(), f"no gradient reaches {name_}"

    model.eval()
    x = batch(model).x
    with torch.no_grad():
        logits = model.logits(x)
        assert logits.shape == (len(x), 4), "one output a class"
        alone = torch.cat([model.logits(one) for one in x.split(1)])
    torch.testing.assert_close(logits, alone, atol=1e-4, rtol=1e-4)
    check_features(model, x)

    save_model(model, tmp_path / "model.safetensors")
    save_model(model, tmp_path / "again.safetensors")
    files = [tmp_path / name for name in ("model.safetensors", "again.safetensors")]
    assert files[0].read_bytes() == files[1].read_bytes()
    loaded = load_model(tmp_path)
    assert loaded.spec == model.spec
    with torch.no_grad():
        assert torch.equal(loaded.logits(x), logits)


@torch.no_grad()
def check_features(model: Model, x: torch.Tensor) -> None:
    """The last layer computed for the logits is a linear one, and the features are its input."""
    layers: list[nn.Module] = []
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda layer, *_: layers.append(layer))
    logits = model.logits(x)
    last = layers[-1]
    features = model.features(x)
    assert features.shape == (len(x), last.in_features)
    torch.testing.assert_close(last(features), logits)


@pytest.mark.parametrize("name", ["supervised-hdgm", "semisup-hdgm", "semisup-ali"])
@pytest.mark.parametrize("shape", SHAPES)
def test_latent_models(name: str, shape: tuple[int, ...]) -> None:
    model = make(name, "small", shape, n_latent=5).eval()
    assert isinstance(model, LatentModel) and model.has_samples
    x = batch(model).x
    with torch.no_grad():
        z = model.encode(x)
        assert z.shape == (len(x), 5)
        assert torch.equal(model.encode(x), z), "no noise"
        assert model.decode(z).shape == x.shape
        assert model.sample_prior(7).shape == (7, 5)
        assert model.decode(model.sample_prior(7)).isfinite().all()


@pytest.mark.parametrize("name", ["supervised-hdgm", "semisup-hdgm"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_aux", [0, 3])
def test_generative_models(name: str, shape: tuple[int, ...], n_aux: int) -> None:
    model = make(name, "small", shape, n_aux=n_aux)
    assert isinstance(model, GenerativeModel)
    model(batch(model), "hybrid").total.backward()
    x = batch(model).x
    with torch.no_grad():
        assert model.log_likelihood(x, 3).shape == (len(x),)
        assert model.log_likelihood(x, 3).isfinite().all()
        assert model.sample(5).mean.shape == (5, *shape)
        assert model.reconstruct(x).mean.shape == x.shape
        assert torch.equal(model.decode(model.encode(x)), model.reconstruct(x).mean)


def test_training_and_prediction_differ_only_by_noise() -> None:
    """The original measured test accuracy with dropout on."""
    model = make("supervised-hdgm", "small", (1, 8, 8))
    x = batch(model).x
    with torch.no_grad():
        assert not torch.equal(model.train().logits(x), model.logits(x))
        assert torch.equal(model.eval().logits(x), model.logits(x))


def test_a_tables_features_are_standardised_and_bytes_scaled() -> None:
    model = make("softmax", "small", (6,))
    u = model.standardize(batch(model).x)
    torch.testing.assert_close(u.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(u.std(0, unbiased=False), torch.ones(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.standardize.inverse(u), batch(model).x)
    pixels = make("softmax", "small", (1, 8, 8)).standardize(torch.tensor([0, 255]))
    assert pixels.min() == 0 and pixels.max() == 1


def test_a_likelihood_refuses_data_outside_its_domain() -> None:
    with pytest.raises(DataError, match=r"bernoulli.*\[0, 1\]"):
        make("supervised-hdgm", "small", (6,), likelihood="bernoulli")
    with pytest.raises(DataError, match="8-bit"):
        make("supervised-hdgm", "small", (6,), likelihood="discretized-logistic")


def test_what_generates_pixels_refuses_other_images() -> None:
    wide = Examples(np.full((24, 1, 8, 8), 3.0, np.float32), np.arange(24) % 4)
    options = TrainConfig(model="semisup-ali").for_model().own_options()
    with pytest.raises(DataError, match=r"--model semisup-ali needs values in \[0, 1\], found 3"):
        build_model("semisup-ali", "small", Dataset("m", wide, wide, tuple("abcd")), options)


def test_reloading_into_other_sizes_is_refused() -> None:
    source = make("supervised-hdgm", "small", (1, 8, 8))
    with pytest.raises(ConfigError, match="does not fit"):
        copy_weights(make("supervised-hdgm", "small", (1, 8, 8), n_latent=7), source, "runs/x")


def test_reloading_into_inputs_of_another_type_is_refused() -> None:
    """Bytes are divided by 255 in the model: floats in [0, 1] would be scaled twice."""
    pixels = dataset((1, 8, 8))
    floats = Examples((pixels.train.x / 255).astype(np.float32), pixels.train.y)
    data = Dataset("made", floats, floats, pixels.classes)
    target = build_model("softmax", "small", data, {})
    with pytest.raises(ConfigError, match="dtype"):
        copy_weights(target, make("softmax", "small", (1, 8, 8)), "runs/x")


def test_a_likelihoods_domain_holds_for_test_data_too() -> None:
    rng = np.random.default_rng(0)
    inside = Examples(rng.random((24, 6), np.float32), np.arange(24) % 4)
    data = Dataset("made", inside, Examples(inside.x * 9, inside.y), ("a", "b", "c", "d"))
    options = TrainConfig(likelihood="bernoulli").for_model().own_options()
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        build_model("supervised-hdgm", "small", data, options)


def test_damaged_weights_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(make("softmax", "small", (6,)), path)
    whole = path.read_bytes()
    for damaged in (whole[:50], whole[:-7], b"", b"\xff" * 100):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"model\.safetensors"):
            load_model(path)
    with pytest.raises(RunError, match="no model"):
        load_model(tmp_path / "absent")


@pytest.mark.parametrize(
    ("n_latent", "reason"),
    [
        (3_200_000_000, "larger than any that is stored"),
        (10**30, "larger than any that is stored"),
        (-1, "negative"),
        ("4", "damaged"),
        (None, "damaged"),
    ],
)
@pytest.mark.parametrize("name", ["supervised-hdgm", "semisup-ali"])
def test_sizes_in_a_header_are_checked_before_memory_is_asked_for(
    name: str, n_latent: Any, reason: str, tmp_path: Path
) -> None:
    model = make(name, "small", (6,))
    model.spec = replace(model.spec, options={**model.spec.options, "n_latent": n_latent})
    save_model(model, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match=reason):
        load_model(tmp_path)


def test_names_of_columns_are_kept(tmp_path: Path) -> None:
    model = make("softmax", "small", (3,))
    named = [replace(model.spec, features=names) for names in (("a", "b", "c"), ("c", "b", "a"))]
    model.spec = named[0]
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path)
    assert loaded.spec == model.spec
    copy_weights(make("softmax", "small", (3,)), loaded, "runs/x")
    model.spec = named[1]
    with pytest.raises(ConfigError, match="its features is"):
        copy_weights(model, loaded, "runs/x")


PAPER_LAYERS = {
    # weights of each layer, input first, as in the authors' code with 10 outputs
    (1, 28, 28): [
        *[(499, 784), (10, 499), (10, 499)],  # q(a|x)
        *[(499, 784), (499, 10), (200, 499), (200, 499)],  # q(z|a, x)
        *[(499, 200), (784, 499)],  # p(x|z), Bernoulli
        *[(499, 200), (10, 499), (10, 499)],  # p(a|z)
        *[(128, 1, 5, 5), (128, 128, 5, 5), (256, 128, 5, 5)],  # p(y|x, z): 28, 13, 6, 2 pixels
        *[(500, 256 * 2 * 2 + 200), (10, 500)],
    ],
    (3, 32, 32): [
        *[(499, 3072), (10, 499), (10, 499)],
        *[(499, 3072), (499, 10), (200, 499), (200, 499)],
        *[(499, 200), (2 * 3072, 499)],  # Gaussian: means and log-variances
        *[(499, 200), (10, 499), (10, 499)],
        *[(128, 3, 5, 5), (128, 128, 5, 5), (256, 128, 5, 5)],  # 32, 15, 7, 3 pixels
        *[(500, 256 * 3 * 3 + 200), (10, 500)],
    ],
}


@pytest.mark.parametrize("shape", PAPER_LAYERS)
def test_paper_network_has_the_originals_layers(shape: tuple[int, ...]) -> None:
    likelihood = "bernoulli" if shape[0] == 1 else "gaussian"
    config = TrainConfig(network="paper", likelihood=likelihood).for_model()  # type: ignore[arg-type]
    data = dataset(shape)
    data = Dataset("made", data.train, data.test, tuple("abcdefghij"))
    model = build_model(config.model, "paper", data, config.own_options())
    weights = [tuple(p.shape) for n, p in model.named_parameters() if n.endswith("weight")]
    assert sorted(weights) == sorted(PAPER_LAYERS[shape])
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            assert not p.any()
        else:  # orthogonal: the smaller side's Gram matrix is the identity
            flat = p.detach().flatten(1)
            gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
            torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-4, rtol=0)


def test_a_model_from_before_an_option_was_made_loads(tmp_path: Path) -> None:
    model = make("supervised-hdgm", "small", (6,))
    options = {name: value for name, value in model.spec.options.items() if name != "hide"}
    model.spec = replace(model.spec, options=options)
    save_model(model, tmp_path / "model.safetensors")
    assert load_model(tmp_path).spec.options == {**options, "hide": 0.0}
