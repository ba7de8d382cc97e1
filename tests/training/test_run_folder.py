"""What a run leaves behind, and what it never destroys."""

import csv
import gc
import json
import math
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dhm import TrainConfig, evaluate, load_data, load_model
from dhm.errors import ConfigError, DHMError, DivergedError, RunError
from dhm.training.run_folder import RunFolder, new_run
from dhm.training.trainer import Trainer

Trained = Callable[..., Path]


def test_the_contents_of_a_run(curves: None, trained: Trained) -> None:
    run = trained(picture_every=1, seed=4, seed_data=5)
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint-2-0",
        "config.yaml",
        "curves.png",
        "last.safetensors",
        "metrics.csv",
        "model.safetensors",
        "reconstructions",
        "samples",
        "summary.json",
        "tensorboard",
    ]
    assert not list(run.rglob("*.tmp"))
    for kind in ("samples", "reconstructions"):
        names = [f"epoch_000{epoch}.png" for epoch in (1, 2)]
        assert sorted(path.name for path in (run / kind).iterdir()) == names
    for picture in run.rglob("*.png"):
        with Image.open(picture) as image:
            image.load()

    summary = json.loads((run / "summary.json").read_text())
    expected = {
        "dataset": "digits",
        "model": "supervised-hdgm",
        "network": "small",
        "seed": 4,
        "seed_data": 5,
        "n_train": 200,
        "n_labeled": 200,
        "n_validation": 135,
        "n_test": 449,
        "epochs": 2,
        "steps": 14,
    }
    assert {name: summary[name] for name in expected} == expected
    model = load_model(run)
    assert summary["parameters"] == sum(p.numel() for p in model.parameters())
    assert summary["wall_seconds"] > 0 and summary["examples_per_second"] > 0
    assert summary["versions"]["torch"] == version("torch")
    assert summary["hardware"]["device"] == "cpu" and summary["hardware"]["processes"] == 1
    test = evaluate(model, load_data("digits", seed_data=5).test, 2, seed=4)
    assert summary["test"] == pytest.approx(test)
    assert set(summary["validation"]) == {"error", "nll", "ece"}
    assert math.isfinite(summary["test"]["log_likelihood"])

    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "7"), ("2", "14")]
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    for name in set(rows[0]) - {"epoch", "step"}:
        found = [(e.step, e.value) for e in events.Scalars(name)]
        assert found == [(i, pytest.approx(float(row[name]))) for i, row in enumerate(rows, 1)]


def test_a_model_without_a_density_says_null(trained: Trained) -> None:
    run = trained(model="softmax", picture_every=1)
    assert json.loads((run / "summary.json").read_text())["test"]["log_likelihood"] is None
    assert not (run / "samples").exists()


def test_tensorboard_shows_a_resumed_run_once(trained: Trained) -> None:
    trained(epochs=2, rampdown=0)
    run = trained(epochs=3, rampdown=0, resume=True)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("val_error")] == [1, 2, 3]


@pytest.fixture
def old(trained: Trained) -> Iterator[Path]:
    """A run named x, which must be as it was when the test ends."""
    run = trained(model="softmax", epochs=1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    yield run
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after == before
    assert [path.name for path in run.parent.iterdir()] == ["x"]


def test_a_run_is_not_overwritten_unasked(old: Path, trained: Trained) -> None:
    with pytest.raises(RunError, match=r"exists; go on with it by --resume.*--overwrite"):
        trained()


@pytest.mark.parametrize(
    "options",
    [
        {"n_batch": 10**6},
        {"dataset": "absent.npz"},
        {"n_labeled": 10**6},
        {"device": "nonsense"},
        {"reload": "absent"},
        {"likelihood": "discretized-logistic", "dataset": "float.npz"},
        {"logname": None},
    ],
    ids=str,
)
def test_overwriting_loses_nothing_when_options_or_data_are_wrong(
    old: Path,
    trained: Trained,
    tmp_path: Path,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    y = np.arange(80) % 2
    np.savez(tmp_path / "float.npz", x=np.full((80, 8, 8), 0.5, np.float32), y=y)
    with pytest.raises(DHMError):
        trained(overwrite=True, **{"n_labeled": 20, **options})


def test_overwriting_loses_nothing_when_the_new_run_fails_at_once(
    old: Path, trained: Trained
) -> None:
    with pytest.raises(DivergedError, match="no longer finite in epoch 1: try a smaller --lr"):
        trained(overwrite=True, alg="sgd", lr=1e30, clip_norm=0.0, clip_value=0.0)


def test_overwriting_loses_nothing_when_interrupted_early(
    old: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(self: Trainer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "fit", fit)
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        trained(overwrite=True)


def test_overwriting_replaces_a_run(trained: Trained) -> None:
    old = trained(model="softmax")
    (old / "notes.txt").touch()
    new = trained(overwrite=True)
    assert new == old and not (new / "notes.txt").exists()
    assert "supervised-hdgm" in (new / "config.yaml").read_text()
    assert [path.name for path in new.parent.iterdir()] == ["x"]


@pytest.mark.parametrize("content", ["", "name: something else", "[1, 2"])
def test_overwriting_spares_what_is_not_a_run(
    trained: Trained, tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "runs" / "x"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    (folder / "config.yaml").write_text(content)
    with pytest.raises(RunError, match="is not a run folder; --overwrite will not remove it"):
        trained(overwrite=True)
    assert (folder / "thesis.tex").exists()


def test_overwriting_spares_a_file(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x").write_text("mine")
    with pytest.raises(RunError, match="not a run folder"):
        trained(overwrite=True)


@pytest.mark.parametrize("run_dir", ["file", "file/sub", "/proc/dhm", "/dev/null", "link"])
@pytest.mark.parametrize("logname", ["x", None])
def test_an_unwritable_place_is_one_error(
    trained: Trained, tmp_path: Path, run_dir: str, logname: str | None
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere/at/all")
    with pytest.raises(RunError, match="cannot write") as caught:
        trained(run_dir=str(tmp_path / run_dir), logname=logname)
    assert "\n" not in str(caught.value)


def test_a_name_too_long_is_one_error(trained: Trained) -> None:
    with pytest.raises(RunError, match="File name too long"):
        trained(logname="x" * 300)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/tmp/a", "a\\b", "a\nb"])
def test_a_name_is_of_one_folder(trained: Trained, name: str) -> None:
    with pytest.raises(ConfigError, match="--logname is the name of one folder"):
        trained(logname=name)


def test_runs_without_a_name_are_numbered(tmp_path: Path) -> None:
    names = [new_run(tmp_path / "runs", "a").path.name for _ in range(3)]
    assert names == ["a", "a-2", "a-3"]


def test_checkpoints_are_in_the_order_of_training(tmp_path: Path) -> None:
    for name in ("10-0", "2-0", "9-40", "9-5"):
        (tmp_path / f"checkpoint-{name}").mkdir()
    (tmp_path / "checkpoint-mine-too").mkdir()
    (tmp_path / "checkpoint.tmp").mkdir()
    run = RunFolder(tmp_path)
    assert [p.name[11:] for p in run.checkpoints()] == ["2-0", "9-5", "9-40", "10-0"]
    assert run.latest_checkpoint() == tmp_path / "checkpoint-10-0"


def test_a_failed_write_keeps_the_last_whole_checkpoint(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from accelerate import Accelerator

    original, calls = Accelerator.save_state, []

    def save_state(self: Accelerator, folder: str, **options: Any) -> None:
        calls.append(folder)
        original(self, folder, **options)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Accelerator, "save_state", save_state)
    with pytest.raises(RunError, match=r"cannot write .*checkpoint-2-0: No space left on device"):
        trained()
    run = tmp_path / "runs" / "x"
    assert [path.name for path in run.glob("checkpoint*")] == ["checkpoint-1-0"]
    monkeypatch.undo()
    assert trained(resume=True) == run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of a size such as 16k."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = []

    def mount(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small disk is not permitted here")
        mounted.append(place)
        return place

    yield mount
    gc.collect()  # the traceback of a failed write has the file open
    for _ in mounted:
        subprocess.run(["umount", str(place)], check=True)


# Full when the weights, the metrics, the first or the second checkpoint are written.
@pytest.mark.parametrize(("size", "left"), [("8k", 0), ("16k", 0), ("32k", 0), ("68k", 1)])
def test_a_full_disk_is_one_error(
    trained: Trained, small_disk: Callable[[str], Path], size: str, left: int
) -> None:
    disk = small_disk(size)
    with pytest.raises(
        RunError, match=r"cannot write .*(No space left|is the disk full)"
    ) as caught:
        trained(model="softmax", run_dir=str(disk))
    assert "\n" not in str(caught.value)
    assert len(list(disk.glob("*/checkpoint-1-0"))) == left
    assert not list(disk.glob("*/checkpoint.tmp")) and len(list(disk.iterdir())) == left


def test_overwriting_on_a_full_disk_loses_nothing(
    trained: Trained, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("200k")
    run = trained(model="softmax", run_dir=str(disk), epochs=1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="cannot write"):
        trained(model="supervised-mlp", run_dir=str(disk), overwrite=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_that_diverges_later_keeps_its_good_weights(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = Trainer._train_epoch

    def train_epoch(self: Trainer, interrupted: list[int]) -> None:
        original(self, interrupted)
        if self.state.epoch == 1:
            for parameter in self.model.parameters():
                parameter.data.fill_(torch.nan)

    monkeypatch.setattr(Trainer, "_train_epoch", train_epoch)
    with pytest.raises(DivergedError, match="validation loss is no longer finite in epoch 2"):
        trained()
    model = load_model(tmp_path / "runs" / "x")
    assert all(p.isfinite().all() for p in model.parameters())


def test_pictures_are_left_out_where_there_are_none(
    trained: Trained, tmp_path: Path, small: Callable[..., TrainConfig]
) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    for name, shape in {"vectors": (3,), "four": (4, 8, 8)}.items():
        x = rng.random((80, *shape), np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x, y=np.arange(80) % 2)
        path = str(tmp_path / f"{name}.npz")
        run = trained(dataset=path, logname=name, picture_every=1, n_labeled=20, n_batch=10)
        assert not (run / "samples").exists()


def test_a_run_put_aside_survives_two_runs_killed_before_their_first_checkpoint(
    tmp_path: Path,
) -> None:
    """A killed process runs no cleaning up, so `create` finds what it left."""
    run = RunFolder(tmp_path / "x")
    run.create(overwrite=False)
    run.write_config({"dataset": "digits", "model": "softmax", "seed": 0})
    run.checkpoint(1, 0).mkdir()
    run.weights.write_text("good")
    for _ in range(2):
        run.create(overwrite=True)
        run.write_config({"dataset": "digits", "model": "softmax", "seed": 0})
        assert (run.replaced / run.weights.name).read_text() == "good"
    run.abandon_if_empty()
    assert run.weights.read_text() == "good"
