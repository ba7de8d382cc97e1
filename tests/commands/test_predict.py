"""`dhm predict`: what the library says, in a table that is whole or not there."""

import io
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dhm import load_data, load_model
from dhm.cli import main
from dhm.inference.novelty import NoveltyDetector
from dhm.inference.predict import predict_logits
from dhm.models.build import save_model
from dhm.training.reevaluate import evaluate_run


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(name, dtype={"label": str})


def test_probabilities_are_the_models(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = load_data("digits").test.x
    np.save("x.npy", x)
    assert main(["predict", str(models / "hybrid"), "x.npy", "-o", "t.csv"]) == 0
    out, err = capsys.readouterr()
    assert out == "449 rows in t.csv\n" and err.startswith("dhm: no novelty: there is no ")
    model = load_model(models / "hybrid")
    expected = predict_logits(model, x).softmax(1)
    found = read("t.csv")
    assert found["row"].tolist() == list(range(449)) and set(found["file"]) == {"x.npy"}
    probabilities = found[[f"p_{c}" for c in model.spec.classes]].to_numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert found["label"].tolist() == [model.spec.classes[k] for k in expected.argmax(1)]
    assert np.isfinite(found["log_px"]).all() and (found["log_px"] < 0).all()


def test_the_same_rows_from_any_file(models: Path) -> None:
    x = load_data("digits").test.x
    np.save("x.npy", x)
    np.savez("x.npz", x=x / 255)
    Path("images").mkdir()
    for i, image in enumerate(x):
        Image.fromarray(image[0]).save(f"images/{i:04d}.png")
    tables = []
    for source in ("digits", "x.npy", "x.npz", "images"):
        words = ["predict", str(models / "hybrid"), source, "-o", "t.csv", "--n_samples", "3"]
        assert main(words) == 0
        tables.append(read("t.csv").drop(columns=["file", "row"]))
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], rtol=1e-5)
    assert read("t.csv")["file"][3] == str(Path("images", "0003.png"))


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_other_formats(name: str, models: Path) -> None:
    for output in ("t.csv", name):
        words = ["predict", str(models / "hybrid"), "digits", "-o", output, "--n_samples", "2"]
        assert main(words) == 0
    jsonl = {"lines": True, "dtype": {"label": str}}
    found = pd.read_json(name, **jsonl) if name == "t.jsonl" else pd.read_parquet(name)
    pd.testing.assert_frame_equal(found, read("t.csv"), check_dtype=False, rtol=1e-6)


def test_without_output_csv_is_printed(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(models / "softmax"), "digits"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(found) == 449 and "log_px" not in found
    assert main(["predict", str(models / "hybrid"), "digits", "--n_samples", "0"]) == 0
    assert "log_px" not in pd.read_csv(io.StringIO(capsys.readouterr().out))


def test_draws_are_the_seeds(models: Path) -> None:
    tables = []
    for seed in ("0", "0", "1"):
        words = ["predict", str(models / "hybrid"), "digits", "-o", "t.csv", "--seed", seed]
        assert main([*words, "--n_samples", "2"]) == 0
        tables.append(read("t.csv")["log_px"])
    assert (tables[0] == tables[1]).all() and (tables[0] != tables[2]).any()


def test_mistakes_are_one_line(models: Path, fails: Callable[..., str]) -> None:
    hybrid = models / "hybrid"
    np.save("small.npy", np.zeros((3, 7, 7), np.uint8))
    Path("notes.txt").write_text("")
    np.save("empty.npy", np.zeros((0, 8, 8), np.uint8))
    cases: dict[tuple[Any, ...], str] = {
        (hybrid,): "required: FILE",
        ("absent", "digits"): "no model at absent",
        (hybrid, "absent.npy"): "no data set and no file or folder is called 'absent.npy'",
        (hybrid, "notes.txt"): "found .txt",
        (hybrid, "small.npy", "-o", "t.csv"): "found (7, 7)",
        (hybrid, "digits", "small.npy", "-o", "t.csv"): "found (7, 7)",
        (hybrid, "empty.npy"): "it is empty",
        (hybrid, "digits", "-o", "t.txt"): "expected a name ending in .csv, .jsonl, .parquet",
        (hybrid, "small.npy", "x.csv", "-o", "x.csv"): "x.csv is one of the inputs",
        (hybrid, "digits", "-o", "/proc/x/t.parquet"): "cannot write /proc/x/t.parquet",
        (hybrid, "digits", "--n_samples", "-1"): "--n_samples should be at least 0",
        (hybrid, "digits", "--seed", "-1"): "--seed should be at least 0",
        (hybrid, "digits", "--device", "nonsense"): "--device nonsense cannot be used here",
        (hybrid, "absent.npy", "--data_dir", "absent"): "there is no folder absent",
    }
    for words, expected in cases.items():
        assert expected in fails("predict", *words), words


def test_a_bad_row_keeps_the_old_table(models: Path, fails: Callable[..., str]) -> None:
    x = load_data("digits").test.x / 255
    x[300, 0, 2, 2] = np.inf
    np.save("x.npy", x)
    Path("t.parquet").write_text("old")
    found = fails("predict", models / "hybrid", "digits", "x.npy", "-o", "t.parquet")
    assert "x.npy, row 300: expected finite values" in found
    assert Path("t.parquet").read_text() == "old"


def test_a_model_without_answers_says_so(models: Path, fails: Callable[..., str]) -> None:
    options = "--model semisup-ali --sup_weight 0 --network mlp --n_latent 4 --n_labeled 50"
    words = ["train", *options.split(), "-e", "1", "-l", "ali", "--picture_every", "0", "-q"]
    assert main(words) == 0
    assert "neither p(y|x) nor" in fails("predict", "runs/ali", "digits")


def test_figures_that_do_not_exist_are_not_shown(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--model semisup-ali --sup_weight 0 --network mlp --n_latent 4 --n_labeled 50"
    assert main(["train", *options.split(), "-e", "1", "--picture_every", "0"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("epoch 1/1  training loss ")
    assert "no figures: neither p(y|x) nor a density was trained" in out
    assert "error" not in out and "\nvalidation" not in out
    options = "--sup_weight 0 --unsup_weight 1 --n_labeled 50 --n_eval_samples 2"
    assert main(["train", *options.split(), "-e", "1", "--picture_every", "0", "-q"]) == 0
    _, _, header, *rows, _ = capsys.readouterr().out.splitlines()
    assert header.split() == ["log", "p(x)"]
    assert [row.split()[0] for row in rows] == ["test"], "no row is empty"


def test_a_vector_model_reads_tables(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc"))
    frame["label"] = np.where(frame["a"] > 0, "up", "down")
    frame.to_csv("train.csv", index=False)
    options = "--dataset train.csv --model softmax -l m -e 30 --lr 0.1 -q --picture_every 0"
    assert main(["train", *options.split()]) == 0
    frame.drop(columns="label").to_parquet("new.parquet")
    assert main(["predict", "runs/m", "train.csv", "new.parquet", "-o", "t.csv"]) == 0
    found = read("t.csv")
    assert (found["label"].to_numpy() == np.tile(frame["label"], 2)).mean() > 0.9
    assert found["row"].tolist() == [*range(300), *range(300)]


def test_columns_of_a_table_go_by_name(fails: Callable[..., str]) -> None:
    rng = np.random.default_rng(0)
    # Of several columns that might be the labels one is taken, and the others are features.
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("aby"))
    frame["label"] = np.where(frame["a"] > 0, "up", "down")
    frame.to_csv("train.csv", index=False)
    options = "--dataset train.csv --model softmax -l m -e 30 --lr 0.1 -q --picture_every 0"
    assert main(["train", *options.split()]) == 0
    assert load_model("runs/m").spec.features == ("a", "b", "y")
    frame.to_csv("same.csv", index=False)
    frame[["y", "b", "a"]].assign(note="text").to_csv("other.csv", index=False)
    frame[["b", "label", "y", "a"]].to_parquet("other.parquet")
    tables = []
    for name in ("same.csv", "other.csv", "other.parquet"):
        assert main(["predict", "runs/m", name, "-o", "t.csv"]) == 0
        tables.append(read("t.csv").drop(columns="file"))
    assert (tables[0]["label"] == frame["label"]).mean() > 0.9
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], rtol=1e-5)
    # And so they do where labels are wanted, too.
    frame[["y", "label", "b", "a"]].to_csv("mixed.csv", index=False)
    figures = [evaluate_run("runs/m", name)["test"] for name in ("same.csv", "mixed.csv")]
    assert figures[0] == pytest.approx(figures[1]) and figures[0]["error"] < 0.15
    frame[["a", "y"]].rename(columns={"y": "Y"}).to_csv("few.csv", index=False)
    message = fails("predict", "runs/m", "few.csv")
    assert "few.csv: the model takes columns by their names, found none called 'b', 'y'" in message
    np.save("x.npy", frame[["a", "b", "y"]].to_numpy())
    assert main(["predict", "runs/m", "x.npy", "-o", "t.csv"]) == 0
    pd.testing.assert_frame_equal(read("t.csv").drop(columns="file"), tables[0], rtol=1e-5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("command", ["predict", "data"])
def test_a_full_disk_behind_standard_output_is_one_line(models: Path, command: str) -> None:
    words = {"predict": f"predict {models / 'softmax'} digits", "data": "data digits"}[command]
    shell = f"{sys.executable} -m dhm {words} > /dev/full"
    found = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    last = found.stderr.splitlines()[-1]
    assert last == "dhm: error: cannot write to standard output: No space left on device"
    assert found.returncode == 2 and "Traceback" not in found.stderr


def test_a_class_of_any_name_has_its_column(models: Path) -> None:
    model = load_model(models / "softmax")
    names = ["file", "row", 'a "b", c', "label", "px", "4", "5", "6", "7", "8"]
    object.__setattr__(model.spec, "classes", tuple(names))
    save_model(model, "named.safetensors")
    assert main(["predict", "named.safetensors", "digits", "-o", "t.csv"]) == 0
    assert list(read("t.csv").columns) == ["file", "row", "label", *(f"p_{n}" for n in names)]


def test_an_interrupt_leaves_no_half_table(models: Path) -> None:
    x = np.zeros((400_000, 8, 8), np.uint8)
    np.save("x.npy", x)
    command = [sys.executable, "-m", "dhm", "predict", str(models / "hybrid"), "x.npy"]
    # A shell's background job ignores Ctrl-C, and what it starts inherits that.
    listening = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [*command, "-o", "t.csv"], stderr=subprocess.PIPE, text=True, preexec_fn=listening
    ) as process:
        deadline = time.monotonic() + 60
        while not list(Path().glob(".t.csv.*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    assert sorted(file.name for file in Path().iterdir()) == ["x.npy"]


def test_a_reader_that_leaves_is_no_error(models: Path) -> None:
    command = f"{sys.executable} -m dhm predict {models / 'softmax'} digits | head -1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert found.stdout.startswith("file,row,label") and found.stderr.count("\n") == 1
    assert found.stderr.startswith("dhm: no novelty")


def test_evaluate_takes_a_device(models: Path, fails: Callable[..., str]) -> None:
    run = str(models / "softmax")
    assert main(["evaluate", run, "--device", "cpu"]) == 0
    assert "--device nonsense cannot be used here" in fails("evaluate", run, "--device", "nonsense")


def test_errors_of_splits_name_their_options(fails: Callable[..., str]) -> None:
    Path("runs").mkdir()
    assert "--val_size 1348: validation: cannot hold out" in fails("train", "--val_size", 1348)
    for model in ("softmax", "semisup-mlp"):
        words = ("train", "--model", model, "--n_labeled")
        assert "--n_labeled 5: expected at least one example" in fails(*words, 5)
        assert "--n_labeled 99999: 99999 labelled examples need" in fails(*words, 99999)


def test_novelty_is_of_the_runs_own_detector(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(models / "softmax", "run")
    digits, model = load_data("digits"), load_model("run")
    detector = NoveltyDetector.fit(model, digits.train.x, digits.train.y)
    detector.save("run/novelty.safetensors")
    np.save("noise.npy", np.random.default_rng(0).integers(0, 256, (9, 8, 8)).astype(np.uint8))
    assert main(["predict", "run", "digits", "noise.npy", "-o", "t.csv"]) == 0
    assert not capsys.readouterr().err
    found = read("t.csv")
    expected = detector.p_value(digits.test.x)
    np.testing.assert_allclose(found["novelty_p"][:449], expected, rtol=1e-6)
    assert (found["novelty"][449:] > found["novelty"][:449].median()).all()


def test_missing_entries_are_no_error(models: Path) -> None:
    x = load_data("digits").test.x / 255
    whole = x.copy()
    x[300, 0, :4] = np.nan
    np.save("x.npy", whole)
    np.save("gaps.npy", x)
    for name in ("x", "gaps"):
        words = ["predict", str(models / "hybrid"), f"{name}.npy", "-o", f"{name}.csv"]
        assert main([*words, "--n_samples", "5"]) == 0
    whole_table, gaps = (read(f"{name}.csv").drop(columns="file") for name in ("x", "gaps"))
    others = np.arange(449) != 300
    probabilities = [c for c in gaps.columns if c.startswith("p_")]
    np.testing.assert_allclose(
        gaps[probabilities][others], whole_table[probabilities][others], rtol=1e-5
    )
    assert np.isfinite(gaps["log_px"]).all()
    assert gaps["log_px"][300] > whole_table["log_px"][300], "less is observed"
