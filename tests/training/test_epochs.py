"""What the loop does around an epoch: methods prepare before it, statistics are refreshed after."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dhm import TrainConfig, load_data, load_model
from dhm.consistency.label_spreading import LabelSpreading
from dhm.errors import ConfigError
from dhm.evaluation.evaluate import evaluate
from dhm.models.base import Model
from dhm.nn.batch_norm import BatchNorm
from dhm.training import train as module
from dhm.training.progress import Progress
from dhm.training.run_folder import RunFolder
from dhm.training.trainer import Trainer

Trained = Callable[..., Path]
FEW: dict[str, Any] = {
    **{"model": "semisup-cnn", "network": "strided"},
    **{"n_labeled": 50, "n_lbl_batch": 20, "n_batch": 200},  # 7 steps an epoch
}


@pytest.fixture
def spread_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool, bool]]:
    """Each spreading's epoch, whether an epoch was begun, and whether the average was given."""
    noted: list[tuple[int, bool, bool]] = []
    trainers: list[Trainer] = []
    fit, spread = Trainer.fit, LabelSpreading.start_epoch

    def noting_fit(self: Trainer) -> None:
        trainers.append(self)
        fit(self)

    def start_epoch(self: LabelSpreading, model: Model, epoch: int) -> None:
        before = self.q.clone()
        spread(self, model, epoch)
        if not torch.equal(self.q, before):
            trainer = trainers[-1]
            average = trainer.average is not None and model is trainer.average.module
            noted.append((epoch, trainer.state.step_in_epoch > 0, average))

    monkeypatch.setattr(Trainer, "fit", noting_fit)
    monkeypatch.setattr(LabelSpreading, "start_epoch", start_epoch)
    return noted


def test_what_methods_prepare_for_an_epoch_counts_among_its_seconds(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LabelSpreading, "start_epoch", lambda *_: time.sleep(1))
    run = RunFolder.of(trained(epochs=2, label_spreading=1.0, **FEW))
    with run.metrics.open() as file:
        assert all(float(row["seconds"]) > 1 for row in csv.DictReader(file))
    assert run.read_summary()["wall_seconds"] > 2


def test_labels_are_spread_before_an_epoch_every_so_many(
    trained: Trained, spread_at: list[tuple[int, bool, bool]]
) -> None:
    options = {**FEW, "label_spreading": 1.0, "spread_every": 2}
    trained(epochs=5, ema=0.9, logname="average", **options)
    assert spread_at == [(0, False, True), (2, False, True), (4, False, True)]
    spread_at.clear()
    trained(epochs=3, logname="none", **options)
    assert spread_at == [(0, False, False), (2, False, False)]


def test_labels_are_not_spread_anew_by_going_on_within_an_epoch(
    trained: Trained, spread_at: list[tuple[int, bool, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(1000))
    with monkeypatch.context() as context:

        def step(self: Progress, *arguments: Any) -> None:
            if next(steps) == 9:  # in the second epoch
                raise KeyboardInterrupt

        context.setattr(Progress, "step", step)
        options = {**FEW, "label_spreading": 1.0, "spread_every": 1, "checkpoint_every": 1}
        with pytest.raises(KeyboardInterrupt):
            trained(epochs=2, **options)
    assert [epoch for epoch, *_ in spread_at] == [0, 1]
    spread_at.clear()
    trained(epochs=2, resume=True, **options)
    assert spread_at == []


def running(model: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in model.state_dict().items() if "running" in k}


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_kept_weights_have_the_statistics_of_training_inputs(
    trained: Trained, small: Callable[..., TrainConfig], ema: float
) -> None:
    """Worked out anew, in one batch of everything, they and the predictions are much the same."""
    options = {**FEW, "ema": ema, "fixmatch": 1.0, "epochs": 1}
    kept = load_model(trained(**options) / "last.safetensors")
    data = module.prepare(load_data("digits"), small(**options).for_model())
    assert data.unlabeled is not None
    x = torch.from_numpy(data.unlabeled.x)
    clean = load_model(trained(logname="again", **options) / "last.safetensors")
    for layer in clean.modules():
        if isinstance(layer, BatchNorm):
            layer.train()
            layer.momentum = 1.0
    with torch.no_grad():
        clean.features(x)
    clean.eval()
    for name, value in running(kept).items():
        torch.testing.assert_close(value, running(clean)[name], atol=0.02, rtol=0.1, msg=name)
    figures = [evaluate(model, data.validation, seed=0) for model in (kept, clean)]
    assert figures[0]["nll"] == pytest.approx(figures[1]["nll"], rel=0.05)


def test_statistics_are_refreshed_from_few_batches_over_all(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def refresh(network: nn.Module, forward: Any, batches: Any) -> None:
        seen.extend(batches)

    monkeypatch.setattr("dhm.training.trainer.refresh_statistics", refresh)
    monkeypatch.setattr("dhm.training.trainer.N_STATISTICS", 1100)
    trained(epochs=1, **{**FEW, "val_size": 97})
    assert [len(batch) for batch in seen] == [550, 550]
    assert len(np.unique(torch.cat(seen).flatten(1), axis=0)) > 1000


@pytest.mark.parametrize(("warmup", "best"), [(0.0, 1), (2.0, 2), (2.5, 3), (9.0, 4)])
def test_no_epoch_of_a_warm_up_is_best(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, warmup: float, best: int
) -> None:
    """The error knows nothing of a bound that is not whole yet."""
    errors = iter(range(1, 5))

    def worse(*_: Any, **__: Any) -> dict[str, float]:
        return {"error": next(errors) / 10, "nll": 1.0, "ece": 0.1, "log_likelihood": -1.0}

    monkeypatch.setattr("dhm.training.trainer.evaluate", worse)
    run = trained(model="supervised-hdgm", warmup=warmup, epochs=4)
    assert RunFolder.of(run).read_summary()["best_epoch"] == best


@pytest.mark.parametrize("sorted_by_class", [True, False])
def test_statistics_are_of_batches_of_all_classes(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sorted_by_class: bool
) -> None:
    """In whatever order the data is: the variance within one class is not that of the data."""
    data = load_data("digits")
    x = np.concatenate([data.train.x, data.test.x])
    y = np.concatenate([data.train.y, data.test.y])
    order = np.argsort(y, kind="stable")
    if not sorted_by_class:  # class after class, 0 to 9 and again
        turn = np.concatenate([np.arange(n) for n in np.bincount(y)])
        order = order[np.argsort(turn, kind="stable")]
    np.savez(tmp_path / "sorted.npz", x=x[order], y=y[order])
    seen: list[Tensor] = []

    def refresh(network: nn.Module, forward: Any, batches: Any) -> None:
        seen.extend(batches)

    monkeypatch.setattr("dhm.training.trainer.refresh_statistics", refresh)
    monkeypatch.setattr("dhm.training.trainer.N_STATISTICS", 1000)
    trained(dataset=str(tmp_path / "sorted.npz"), epochs=1, **FEW)
    classes = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
    assert len(seen) == 2
    for batch in seen:
        counts = np.bincount([classes[image.numpy().tobytes()] for image in batch], minlength=10)
        assert counts.min() > 30


def test_a_batch_of_one_is_one_error_and_leaves_nothing(trained: Trained, tmp_path: Path) -> None:
    for options in (
        {"model": "supervised-cnn", "n_labeled": 33, "n_batch": 2},
        {"model": "supervised-hdgm", "n_labeled": 33, "n_batch": 2},
        {"model": "semisup-cnn", "n_labeled": 33, "n_lbl_batch": 1},
    ):
        with pytest.raises(ConfigError, match=r"found a batch of one.*--n_lbl_batch") as error:
            trained(network="strided", **options)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "runs" / "x").exists()
