"""A run that was stopped anywhere goes on exactly as if it never had been."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dhm import TrainConfig
from dhm.cli import main
from dhm.config import read_config
from dhm.errors import ConfigError, RunError
from dhm.models.build import load_model, save_model
from dhm.training.progress import Progress

Trained = Callable[..., Path]
Same = Callable[[Path, Path], None]


class Killed(BaseException):
    """Stands in for a process that ends without a word."""


@pytest.fixture
def stop_at() -> Callable[..., Any]:
    """Does something after so many steps, until undone by the context manager's end."""

    def stop(step: int, action: Callable[[], Any]) -> Any:
        steps = iter(range(1, 10**6))
        context = pytest.MonkeyPatch()
        original = Progress.step

        def counted(self: Progress, *arguments: Any) -> None:
            if next(steps) == step:
                action()
            original(self, *arguments)

        context.setattr(Progress, "step", counted)
        return context

    return stop


def kill() -> None:
    raise Killed


# Of 7 steps an epoch: within the first, at its end, in the second.
CASES = {
    "hybrid with average": (3, {"ema": 0.9}),
    "at the end of an epoch": (7, {"ema": 0.9}),
    "in the second epoch": (10, {"ema": 0.9}),
    "cycled labels": (
        9,
        {"model": "semisup-hdgm", "n_labeled": 50, "n_lbl_batch": 20, "n_batch": 200},
    ),
    "two players": (
        9,
        {"model": "semisup-ali", "n_labeled": 50, "n_lbl_batch": 20, "n_batch": 200, "n_latent": 4},
    ),
    "no auxiliary variable": (9, {"n_aux": 0}),
    "cnn, momentless": (5, {"model": "supervised-cnn", "alg": "sgd", "lr": 0.1}),
    "warm-up, K samples": (9, {"warmup": 1.5, "n_samples": 2, "rampdown": 1}),
    "consistency": (
        10,
        {
            "model": "semisup-cnn",
            **{"n_labeled": 50, "n_lbl_batch": 20, "n_batch": 200, "rampup": 1.0},
            **{"temporal_ensembling": 1.0, "mean_teacher": 1.0, "fixmatch": 1.0, "threshold": 0.2},
            **{"vat": 1.0, "mixup": 1.0},
        },
    ),
    "labels spread, refreshed statistics": (
        10,
        {
            **{"model": "semisup-cnn", "network": "strided", "ema": 0.9, "epochs": 3},
            **{"n_labeled": 50, "n_lbl_batch": 20, "n_batch": 200},
            **{"label_spreading": 1.0, "spread_every": 1},
        },
    ),
    "black and white images": (10, {"binarize": True, "network": "strided", "ema": 0.9}),
    "consistency of a hybrid": (9, {"iic": 0.5, "pi_model": 2.0, "augment": "image", "ema": 0.9}),
    "patience": (9, {"patience": 1, "epochs": 4, "lr": 1e-5}),
}


@pytest.mark.parametrize(("step", "options"), CASES.values(), ids=CASES.keys())
def test_resumes_bit_identically_after_a_kill(
    trained: Trained,
    assert_same_run: Same,
    stop_at: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    step: int,
) -> None:
    whole = trained(logname="whole", **options)
    context = stop_at(step, kill)
    with pytest.raises(Killed):
        trained(checkpoint_every=2, **options)
    context.undo()
    resumed = trained(resume=True, checkpoint_every=2, **options)
    assert_same_run(whole, resumed)
    summaries = [json.loads((run / "summary.json").read_text()) for run in (whole, resumed)]
    for part in ("validation", "test", "steps", "epochs"):
        assert summaries[0][part] == summaries[1][part]
    assert not caplog.messages, "nothing to say of what is kept"


def test_a_checkpoint_of_before_goes_on(trained: Trained, assert_same_run: Same) -> None:
    """Its model was safetensors, which is still read."""
    whole = trained(logname="whole", epochs=3, rampdown=0)
    checkpoint = trained(rampdown=0) / "checkpoint-2-0"
    kept = torch.load(checkpoint / "pytorch_model.bin")
    kept = {name: tensor.contiguous() for name, tensor in kept.items()}
    save_file(kept, checkpoint / "model.safetensors")
    (checkpoint / "pytorch_model.bin").unlink()
    assert_same_run(whole, trained(resume=True, epochs=3, rampdown=0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_under_way(
    trained: Trained, assert_same_run: Same, stop_at: Callable[..., Any], number: int
) -> None:
    handler = signal.getsignal(number)
    whole = trained(logname="whole")
    context = stop_at(4, lambda: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt, match=r"dhm train --logname x --run_dir .* --resume"):
        trained()
    context.undo()
    run = whole.with_name("x")
    assert [path.name for path in run.glob("checkpoint*")] == ["checkpoint-0-5"]
    assert signal.getsignal(number) is handler, "put back as it was"
    assert_same_run(whole, trained(resume=True))


def test_the_command_to_go_on_with_can_be_typed(
    trained: Trained, stop_at: Callable[..., Any], tmp_path: Path
) -> None:
    context = stop_at(4, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as stopped:
        trained(run_dir=str(tmp_path / "other $dir"), logname="its run")
    context.undo()
    words = shlex.split(str(stopped.value).removeprefix("go on with: "))
    assert words[:2] == ["dhm", "train"]
    assert main([*words[1:], "-q"]) == 0
    assert (tmp_path / "other $dir" / "its run" / "summary.json").exists()


def test_a_signal_in_the_last_evaluation_is_heeded(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Progress, row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Progress, "epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained()


def wait_for_checkpoint(run: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not any(run.glob("checkpoint-0-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


# Long enough an epoch that a signal falls into it: 120 steps.
LONG = ("--n-labeled", 240, "--n-batch", 2, "-e", 2, "--checkpoint-every", 20, "-l", "x", "-q")
SIZES = ("--n-hidden", 16, "--n-latent", 4, "--n-aux", 2, "--n-eval-samples", 2)


def test_resumes_bit_identically_after_sigkill_and_sigint(
    start: Callable[..., "subprocess.Popen[str]"],
    tmp_path: Path,
    assert_same_run: Same,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [str(word) for word in ("train", *LONG, *SIZES, "--ema", 0.99)]
    stopped = start("-m", "dhm", *words)
    run = tmp_path / "runs" / "x"
    wait_for_checkpoint(run, stopped)
    stopped.kill()
    stopped.communicate()

    resumed = start("-m", "dhm", "train", "-l", "x", "--resume")
    saved = {path.name for path in run.glob("checkpoint-*")}
    while {path.name for path in run.glob("checkpoint-*")} == saved:
        assert resumed.poll() is None
        time.sleep(0.01)
    resumed.send_signal(signal.SIGINT)
    _, error = resumed.communicate()
    assert resumed.returncode == 130
    said = error.strip().splitlines()[-1]
    assert said == "dhm: interrupted; go on with: dhm train --logname x --resume"
    assert "Traceback" not in error

    monkeypatch.chdir(tmp_path)
    assert main(["train", "-l", "x", "--resume"]) == 0
    assert main([*words, "--run-dir", "whole"]) == 0
    assert_same_run(tmp_path / "whole" / "x", run)


def test_a_finished_run_says_so_and_repeats_its_figures(
    trained: Trained, small: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert main(["train", "-l", "x", "--run-dir", str(run.parent), "--resume"]) == 0
    out, err = capsys.readouterr()
    assert "finished after 2 epochs" in err and "test" in out
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}


def test_a_finished_run_is_extended_by_more_epochs(trained: Trained, assert_same_run: Same) -> None:
    # Without a ramp the length does not matter to the first epochs.
    whole = trained(logname="whole", epochs=3, rampdown=0)
    trained(rampdown=0)
    extended = trained(resume=True, epochs=3, rampdown=0)
    assert_same_run(whole, extended)
    assert "epochs: 3" in (extended / "config.yaml").read_text()
    with pytest.raises(ConfigError, match="--epochs 2 is fewer than the 3"):
        trained(resume=True, epochs=2, rampdown=0)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("seed_data", 1, "--seed_data 1: the run .* was started with 0"),
        ("reload", "y", "--reload y: the run .* was started without"),
        ("keep", "last", "--keep last: .* with best"),
        ("model", "softmax", "--model softmax: .* with supervised-hdgm"),
    ],
)
def test_a_run_does_not_go_on_as_another(
    trained: Trained, option: str, value: Any, message: str
) -> None:
    run = trained()
    before = (run / "config.yaml").read_text()
    with pytest.raises(ConfigError, match=message):
        trained(resume=True, epochs=3, **{option: value})
    assert (run / "config.yaml").read_text() == before


def test_what_is_left_open_is_as_the_run_was_started(trained: Trained) -> None:
    trained(rampdown=0, n_batch=30)
    run = trained(resume=True, epochs=4, n_batch=None)
    options = read_config(run / "config.yaml")
    assert (options["epochs"], options["rampdown"], options["n_batch"]) == (4, 0, 30)


def test_what_is_from_before_an_option_stays_as_it_was(trained: Trained, tmp_path: Path) -> None:
    run = trained(model="semisup-hdgm", detach_z=False, prior="gaussian")
    options = (run / "config.yaml").read_text()
    older_options = options.replace("detach_z: false\n", "").replace("prior: gaussian\n", "")
    (run / "config.yaml").write_text(older_options)
    trained(resume=True, model="semisup-hdgm", epochs=3)
    assert (run / "config.yaml").read_text() == options.replace("epochs: 2", "epochs: 3")
    older = load_model(run)
    for name in ("detach_z", "prior"):
        del older.spec.options[name]
    save_model(older, tmp_path / "older.safetensors")
    again = load_model(tmp_path / "older.safetensors")
    assert again.detach_z is False and again.has_density and not again.joint


def test_what_was_filled_in_for_the_old_length_is_filled_in_anew(trained: Trained) -> None:
    run = trained(epochs=4)
    trained(resume=True, epochs=6)
    options = read_config(run / "config.yaml")
    assert (options["epochs"], options["rampdown"]) == (6, 3)
    words = ["train", "-l", run.name, "--run_dir", str(run.parent), "--resume", "-q"]
    assert main([*words, "-e", "8"]) == 0
    options = read_config(run / "config.yaml")
    assert (options["epochs"], options["rampdown"]) == (8, 4)
    assert main([*words, "-e", "10", "--rampdown", "4"]) == 0  # typed
    options = read_config(run / "config.yaml")
    assert (options["epochs"], options["rampdown"]) == (10, 4)


def test_a_run_without_its_summary_gets_it(trained: Trained) -> None:
    run = trained()
    before = json.loads((run / "summary.json").read_text())
    (run / "summary.json").unlink()
    trained(resume=True)
    assert json.loads((run / "summary.json").read_text())["test"] == before["test"]


@pytest.fixture(scope="module")
def damaged_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dhm import train

    folder = tmp_path_factory.mktemp("damaged")
    sizes: dict[str, Any] = {"n_hidden": 16, "n_latent": 4, "n_aux": 2, "n_eval_samples": 1}
    config = TrainConfig(n_labeled=50, epochs=1, ema=0.9, run_dir=str(folder), logname="x", **sizes)
    train(config, progress=False)
    return folder


@pytest.mark.parametrize("damage", ["cut", "noise", "absent"])
@pytest.mark.parametrize(
    "file",
    [
        "pytorch_model.bin",
        "optimizer.bin",
        "random_states_0.pkl",
        "custom_checkpoint_0.pkl",
        "custom_checkpoint_1.pkl",
    ],
)
def test_a_damaged_checkpoint_is_one_error(
    damaged_runs: Path, tmp_path: Path, file: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(damaged_runs / "x", tmp_path / "x")
    path = tmp_path / "x" / "checkpoint-1-0" / file
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "noise":
        path.write_bytes(os.urandom(len(content)))
    else:
        path.unlink()
    words = ["train", "-l", "x", "--run_dir", str(tmp_path), "--resume", "--epochs", "2"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("dhm: error: the checkpoint") and error.count("\n") == 1
    assert "--reload" in error
    assert (tmp_path / "x" / "model.safetensors").exists()


def test_generators_that_are_not_restored_are_noticed(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained()
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    with pytest.raises(RunError, match="random generators"):
        trained(resume=True, epochs=3, rampdown=1)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "optimizer.bin", "custom_checkpoint_0.pkl"])
def test_code_in_a_checkpoint_is_not_run(trained: Trained, tmp_path: Path, file: str) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    run = trained()
    torch.save({"epoch": Evil()}, run / "checkpoint-2-0" / file)
    with pytest.raises(RunError, match="damaged"):
        trained(resume=True, epochs=3, rampdown=1)
    assert not (tmp_path / "ran").exists()


def test_other_processes_or_device_are_refused(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained()
    file = run / "checkpoint-2-0" / "custom_checkpoint_0.pkl"
    state = torch.load(file)
    torch.save(state | {"processes": 2}, file)
    with pytest.raises(RunError, match="made by 2 processes on cpu, and 1 process on cpu cannot"):
        trained(resume=True, epochs=3, rampdown=1)


def test_resume_without_a_run_is_refused(trained: Trained) -> None:
    with pytest.raises(RunError, match="no checkpoint"):
        trained(resume=True)
    with pytest.raises(ConfigError, match="--logname"):
        trained(resume=True, logname=None)
