"""Runs of the implicit family: what the loop does for a model of two players without a density."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dhm import load_model
from dhm.cli import main
from dhm.errors import ConfigError
from dhm.models.base import Batch, LatentModel
from dhm.models.implicit import SemisupALI
from dhm.training.trainer import Trainer

Trained = Callable[..., Path]
ALI: dict[str, Any] = {
    **{"model": "semisup-ali", "n_labeled": 50, "n_lbl_batch": 50, "n_batch": 200, "n_latent": 8},
    **{"epochs": 1, "ema": 0.0},
}


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def initialised(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that models were initialised from."""
    seen: list[Batch] = []
    original = SemisupALI.initialize

    def initialize(self: SemisupALI, batch: Batch) -> None:
        seen.append(batch)
        original(self, batch)

    monkeypatch.setattr(SemisupALI, "initialize", initialize)
    return seen


@pytest.mark.parametrize("network", ["small", "mlp"])
def test_it_learns_to_classify_and_to_generate(trained: Trained, network: str) -> None:
    """Ten labels a class: chance is 90 % wrong, and an untrained generator makes grey pixels."""
    run = trained(
        **ALI | {"n_labeled": 100, "network": network, "n_batch": 100, "epochs": 12, "ema": 0.99}
    )
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test"]["error"] < 0.2
    assert summary["test"]["log_likelihood"] is None
    first, last = rows(run)[0], rows(run)[-1]
    assert float(last["train_nll_y"]) < 0.3 * float(first["train_nll_y"])
    model = load_model(run)
    assert isinstance(model, LatentModel)
    with torch.no_grad():
        torch.manual_seed(0)
        drawn = model.decode(model.sample_prior(200)).mean().item()
    assert drawn == pytest.approx(0.305, abs=0.12), "the mean pixel of digits; at first it is 0.5"


def test_the_loss_terms_are_logged(trained: Trained) -> None:
    (row,) = rows(trained(**ALI | {"sup_weight": 2.0, "unsup_weight": 0.5}))
    data, generated = float(row["train_nll_data"]), float(row["train_nll_generated"])
    critic = 2 * float(row["train_nll_y"]) + 0.5 * 0.5 * (data + generated)
    total = critic + float(row["train_feature_matching"])
    assert float(row["train_loss"]) == pytest.approx(total, rel=1e-5)
    assert "val_bound" not in row
    (row,) = rows(trained(**ALI | {"logname": "y", "generator_loss": "adversarial"}))
    assert float(row["train_adversarial"]) > 0 and "train_feature_matching" not in row


def test_weights_are_adapted_to_the_first_batch_of_a_fresh_run_only(
    trained: Trained, initialised: list[Batch]
) -> None:
    run = trained(**ALI)
    assert [len(b.x_unlabeled) for b in initialised if b.x_unlabeled is not None] == [174]
    trained(resume=True, **ALI | {"epochs": 2})
    trained(**ALI | {"logname": "again", "reload": str(run)})
    assert len(initialised) == 1


def test_without_unlabelled_weight_generator_and_encoder_stay_as_they_were(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before: dict[str, torch.Tensor] = {}
    fit = Trainer.fit

    def noting(self: Trainer) -> None:
        before.update({name: p.clone() for name, p in self.model.named_parameters()})
        fit(self)

    monkeypatch.setattr(Trainer, "fit", noting)
    run = trained(**ALI | {"unsup_weight": 0.0})
    after = dict(load_model(run / "last.safetensors").named_parameters())
    changed = {k.partition(".")[0] for k, v in after.items() if not torch.equal(v, before[k])}
    assert changed == {"critic"}
    assert main(["sample", str(run), "-o", "s.png"]) == 2
    assert "has no p(x) to sample from" in capsys.readouterr().err


def test_without_labelled_weight_the_last_weights_are_kept(trained: Trained) -> None:
    run = trained(**ALI | {"sup_weight": 0.0, "epochs": 2})
    summary = json.loads((run / "summary.json").read_text())
    assert summary["best_epoch"] == 2
    assert summary["test"] == dict.fromkeys(("error", "nll", "ece", "log_likelihood"))
    files = [run / name for name in ("model.safetensors", "last.safetensors")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_samples_and_reconstructions_are_drawn(trained: Trained, tmp_path: Path) -> None:
    run = trained(**ALI | {"picture_every": 1})
    for kind in ("samples", "reconstructions"):
        assert [path.name for path in (run / kind).iterdir()] == ["epoch_0001.png"]
    picture = str(tmp_path / "s.png")
    assert main(["sample", str(run), "-n", "4", "-o", picture]) == 0
    assert Path(picture).stat().st_size > 100


def test_one_example_in_a_step_is_one_error(trained: Trained) -> None:
    with pytest.raises(ConfigError, match="--n_batch"):
        trained(**ALI | {"n_batch": 1})
