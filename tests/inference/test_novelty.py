"""Scores of novelty: one contract for all, closed forms, calibration, and what is refused."""

import re
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.stats import binom, kstest
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from dhm import TrainConfig, train
from dhm.data import load
from dhm.data.dataset import Dataset, Examples
from dhm.data.patterns import missing_entries, with_holes
from dhm.errors import ConfigError, DataError, RunError, UnsupportedError
from dhm.inference.novelty import COMBINATION, SCORES, NoveltyDetector, available
from dhm.inference.novelty.combination import Combination, Marginal
from dhm.inference.novelty.energy import Energy
from dhm.inference.novelty.gaussians import class_means, squared_distances, whitening
from dhm.inference.novelty.mahalanobis import MahalanobisZ
from dhm.inference.novelty.max_logit import MaxLogit
from dhm.inference.novelty.max_probability import MaxProbability
from dhm.inference.novelty.neighbours import K, NeighboursFeatures, NeighboursZ
from dhm.inference.novelty.relative_mahalanobis import RelativeMahalanobis
from dhm.inference.novelty.score import Score
from dhm.inference.novelty.typicality import Typicality
from dhm.inference.own_posterior import elbo
from dhm.models.base import Model
from dhm.models.build import build_model, load_model, save_model
from dhm.models.explicit import SupervisedHDGM

Bytes = NDArray[np.uint8]
Z_ALONE = {"mahalanobis-z", "neighbours-z"}
"""What an encoder makes of noise is near the mean of the prior, here and often: as known as can be.
That these grow with distance is tested where distances are given."""


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A hybrid of digits, trained on 1,000 of its training images for some seconds."""
    config = TrainConfig(
        unsup_weight=0.01,
        n_hidden=64,
        n_latent=16,
        epochs=6,
        n_batch=64,
        val_size=348,
        picture_every=0,
        n_eval_samples=1,
        run_dir=str(tmp_path_factory.mktemp("runs")),
        logname="x",
    )
    return load_model(train(config, progress=False)["run"])


@pytest.fixture(scope="module")
def parts(digits: Dataset) -> tuple[Examples, Bytes]:
    """The training examples of that run, and those it held out."""
    from dhm.data import split_validation

    trained, held_out = split_validation(digits.train, 348, 0)
    return trained, held_out.x


@pytest.fixture(scope="module")
def detector(model: Model, parts: tuple[Examples, Bytes]) -> NoveltyDetector:
    trained, held_out = parts
    return NoveltyDetector.fit(model, trained.x, trained.y, held_out)


@pytest.fixture(scope="module")
def noise() -> Bytes:
    return np.random.default_rng(0).integers(0, 256, (200, 1, 8, 8)).astype(np.uint8)


def untrained(name: str, data: Dataset, **options: Any) -> Model:
    torch.manual_seed(0)
    config = TrainConfig(model=name, **options).for_model()
    return build_model(name, config.network, data, config.own_options())


def auroc(known: Tensor, novel: Tensor) -> float:
    return (novel[:, None] > known).float().mean().item()


@pytest.mark.parametrize("kind", [COMBINATION, *SCORES])
def test_every_score(
    kind: str, detector: NoveltyDetector, digits: Dataset, noise: Bytes, tmp_path: Path
) -> None:
    known = detector.score(digits.test.x, kind)
    novel = detector.score(noise, kind)
    assert novel.shape == (200,) and novel.dtype == torch.float32 and novel.isfinite().all()
    assert novel.device == detector.model.standardize.scale.device and not novel.requires_grad
    if kind not in Z_ALONE:
        assert auroc(known, novel) > 0.8, "noise is more novel than digits"

    state = torch.get_rng_state()
    assert torch.equal(detector.score(noise, kind), novel), "one seed, one result"
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"

    detector.save(tmp_path / "novelty.safetensors")
    loaded = NoveltyDetector.load(tmp_path / "novelty.safetensors", detector.model)
    assert loaded.kinds == detector.kinds
    assert torch.equal(loaded.score(noise, kind), novel)
    assert torch.equal(loaded.p_value(noise, kind), detector.p_value(noise, kind))
    assert loaded.threshold(0.1, kind) == detector.threshold(0.1, kind)


def test_equal_detectors_are_equal_files(detector: NoveltyDetector, tmp_path: Path) -> None:
    one, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    detector.save(one)
    NoveltyDetector.load(one, detector.model).save(other)
    assert one.read_bytes() == other.read_bytes()


def test_all_scores_in_one_pass_are_those_of_one_each(
    detector: NoveltyDetector, noise: Bytes
) -> None:
    together = detector.scores(noise)
    assert tuple(together) == detector.kinds == (COMBINATION, *SCORES)
    for kind in detector.kinds:
        torch.testing.assert_close(together[kind], detector.score(noise, kind))


def test_plain_anomalies_are_certain(
    detector: NoveltyDetector, digits: Dataset, noise: Bytes
) -> None:
    known = detector.score(digits.test.x)
    constant = np.repeat(np.arange(0, 256, 5, dtype=np.uint8), 64).reshape(-1, 1, 8, 8)
    for novel in (noise, constant, 255 - digits.test.x):
        assert auroc(known, detector.score(novel)) >= 0.99


def test_p_values_are_uniform_on_new_digits(detector: NoveltyDetector, digits: Dataset) -> None:
    for kind in (COMBINATION, "neighbours-features", "log-likelihood"):
        assert kstest(detector.p_value(digits.test.x, kind).numpy(), "uniform").pvalue > 0.001


def test_p_values_and_thresholds_are_exact() -> None:
    """Of a score that is the input itself: everything has a closed form, and draws are cheap."""
    rng = np.random.default_rng(0)
    calibration = torch.from_numpy(rng.normal(size=1999).astype(np.float32)).sort().values
    model: Any = SimpleNamespace(spec=SimpleNamespace(model="m"))
    detector = NoveltyDetector(model, {}, Combination({}), {COMBINATION: calibration})
    fresh = torch.from_numpy(rng.normal(size=20_000).astype(np.float32))
    p = detector.p_value_of(fresh)
    expected = (1 + (calibration >= fresh[:50, None]).sum(1)) / 2000
    torch.testing.assert_close(p[:50], expected)
    assert kstest(p.numpy()[:2000], "uniform").pvalue > 0.001
    for rate in (0.0005, 0.01, 0.05, 0.29, 0.5):
        flagged = fresh > detector.threshold(rate)
        assert torch.equal(flagged, p <= rate + 1e-7), "two words for one thing"
        # The chance of an alarm given the calibration draws is itself spread, as a beta variable.
        spread = (rate * (1 - rate) * (1 / 20_000 + 1 / 2001)) ** 0.5
        assert abs(flagged.float().mean().item() - rate) < 4 * spread + 1 / 2000


def test_false_alarms_on_digits(detector: NoveltyDetector, digits: Dataset) -> None:
    n, rate = len(digits.test), 0.1
    alarms = int((detector.score(digits.test.x) > detector.threshold(rate)).sum())
    # 174 calibration examples: their own error is larger than that of the 449 tested.
    sd = (rate * (1 - rate) * (1 / n + 1 / 175)) ** 0.5
    assert abs(alarms / n - rate) < 3.3 * sd
    assert binom.cdf(alarms, n, 0.5) < 1e-6, "and not by flagging half of everything"


@pytest.mark.parametrize("pattern", ["random", "left", "block"])
def test_calibrated_for_gaps(detector: NoveltyDetector, digits: Dataset, pattern: str) -> None:
    whole = digits.test.x.astype(np.float32)
    x = with_holes(whole, missing_entries(pattern, (1, 8, 8), len(whole), rate=0.4))
    held_out, asked = x[:300], x[300:]
    fitting = detector.calibrated(held_out)
    assert fitting.kinds == detector.kinds and fitting.fitted is detector.fitted
    assert (detector.p_value(asked) <= 0.1).float().mean() > 0.5, "what this is for"
    for kind in (COMBINATION, "neighbours-features", "log-likelihood"):
        p = fitting.p_value(asked, kind)
        assert kstest(p.numpy(), "uniform").pvalue > 0.001
        torch.testing.assert_close(fitting.score(asked, kind), detector.score(asked, kind))


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_rates_are_shares(detector: NoveltyDetector, rate: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        detector.threshold(rate)


def test_rates_too_small_to_calibrate_are_refused(detector: NoveltyDetector) -> None:
    with pytest.raises(ConfigError, match=r"needs 999 calibration inputs, found 174"):
        detector.threshold(0.001)
    for n in (10, 11, 60, 700, 2000):  # what is advised is not refused in its turn
        few = NoveltyDetector(detector.model, {}, Combination({}), {COMBINATION: torch.arange(n)})
        with pytest.raises(ConfigError) as error:
            few.threshold(1e-6)
        assert few.threshold(float(str(error.value).rpartition("allow ")[2])) == n - 1


def asked(**answers: Tensor) -> Any:
    """Answers of a model that is not there."""
    return SimpleNamespace(**answers)


def test_scores_of_logits() -> None:
    logits = torch.tensor([[0.0, log(3.0)], [-40.0, 2.0]])
    answers = asked(logits=logits)
    torch.testing.assert_close(Energy()(answers), -torch.tensor([log(4.0), 2.0]))
    torch.testing.assert_close(MaxLogit()(answers), -torch.tensor([log(3.0), 2.0]))
    confidence = MaxProbability()(answers)
    torch.testing.assert_close(confidence[0], torch.tensor(-log(0.75)))
    # Where float32 calls the probability 1, confidence still differs: here by exp(-42).
    torch.testing.assert_close(confidence[1], torch.tensor(-42.0).exp())


def test_typicality_is_the_distance_from_the_mean() -> None:
    fitted = Typicality.fit(asked(log_px=torch.tensor([-10.0, -20.0])))
    torch.testing.assert_close(
        fitted(asked(log_px=torch.tensor([-15.0, -12.0, -21.0]))), torch.tensor([0.0, 3.0, 6.0])
    )


def blobs(n: int = 400, d: int = 5) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(1)
    y = torch.from_numpy(rng.integers(0, 3, n))
    mix = rng.normal(size=(d, d))
    means = 3 * rng.normal(size=(3, d))
    return torch.from_numpy(means[y] + rng.normal(size=(n, d)) @ mix).float(), y


def test_mahalanobis_is_scikit_learns() -> None:
    z, y = blobs()
    fitted = MahalanobisZ.fit(asked(z=z, labels=y))
    centres = np.stack([z[y == k].numpy().mean(0) for k in range(3)])
    shrunk = LedoitWolf(assume_centered=True).fit(z.numpy().astype(float) - centres[y])
    per_class = np.stack([shrunk.mahalanobis(z.numpy() - centre) for centre in centres])
    np.testing.assert_allclose(fitted(asked(z=z)), per_class.min(0), rtol=1e-4)
    # Of many examples the shrinkage is next to nothing.
    many, labels = blobs(100_000)
    centred = many.double() - class_means(many.double(), labels)[0][labels]
    plain = EmpiricalCovariance(assume_centered=True).fit(centred.numpy())
    ours = squared_distances(centred[:50], torch.zeros(1, 5).double(), whitening(centred))[:, 0]
    np.testing.assert_allclose(ours, plain.mahalanobis(centred[:50].numpy()), rtol=5e-3)


def test_relative_mahalanobis_subtracts_that_of_all_features() -> None:
    features, y = blobs()
    fitted = RelativeMahalanobis.fit(asked(features=features, labels=y))
    near = MahalanobisZ.fit(asked(z=features, labels=y))(asked(z=features))
    far = MahalanobisZ.fit(asked(z=features, labels=torch.zeros_like(y)))(asked(z=features))
    torch.testing.assert_close(fitted(asked(features=features)), near - far, rtol=1e-4, atol=1e-3)


def test_constant_features_and_fewer_examples_than_features_are_regular() -> None:
    few, y = torch.randn(6, 20), torch.arange(6) % 2
    for z in (few, torch.zeros(6, 20), torch.cat([few, torch.ones(6, 3)], 1)):
        fitted = MahalanobisZ.fit(asked(z=z, labels=y))
        assert fitted(asked(z=z)).isfinite().all()
        assert (fitted(asked(z=z + 100)) > fitted(asked(z=z)).max()).all()


@pytest.mark.parametrize("score, name", [(NeighboursZ, "z"), (NeighboursFeatures, "features")])
def test_neighbours_are_scikit_learns(score: Any, name: str) -> None:
    vectors, _ = blobs()
    fitted = score.fit(asked(**{name: vectors[:300]}))
    x = vectors.numpy()
    if name == "features":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    distances, _ = NearestNeighbors(n_neighbors=K).fit(x[:300]).kneighbors(x[300:])
    ours = fitted(asked(**{name: vectors[300:]}))
    np.testing.assert_allclose(ours, distances[:, -1], rtol=1e-3, atol=1e-4)


def test_regret_is_what_an_optimal_posterior_gains() -> None:
    """With p(x|z) of no slope the optimum is the prior, and the regret KL(q || p) exactly."""
    z = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(3), 1.0), 1)
    flat: Any = SimpleNamespace(log_px_given_z=lambda x, z: 0 * z.sum(-1), p_z=lambda: z)
    noise = torch.randn(200_000, 1, 3, generator=torch.manual_seed(0))
    mean, log_sd = torch.tensor([[1.0, 0.0, -0.5]]), torch.tensor([[-1.0, 0.0, 0.5]])
    x, zero = torch.zeros(1), torch.zeros(1, 3)
    gain = elbo(flat, x, zero, zero, noise) - elbo(flat, x, mean, log_sd, noise)
    kl = 0.5 * (mean.square() + (2 * log_sd).exp() - 2 * log_sd - 1).sum(1)
    torch.testing.assert_close(gain, kl, rtol=0.02, atol=0.02)


def test_scores_do_not_depend_on_the_other_inputs(
    detector: NoveltyDetector, digits: Dataset
) -> None:
    few, alone = detector.scores(digits.test.x[:3]), detector.scores(digits.test.x[2:3])
    for kind in detector.kinds:
        torch.testing.assert_close(few[kind][2:], alone[kind], rtol=1e-3, atol=1e-3)
    assert (few["likelihood-regret"] >= 0).all()
    assert all(p.grad is None for p in detector.model.parameters()), "the model is left alone"


def test_missing_entries(detector: NoveltyDetector, digits: Dataset) -> None:
    x = digits.test.x[:50].astype(np.float32)
    whole = detector.scores(x)
    x[:, :, :2, :2] = np.nan
    holed = detector.scores(x)
    for kind in detector.kinds:
        assert holed[kind].isfinite().all(), kind
        assert auroc(whole[kind], holed[kind]) < 0.8, f"a corner is missing, nothing new: {kind}"


def test_marginals_are_the_empirical_ones_up_to_the_tail() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=999).astype(np.float32))
    marginal = Marginal(values.sort().values)
    body = torch.tensor([-3.0, -1.0, 0.0, 0.7])
    expected = -(((values >= body[:, None]).sum(1) + 1) / 1000).log()
    torch.testing.assert_close(marginal.surprise(body), expected)
    far = marginal.surprise(torch.tensor([2.0, 4.0, 40.0, torch.inf]))
    assert (far.diff() > 0).all() and far[2] > 40, "beyond all values, distance still counts"
    assert marginal.surprise(torch.tensor([-40.0])) == 0
    both = Marginal(values.sort().values, two_sided=True)
    assert both.surprise(torch.tensor([-40.0])) > 40


def test_fresh_draws_have_exponential_surprise() -> None:
    """-log P(S >= s) is standard exponential, also in the tail of a distribution that has one."""
    rng = np.random.default_rng(0)
    marginal = Marginal(torch.from_numpy(rng.exponential(size=100_000)).sort().values)
    fresh = marginal.surprise(torch.from_numpy(rng.exponential(size=2000)))
    assert kstest(fresh.numpy(), "expon").pvalue > 0.001


def test_constant_scores_do_no_harm() -> None:
    marginal = Marginal(torch.full((50,), 3.0))
    at, above = marginal.surprise(torch.tensor([3.0, 3.1]))
    assert at == 0 and above > 100 and above.isfinite()


@pytest.mark.parametrize(
    ("name", "options", "absent"),
    [
        ("softmax", {}, {"log-likelihood", "neighbours-z", "reconstruction"}),
        ("semisup-ali", {}, {"log-likelihood", "typicality", "likelihood-regret"}),
        ("supervised-hdgm", {"sup_weight": 0.0}, {"energy", "mahalanobis-features"}),
        ("supervised-hdgm", {"unsup_weight": 0.0}, {"log-likelihood", "neighbours-z"}),
    ],
)
def test_what_a_model_cannot_give_is_left_out(
    name: str, options: dict[str, Any], absent: set[str], digits: Dataset, noise: Bytes
) -> None:
    model = untrained(name, digits, **options)
    fitted = NoveltyDetector.fit(model, digits.train.x[:200], digits.train.y[:200], digits.test.x)
    assert not absent & set(fitted.kinds) and set(fitted.kinds) == {COMBINATION, *available(model)}
    assert fitted.score(noise).isfinite().all()
    kind = sorted(absent)[0]
    needed = re.escape(SCORES[kind].requires.what)
    with pytest.raises(UnsupportedError, match=f"{kind} needs {needed}, which this {name} has not"):
        fitted.score(noise, kind)
    with pytest.raises(UnsupportedError, match=f"{kind} needs"):
        fitted.threshold(0.1, kind)


def test_misspelt_kinds_are_refused(detector: NoveltyDetector, noise: Bytes) -> None:
    with pytest.raises(ConfigError, match="did you mean 'typicality'"):
        detector.score(noise, "typicalty")


def test_other_shapes_are_refused(detector: NoveltyDetector) -> None:
    with pytest.raises(DataError, match="takes examples of shape"):
        detector.score(np.zeros((3, 1, 9, 9), np.uint8))


def test_too_few_examples_are_refused(model: Model, digits: Dataset) -> None:
    x, y = digits.train.x, digits.train.y
    with pytest.raises(DataError, match="at least 20 held-out inputs"):
        NoveltyDetector.fit(model, x, y, digits.test.x[:19])
    with pytest.raises(DataError, match="expected 1348 labels, one an input, found 3"):
        NoveltyDetector.fit(model, x, y[:3])


def test_inputs_that_give_no_number_are_novel(digits: Dataset) -> None:
    rng = np.random.default_rng(0)
    table = Examples(rng.normal(size=(300, 4)).astype(np.float32), np.arange(300) % 3)
    data = Dataset("made", table, table, ("a", "b", "c"))
    detector = NoveltyDetector.fit(untrained("supervised-hdgm", data), table.x, table.y)
    strange = np.full((2, 4), np.inf, np.float32)
    strange[1] = -strange[1]
    assert (detector.score(strange) > detector.threshold(0.05)).all()
    assert (detector.p_value(strange) <= 0.05).all()


def test_labels_may_be_missing(digits: Dataset, model: Model, noise: Bytes) -> None:
    """The predicted class takes the place of a label; those without one are held out first."""
    y = np.where(np.arange(len(digits.train)) % 2, digits.train.y, -1)
    few = NoveltyDetector.fit(model, digits.train.x[:400], y[:400])
    none = NoveltyDetector.fit(model, digits.train.x[:400])
    assert len(few.calibration[COMBINATION]) == len(none.calibration[COMBINATION]) == 50
    known = digits.test.x
    for detector in (few, none):
        assert auroc(detector.score(known), detector.score(noise)) > 0.99


def test_sizes_are_bounded(model: Model, digits: Dataset, tmp_path: Path) -> None:
    x, y = digits.train.x, digits.train.y
    detector = NoveltyDetector.fit(model, x, y, digits.test.x, max_train=50, max_held_out=40)
    assert detector.fitted["neighbours-z"].index.shape == (50, 16)  # type: ignore[attr-defined]
    assert {len(scores) for scores in detector.calibration.values()} == {20}


def test_files_of_other_weights_or_damaged_ones_are_refused(
    detector: NoveltyDetector, digits: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "novelty.safetensors"
    detector.save(path)
    other = untrained("softmax", digits)
    with pytest.raises(RunError, match="belongs to another model"):
        NoveltyDetector.load(path, other)
    with pytest.raises(RunError, match="no novelty detector at"):
        NoveltyDetector.load(tmp_path / "absent", detector.model)
    whole = path.read_bytes()
    for damaged in (whole[:50], whole[:-7], b"", b"\xff" * 100):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"novelty\.safetensors"):
            NoveltyDetector.load(path, detector.model)
    save_model(other, path)
    with pytest.raises(RunError, match="is not a novelty detector"):
        NoveltyDetector.load(path, other)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("calibration/energy", None),
        ("calibration/combination", None),
        ("marginal/max-probability", None),
        ("score/mahalanobis-features/means", None),
        ("calibration/energy", torch.zeros(0)),
        ("calibration/energy", torch.zeros(3, 2)),
        ("marginal/max-probability", torch.tensor([2.0, 1.0])),
    ],
)
def test_every_kind_has_what_it_needs(
    name: str, change: torch.Tensor | None, detector: NoveltyDetector, tmp_path: Path
) -> None:
    path = tmp_path / "novelty.safetensors"
    detector.save(path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    assert name in tensors
    del tensors[name]
    save_file(tensors if change is None else {**tensors, name: change}, path, metadata=header)
    with pytest.raises(RunError, match=f"damaged or of another version.*{name}"):
        NoveltyDetector.load(path, detector.model)


def test_the_model_is_left_as_it_was(model: Model, detector: NoveltyDetector, noise: Bytes) -> None:
    assert isinstance(model, SupervisedHDGM)
    model.train()
    try:
        once = detector.score(noise)
        assert model.training
    finally:
        model.eval()
    assert torch.equal(once, detector.score(noise)), "and no dropout is left on"


def test_memory_mapped_inputs(detector: NoveltyDetector, noise: Bytes, tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", noise)
    mapped = np.load(tmp_path / "noise.npy", mmap_mode="r")
    assert torch.equal(detector.score(mapped), detector.score(noise))


def test_scores_are_one_interface() -> None:
    for score in SCORES.values():
        assert (
            issubclass(score, Score)
            and score.__doc__
            and "References"
            in (score.__doc__ + "".join(base.__doc__ or "" for base in score.__mro__))
        )
