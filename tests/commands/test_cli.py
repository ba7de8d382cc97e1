"""The command as its users meet it: output, exit codes, one clear line for each mistake."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dhm import TrainConfig
from dhm.cli import main
from dhm.commands.common import print_summary
from dhm.consistency.registry import METHODS

SMALL = ["--n-labeled", "100", "-e", "1", "--n-eval-samples", "2", "--picture-every", "0", "-q"]
SIZES = ["--n_hidden", "16", "--n_latent", "4", "--n_aux", "2"]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that should fail with exit code 2 and one line; returns the line."""

    def run(*words: object) -> str:
        capsys.readouterr()
        Path("runs").mkdir(exist_ok=True)
        before = sorted(Path().rglob("*"))
        assert main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert not out
        assert err.startswith("dhm: error: ") and err.count("\n") == 1, err
        assert sorted(Path().rglob("*")) == before, "something was written or lost"
        return err

    return run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "unknown command 'trian'; did you mean 'train'?"),
        ("train --epoch 3", "unknown option --epoch; did you mean --epochs?"),
        ("train --epoch=3", "did you mean --epochs?"),
        ("train digits", "unknown option digits; see dhm train --help"),
        ("train -e", "expected one argument"),
        ("train -e 0", "--epochs should be at least 1, found 0"),
        ("train -e 1.5", "--epochs takes a whole number, found '1.5'"),
        ("train --lr nan", "--lr should be a finite number"),
        ("train --lr -1", "--lr should be above 0"),
        ("train --lr fast", "--lr takes a number, found 'fast'"),
        ("train --model softmx", "did you mean 'softmax'?"),
        ("train --model softmax --unsup-weight 1", "--unsup_weight cannot be used with --model"),
        ("train --n_lbl_batch 5", "--n_lbl_batch cannot be used with --model supervised-hdgm"),
        ("train --sup_weight 0 --unsup_weight 0", "both 0"),
        ("train --alg sgd --b1 0.5", "--b1 and --b2 are Adam's"),
        ("train --config absent.yaml", "no config file at absent.yaml"),
        ("train --resume", "--resume needs --logname"),
        ("train --resume -l x", "no run at runs/x to resume"),
        ("train --resume -l x --overwrite", "--resume and --overwrite contradict"),
        ("train --resume -l x --config c", "leave out --config"),
        ("train --resume -l x --recipe digits-50", "leave out --recipe"),
        ("train --recipe digit-50", "unknown recipe 'digit-50'; did you mean 'digits-50'?"),
        ("train --recipe digits-50 --config c", "--recipe and --config contradict each other"),
        ("train --recipe digits-50 --model softmax", "--n_lbl_batch cannot be used with --model"),
        ("train --recipe=", "unknown recipe ''"),
        ("train --config=", "cannot read the config file"),
        ("train --recipe digits-50 -e 0", "--epochs should be at least 1"),
        ("train --overwrite", "--overwrite needs --logname"),
        ("train -l a/b", "--logname is the name of one folder"),
        ("train --dataset minst", "did you mean 'mnist'?"),
        ("train --dataset absent.npz", "absent.npz"),
        ("train --dataset damaged.npz", "damaged.npz"),
        ("train --n_batch 2000", "--n_batch 2000 is larger than the training set of 1213"),
        ("train --n_superbatch 5", "--n_superbatch 5 is smaller than --n_batch 128"),
        ("train --n_labeled 5", "n_labeled"),
        ("train --n_labeled 99999", "n_labeled"),
        ("train --val_size 1348", "validation"),
        ("train -e 2 --rampdown 3", "--rampdown 3 is longer than --epochs 2"),
        ("train --network paper --dataset vectors.npz", "vector"),
        ("train --run_dir damaged.npz", "cannot write"),
        ("train --run_dir /proc/x", "cannot write"),
        ("train --device nonsense", "--device nonsense cannot be used here"),
        ("train --n_hidden 9999999999", "out of memory; use a smaller"),
        ("train --reload absent", "no model at absent"),
        ("train --alg sgd --lr 1e6 --n_labeled 100 -e 2 -q", "no longer finite in epoch 1"),
        ("evaluate", "required: RUN"),
        ("evaluate absent", "no model at absent"),
        ("evaluate .", "no model at model.safetensors"),
        ("sample absent -o a.png", "no model at absent"),
        ("sample absent -o a.jpg", "ending in .png, .npy or .npz, found a.jpg"),
        ("sample absent -o a.png --label 1 --interpolate 1 2", "--label and --interpolate contra"),
        ("sample absent -o a.png --interpolate 1", "two or more positions, found one"),
        ("sample absent -o a.png --interpolate 1 2 -n 1", "-n should be at least 2, found 1"),
        ("sample absent -o a.png -n 0", "-n should be at least 1"),
        ("sample absent -o a.png -n many", "-n"),
        ("sample absent -o a.png --seed -1", "--seed should be at least 0"),
        ("sample absent", "required: -o/--output"),
        ("recipes digits-5", "unknown recipe 'digits-5'; did you mean 'digits-50'?"),
        ("data", "required: NAME"),
        ("data minst", "did you mean 'mnist'?"),
        ("data digits -o a.gif", "expected a name ending in .png"),
        ("data digits --seed_data -1", "--seed_data should be at least 0"),
    ],
)
def test_a_mistake_is_one_line(fails: Callable[..., str], words: str, message: str) -> None:
    Path("damaged.npz").write_bytes(b"PK\x03\x04 damaged")
    x = np.random.default_rng(0).random((40, 5), np.float32)
    np.savez("vectors.npz", x=x, y=np.arange(40) % 2)
    assert message in fails(*words.split())


def test_of_a_machines_processes_one_says_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank, lines in {"0": 1, "1": 0}.items():
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert main(["train", "-e", "0"]) == 2
        assert capsys.readouterr().err.count("\n") == lines


def test_help_shows_each_default_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "] [" not in out.partition("options:")[2]
    for words in ("label [0.95]", "(labels, uniform, none) [labels]", "[0.001 for most models]"):
        assert words in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("dhm 0.")


def test_sigterm_interrupts_any_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(options: object) -> None:
        """A command that a scheduler stops."""
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("dhm.commands.recipes.run", stopped)
    assert main(["recipes"]) == 130
    assert capsys.readouterr().err.strip() == "dhm: interrupted"
    assert signal.getsignal(signal.SIGTERM) == before
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert main(["recipes"]) == 0, "who ignores it goes on doing so"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_names_that_are_too_long_are_one_line(fails: Callable[..., str], models: Path) -> None:
    name = "a" * 300
    assert "no data set and no file" in fails("data", name)
    assert "cannot write" in fails("sample", str(models / "hybrid"), "-o", f"{name}.png")
    assert "no model at" in fails("evaluate", name)


def test_an_empty_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


def test_an_existing_run_is_one_line(models: Path, fails: Callable[..., str]) -> None:
    error = fails("train", "--run_dir", models, "-l", "hybrid")
    assert "--resume" in error and "--overwrite" in error


def test_what_contradicts_a_run_cannot_be_resumed(models: Path, fails: Callable[..., str]) -> None:
    run = ("train", "--resume", "--run-dir", models, "-l", "hybrid")
    assert "--lr 0.5: the run" in fails(*run, "--lr", 0.5)
    assert "--patience" not in fails(*run, "--patience", 3, "--reload", "y")
    assert "was started without" in fails(*run, "--reload", "y")
    assert main([str(w) for w in (*run, "--n-labeled", 100, "--seed", 0)]) == 0


def test_labels_of_each_class_are_an_option_like_any_other(fails: Callable[..., str]) -> None:
    words = ["train", "--model", "softmax", "--count", "2", "-q", "-l", "few"]
    assert main([*words, "-e", "1"]) == 0
    assert main([*words, "-e", "2", "--resume"]) == 0
    assert "--count 3: the run" in fails(*words[:4], 3, "-l", "few", "--resume")
    again = ["train", "--config", "runs/few/config.yaml", "-q", "-e", "1", "-l", "other"]
    assert main([*again, "--n_labeled", "30"]) == 0
    recipe = ["train", "--recipe", "digits-50", "-q", "-e", "1", "-l", "recipe"]
    assert main([*recipe, "--count", "3"]) == 0
    runs = ("few", "other", "recipe")
    summaries = [json.loads(Path(f"runs/{name}/summary.json").read_text()) for name in runs]
    assert [s["n_labeled"] for s in summaries] == [20, 30, 30]


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "not ours"])
@pytest.mark.parametrize("command", ["evaluate", "sample", "reload"])
def test_a_damaged_model_is_one_line(
    models: Path, fails: Callable[..., str], damage: str, command: str
) -> None:
    shutil.copytree(models / "hybrid", "damaged")
    file = Path("damaged/model.safetensors")
    content = file.read_bytes()
    if damage == "not ours":
        import torch
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(2)}, file)
    else:
        noise = os.urandom(len(content))
        file.write_bytes({"cut": content[:-50], "noise": noise, "empty": b""}[damage])
    words = {
        "evaluate": ["evaluate", "damaged"],
        "sample": ["sample", "damaged", "-o", "a.png"],
        "reload": ["train", "--reload", "damaged"],
    }
    assert "damaged/model.safetensors is" in fails(*words[command])


def test_evaluate_repeats_the_figures_of_the_run(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(models / "hybrid"), "--json", "figures.json"]) == 0
    written = json.loads(Path("figures.json").read_text())
    summary = json.loads((models / "hybrid" / "summary.json").read_text())
    for part in ("validation", "test"):
        assert written[part] == summary[part]
    out = capsys.readouterr().out
    assert f"{summary['test']['error']:.2%}" in out and "log p(x)" in out
    assert main(["evaluate", str(models / "softmax"), "--n-eval-samples", "3"]) == 0
    assert "log p(x)" not in capsys.readouterr().out


def test_evaluate_on_other_data(models: Path, fails: Callable[..., str]) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 10
    np.savez("same.npz", x=rng.integers(0, 17, (60, 8, 8)).astype(np.uint8), y=y)
    np.savez("shape.npz", x=rng.integers(0, 17, (60, 9, 9)).astype(np.uint8), y=y)
    np.savez("type.npz", x=rng.random((60, 8, 8), np.float32), y=y)
    np.savez("classes.npz", x=rng.integers(0, 17, (60, 8, 8)).astype(np.uint8), y=y + 5)
    run = models / "hybrid"
    assert main(["evaluate", str(run), "--dataset", "same.npz"]) == 0
    assert main(["evaluate", str(run / "last.safetensors"), "--dataset", "same.npz"]) == 0
    assert "shape (1, 9, 9)" in fails("evaluate", run, "--dataset", "shape.npz")
    assert "float32 examples" in fails("evaluate", run, "--dataset", "type.npz")
    assert "found class 10, which is none of" in fails("evaluate", run, "--dataset", "classes.npz")
    # Weights in their run folder are tested on the data that the run held out, wherever they lie.
    assert main(["evaluate", str(run / "last.safetensors")]) == 0
    shutil.copy(run / "last.safetensors", "alone.safetensors")
    assert "name a --dataset" in fails("evaluate", "alone.safetensors")
    assert "at least 1" in fails("evaluate", run, "--n-eval-samples", 0)


def test_evaluate_shows_its_table_even_if_json_cannot_be_written(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(models / "softmax"), "--json", "/proc/x/a.json"]) == 2
    out, err = capsys.readouterr()
    assert "test" in out and err.startswith("dhm: error: cannot write") and err.count("\n") == 1


def test_sample_draws_what_the_seed_says(models: Path, fails: Callable[..., str]) -> None:
    run = str(models / "hybrid")
    for name, seed in {"a": "0", "b": "0", "c": "1"}.items():
        assert main(["sample", run, "-n", "5", "-o", f"{name}.png", "--seed", seed]) == 0
    a, b, c = (np.asarray(Image.open(f"{name}.png")) for name in "abc")
    assert (a == b).all() and a.shape == c.shape and (a != c).any()
    message = fails("sample", models / "softmax", "-o", "d.png")
    assert "softmax has no p(x)" in message and "p(y|x) (dhm predict" in message
    assert "cannot write" in fails("sample", run, "-o", "/proc/x/d.png")


def test_sample_draws_classes_and_ways_between_inputs(
    models: Path, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(models / "hybrid")
    assert main(["sample", run, "--label", "3", "-n", "5", "-o", "threes.npz"]) == 0
    assert "class 3: effective sample size" in capsys.readouterr().out
    drawn = np.load("threes.npz")
    assert drawn["x"].dtype == np.uint8 and drawn["x"].shape == (5, 1, 8, 8)
    assert drawn["x"].max() > 1 and (drawn["y"] == 3).all()
    assert main(["sample", run, "--label", "all", "-n", "4", "-o", "all.png"]) == 0
    with Image.open("all.png") as image:
        width, height = image.size
    assert height > 2 * width, "ten rows of four"
    assert main(["sample", run, "--interpolate", "0", "7", "9", "-n", "6", "-o", "way.npy"]) == 0
    way = np.load("way.npy")
    assert way.shape == (12, 1, 8, 8) and (way[5] == way[6]).all() and (way[0] != way[5]).any()
    assert main(["sample", run, "-n", "3", "-o", "x.npy"]) == 0
    assert np.load("x.npy").shape == (3, 1, 8, 8)
    assert "unknown class 'cat'" in fails("sample", run, "--label", "cat", "-o", "a.png")
    assert "unknown class '10'" in fails("sample", run, "--label", "10", "-o", "a.png")
    beyond = fails("sample", run, "--interpolate", 0, 449, "-o", "a.png")
    assert "from 0 to 448, found 449" in beyond
    assert "GiB" in fails("sample", run, "-n", 10**9, "-o", "a.npy")
    assert "cannot write" in fails("sample", run, "-n", 2, "-o", "/proc/x/a.npy")


def test_data_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    Path("digits.png").write_text("an older picture")
    for _ in range(2):
        assert main(["data", "digits"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == ["name     digits", "shape    1x8x8"]
        assert lines[4] == "missing  0.00%"
        table = [line.split() for line in lines[6:-1]]
        assert table[:2] == [["class", "train", "test"], ["0", "133", "45"]]
        assert table[-2:] == [["unlabelled", "0", "0"], ["all", "1,348", "449"]]
        assert len(table) == 13 and len({len(line) for line in lines[6:-1]}) == 1
        assert lines[-1] == "picture in digits.png"
        with Image.open("digits.png") as image:
            image.load()
    # What was asked for is said even where the picture cannot be written.
    assert main(["data", "digits", "-o", "/proc/x/d.png"]) == 2
    out, err = capsys.readouterr()
    assert "1,348" in out and "cannot write" in err and err.count("\n") == 1
    assert "picture" not in out


@pytest.mark.parametrize(
    ("n_missing", "said"), [(0, "0.00%"), (1, "less than 0.01%"), (5000, "12.50%")]
)
def test_data_says_what_is_unlabelled_and_missing(
    capsys: pytest.CaptureFixture[str], n_missing: int, said: str
) -> None:
    x = np.random.default_rng(0).normal(size=(4000, 10)).astype(np.float32)
    x.flat[:n_missing] = np.nan
    np.savez("mine.npz", x=x[:3000], y=np.array(["ant", "bee"])[np.arange(3000) % 2],
             x_test=x[3000:3900], y_test=np.array(["ant", "bee"])[np.arange(900) % 2],
             x_unlabeled=x[3900:])  # fmt: skip
    assert main(["data", "mine.npz"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"missing  {said}" in lines
    assert [line.split() for line in lines[6:-1]] == [
        ["class", "train", "test"],
        ["ant", "1,500", "450"],
        ["bee", "1,500", "450"],
        ["unlabelled", "100", "0"],
        ["all", "3,100", "900"],
    ]


def test_the_picture_of_data_replaces_none_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(8):
        path = Path("photos", "cat" if i % 2 else "dog", f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(path)
    before = Path("photos/dog/0.png").read_bytes()
    assert main(["data", "photos", "-o", "photos/dog/0.png"]) == 2
    assert "photos/dog/0.png is one of the inputs" in capsys.readouterr().err
    assert Path("photos/dog/0.png").read_bytes() == before
    monkeypatch.chdir("photos")
    for _ in range(2):  # the picture lies beside the folders of the classes
        assert main(["data", "."]) == 0
        assert capsys.readouterr().out.endswith("picture in photos.png\n")


# A value of each option that is not its default, for a run of semisup-hdgm.
VALUES: dict[str, Any] = {
    "dataset": "random",
    "data_dir": "here",
    "n_labeled": 50,
    "count": 4,
    "val_size": 0.2,
    "seed_data": 3,
    "model": "semisup-hdgm",
    "network": "paper",
    "sup_weight": 0.5,
    "unsup_weight": 0.25,
    "generator_loss": "adversarial",
    "likelihood": "gaussian",
    "n_samples": 3,
    "warmup": 2.5,
    "prior": "gaussian",
    "n_latent": 7,
    "n_aux": 3,
    "n_hidden": 11,
    "hide": 0.25,
    "binarize": True,
    "detach_z": True,
    "reload": "there",
    **dict.fromkeys(METHODS, 0.75),
    "augment": "none",
    "rampup": 1.5,
    "threshold": 0.75,
    "class_prior": "uniform",
    "teacher_decay": 0.75,
    "spread_every": 2,
    "vat_epsilon": 0.25,
    "epochs": 4,
    "n_batch": 9,
    "n_lbl_batch": 5,
    "n_superbatch": 99,
    "alg": "sgd",
    "lr": 0.125,
    "b1": 0.5,
    "b2": 0.75,
    "schedule": "linear",
    "rampdown": 2,
    "clip_norm": 2.5,
    "clip_value": 0.5,
    "ema": 0.5,
    "patience": 6,
    "keep": "last",
    "seed": 8,
    "logname": "name",
    "run_dir": "elsewhere",
    "device": "cpu",
    "precision": "bf16",
    "picture_every": 3,
    "checkpoint_every": 12,
    "n_eval_samples": 13,
}


@pytest.mark.parametrize(
    ("name", "used_by"), [(f.name, f.metadata["used_by"]) for f in fields(TrainConfig)]
)
def test_every_option_has_two_spellings(
    name: str, used_by: Iterable[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[TrainConfig] = []

    def train(config: TrainConfig, **options: Any) -> dict[str, Any]:
        given.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("dhm.training.train.train", train)
    value, hyphened = VALUES[name], name.replace("_", "-")
    # A setting is refused without a method that it is for.
    beside = [word for method in used_by for word in (f"--{method}", "0.5")]
    other_names = {
        "epochs": ["-e"],
        "logname": ["-l"],
        "unsup_weight": ["--unlabeled_weight"],
        "lr": ["--learning_rate", "--learning-rate"],
        "n_batch": ["--batch_size"],
    }.get(name, [])
    spellings = [
        [f"--{name}", str(value)],
        [f"--{hyphened}", str(value)],
        [f"--{hyphened}={value}"],
    ]
    spellings += [[flag, str(value)] for flag in other_names]
    if value is True:
        spellings += [[f"--{name}"], [f"--{hyphened}", "-q"]]
    for words in spellings:
        assert main(["train", *words, *beside]) == 130
        assert getattr(given.pop(), name) == value != getattr(TrainConfig(), name)
    Path("c.yaml").write_text(f"{name}: {value}")
    assert main(["train", "--config", "c.yaml", *beside]) == 130
    assert getattr(given.pop(), name) == value
    other = {"alg": "adam"} | {"lr": 0.25} if name == "lr" else {}
    for option, typed in other.items():  # what is typed wins over the file
        assert main(["train", "--config", "c.yaml", f"--{option}", str(typed)]) == 130
        assert getattr(given.pop(), option) == typed


def test_all_options_together_train(tmp_path: Path, models: Path) -> None:
    left_out = {"dataset", "data_dir", "reload", "b1", "b2", "n_labeled", "network", "n_batch"}
    left_out |= {"count", "generator_loss"}
    left_out.add("binarize")  # contradicts the likelihood
    left_out.add("precision")  # slow
    words = [f"--{name}={value}" for name, value in VALUES.items() if name not in left_out]
    words += ["--n-labeled", "20", "--n-batch", "300", "--n-superbatch", "300", "-q"]
    words += ["--b1", "0.5", "--b2", "0.9", "--alg", "adam", "--lr", "0.001"]
    assert main(["train", *words]) == 0
    assert (tmp_path / "elsewhere" / "name" / "summary.json").exists()


def test_a_run_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", *SMALL, *SIZES]
    words.remove("-q")
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and err.startswith("epoch 1/1  validation error")
    lines = out.splitlines()
    assert lines[0].startswith("digits, supervised-hdgm (small network, ")
    assert lines[1] == "100 labels, 135 validation and 449 test examples"
    assert lines[2].split() == ["error", "nll", "ece", "log", "p(x)"]
    assert [line.split()[0] for line in lines[3:5]] == ["validation", "test"]
    assert lines[5] == "run folder: runs/digits-supervised-hdgm"


def test_a_run_says_that_its_z_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of independent features there is nothing that a z could tell; of copies of one there is."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(400, 6)).astype("f4")
    words = ["train", *SIZES, "--model", "semisup-hdgm", "--keep", "last", "--unsup_weight", "1"]
    said = {}
    for name, features in {"noise": x, "copies": x[:, :1] + 0.1 * x}.items():
        np.savez(f"{name}.npz", x=features, y=np.arange(400) % 2)
        given = ["--dataset", f"{name}.npz", "-e", "40", "--prior", "gaussian", "--n_batch", "20"]
        assert main([*words, *given]) == 0
        said[name] = "samples and reconstructions are all much the same" in capsys.readouterr().err
    assert said == {"noise": True, "copies": False}


def test_a_run_says_what_it_makes_of_its_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    y = np.arange(400) % 4
    y[100:] = -1
    np.savez("few.npz", x=np.random.default_rng(0).normal(size=(400, 5)).astype("f4"), y=y)
    words = ["train", "--dataset", "few.npz", "--network", "small", "-e", "1"]
    n_test, n_val = 25, 8
    assert main([*words, "--model", "softmax"]) == 0
    out, err = capsys.readouterr()
    assert f"\n67 labels, {n_val} validation and {n_test} test examples\n" in out
    assert "dhm: 300 examples without a label are left out; the semisup models" in err
    assert f"dhm: {n_val} validation examples choose the weights, too few" in err
    hidden = [*words, "--model", "supervised-mlp", "--keep", "last", "--n_labeled", "20"]
    assert main(hidden) == 0 and "300 examples" in capsys.readouterr().err
    assert main([*hidden, "--vat", "1"]) == 0 and "347 examples" in capsys.readouterr().err
    semisup = [*words, "--model", "semisup-mlp", "--keep", "last"]
    assert main([*semisup, "--n_labeled", "20"]) == 0
    out, err = capsys.readouterr()
    assert "\n20 labels of 367 examples, " in out and "dhm: " not in err
    assert main([*semisup, "--recipe", "digits-20", "--network", "small", "--augment", "table",
                 "--n_labeled", "all", "--val_size", "8"]) == 0  # fmt: skip
    assert "\n67 labels of 367 examples, " in capsys.readouterr().out


def table_of(capsys: pytest.CaptureFixture[str], **figures: float | None) -> list[str]:
    what = {"dataset": "digits", "model": "m", "network": "small", "parameters": 1, "n_test": 2}
    print_summary({**what, "test": figures})
    return capsys.readouterr().out.splitlines()[2:]


def test_usual_figures_stand_in_the_table_as_in_the_readme(
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = {"error": 0.0156, "nll": 0.0510, "ece": 0.0114, "log_likelihood": -25.39}
    assert table_of(capsys, **figures) == [
        "               error      nll      ece    log p(x)",
        "test           1.56%   0.0510   0.0114      -25.39",
    ]


@pytest.mark.parametrize(
    ("nll", "log_px", "cells"),
    [
        (415200.625, -20317706240.0, ["415201", "-2.03e+10"]),
        (1234.5678, -1234567.89, ["1234.57", "-1234567.89"]),
        (12345678.0, 1.5e300, ["1.23e+07", "1.5e+300"]),
        (float("inf"), float("nan"), ["inf", "nan"]),
        (1e100, -1e100, ["1e+100", "-1e+100"]),
    ],
)
def test_large_figures_do_not_run_together(
    capsys: pytest.CaptureFixture[str], nll: float, log_px: float, cells: list[str]
) -> None:
    heading, row = table_of(capsys, error=1.0, nll=nll, ece=0.8963, log_likelihood=log_px)
    assert row.split() == ["test", "100.00%", cells[0], "0.8963", cells[1]]
    assert len(row) == len(heading)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize(
    "words",
    [[], ["--help"], ["train", "--help"], ["sample", "--help"], ["train", "--epoch"], ["recipes"]],
)
def test_help_does_without_torch(words: list[str]) -> None:
    found = run_python(
        "import sys, dhm, dhm.cli\n"
        f"try: dhm.cli.main({words})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'accelerate', 'matplotlib'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert found.returncode == 0, found.stderr


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "dhm", "--help"]
    module = subprocess.run(command, capture_output=True, text=True)
    script = subprocess.run(
        [Path(sys.executable).with_name("dhm"), "--help"], capture_output=True, text=True
    )
    assert module.returncode == script.returncode == 0
    assert module.stdout == script.stdout and "commands:" in module.stdout
    wrong = subprocess.run([*command[:-1], "train", "-e", "0"], capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m dhm data digits | true"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert found.stderr == ""


def test_other_data_is_tested_on_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    label = np.array(["ant", "bee", "cow"])[np.arange(300) % 3]
    x = rng.normal(size=(300, 2)) + 2 * (np.arange(300) % 3)[:, None]
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": label})
    frame[:200].to_csv("train.csv", index=False)
    frame[200:].to_csv("new.csv", index=False)
    frame[200:].assign(label=np.where(label[200:] == "cow", "", label[200:])).to_csv(
        "few.csv", index=False
    )
    frame[200:].replace("cow", "dog").to_csv("strange.csv", index=False)
    train = "train --dataset train.csv -l m -e 20 --model supervised-mlp -q --picture_every 0"
    assert main(train.split()) == 0
    assert main(["predict", "runs/m", "new.csv", "-o", "found.csv"]) == 0
    found = pd.read_csv("found.csv")["label"].to_numpy()
    for name, kept in (("new.csv", np.full(100, True)), ("few.csv", label[200:] != "cow")):
        assert main(["evaluate", "runs/m", "--dataset", name, "--json", "x.json"]) == 0
        summary = json.loads(Path("x.json").read_text())
        assert "validation" not in summary and summary["n_test"] == kept.sum()
        wrong = (found != label[200:])[kept].mean()
        assert summary["test"]["error"] == pytest.approx(wrong)
        assert f"{kept.sum()} test examples" in capsys.readouterr().out
    for name in ("train.csv", "./train.csv", str(tmp_path / "train.csv")):
        assert main(["evaluate", "runs/m", "--dataset", name, "--json", "x.json"]) == 0
        assert "validation" in json.loads(Path("x.json").read_text()), "its own, as it was split"
    assert main(["evaluate", "runs/m", "--dataset", "strange.csv"]) == 2
    assert "class dog, which is none of the model's" in capsys.readouterr().err
