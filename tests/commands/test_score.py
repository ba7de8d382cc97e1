"""`dhm score`: which inputs are unlike the training data, on the command line."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dhm import load_model
from dhm.cli import main
from dhm.models.build import save_model

SMALL = ["--n_labeled", "300", "-e", "2", "--n_eval_samples", "2", "--picture_every", "0", "-q"]
SIZES = ["--n_hidden", "16", "--n_latent", "4", "--n_aux", "2"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained runs `hybrid` and `softmax`."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dhm.training.train.learning_curves", lambda *arguments: None)
        where = ["--run_dir", str(folder), "-l"]
        assert main(["train", *SMALL, *SIZES, *where, "hybrid"]) == 0
        assert main(["train", *SMALL, *where, "softmax", "--model", "softmax"]) == 0
    return folder


@pytest.fixture
def noise() -> str:
    x = np.random.default_rng(0).integers(0, 256, (50, 8, 8)).astype(np.uint8)
    np.save("noise.npy", x)
    return "noise.npy"


def test_rows_and_summary(runs: Path, noise: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(runs / "hybrid")
    assert main(["score", run, noise, "digits", "-o", "out.csv", "--false-alarm-rate", "0.1"]) == 0
    out, err = capsys.readouterr()
    assert "fitting the novelty detector" in err
    assert (runs / "hybrid" / "novelty.safetensors").is_file()
    with open("out.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50 + 449
    assert [row["file"] for row in rows[49:51]] == ["noise.npy", "digits"]
    assert [row["row"] for row in rows[49:51]] == ["49", "0"]
    columns = ["file", "row", "log_px", "log_px_se", "novelty", "novelty_p", "novel"]
    assert list(rows[0]) == columns
    flagged = [row["novel"] == "True" for row in rows]
    assert all(flagged[:50]) and np.mean(flagged[50:]) < 0.25
    assert [float(row["novelty_p"]) <= 0.1 for row in rows] == flagged
    assert f"{sum(flagged)} of 499 inputs are novel" in out and "50%:" in out

    # The second time the detector is read, and the rows are the same.
    assert (
        main(["score", run, noise, "digits", "-o", "again.csv", "--false-alarm-rate", "0.1"]) == 0
    )
    assert "fitting" not in capsys.readouterr().err
    assert Path("again.csv").read_text() == Path("out.csv").read_text()


def test_a_kind_and_a_model_without_density(runs: Path, noise: str) -> None:
    words = ["score", str(runs / "softmax"), noise, "--kind", "energy", "-o", "out.jsonl"]
    assert main(words) == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(rows) == 50
    assert list(rows[0]) == ["file", "row", "novelty", "novelty_p", "novel"]


def test_a_damaged_detector_is_fitted_anew(
    runs: Path, noise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "softmax", "run")
    kept = Path("run/novelty.safetensors")
    for damaged in (b"", b"not a detector"):
        kept.write_bytes(damaged)
        assert main(["predict", "run", noise, "-o", "t.csv"]) == 0
        assert "dhm: no novelty: run/novelty.safetensors is damaged" in capsys.readouterr().err
        assert "novelty" not in Path("t.csv").read_text()
        assert kept.read_bytes() == damaged
        assert main(["score", "run", noise]) == 0
        assert "dhm: run/novelty.safetensors is damaged" in capsys.readouterr().err
        assert kept.stat().st_size > 1000


def test_calibration_by_what_the_model_has_seen_is_said(
    noise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--model", "semisup-hdgm", "--n_labeled", "50", "-e", "1", *SIZES, "-q"]
    assert main(["train", *few, "--run_dir", ".", "-l", "few", "--picture_every", "0"]) == 0
    capsys.readouterr()
    assert main(["score", "few", noise]) == 0
    assert "calibrated on unlabelled examples, which the model has seen" in capsys.readouterr().err


def test_a_detector_of_the_last_weights_is_not_kept(
    runs: Path, noise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "softmax", "run")
    assert main(["score", "run", noise]) == 0
    before = Path("run/novelty.safetensors").read_bytes()
    capsys.readouterr()
    # Weights that differ: those of the end of training may be the best ones.
    last = load_model("run")
    for parameter in last.parameters():
        parameter.data += 0.01
    save_model(last, "run/last.safetensors")
    assert main(["score", "run/last.safetensors", noise]) == 0
    assert "dhm: run/novelty.safetensors belongs to another model" in capsys.readouterr().err
    assert Path("run/novelty.safetensors").read_bytes() == before
    assert main(["predict", "run", noise, "-o", "t.csv"]) == 0
    assert "novelty_p" in Path("t.csv").read_text()
    assert main(["predict", "run/last.safetensors", noise, "-o", "t.csv"]) == 0
    assert "novelty" not in Path("t.csv").read_text()


def test_rows_with_missing_entries_are_warned_of(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).random((6, 8, 8))
    x[2:4, 0] = np.nan
    np.save("gaps.npy", x)
    np.save("whole.npy", x[:2])
    run = str(runs / "softmax")
    assert main(["score", run, "whole.npy"]) == 0
    assert "warning" not in capsys.readouterr().err
    for words in (["score", run, "gaps.npy"], ["predict", run, "gaps.npy", "-o", "t.csv"]):
        assert main(words) == 0
        assert "dhm: warning: 2 of 6 rows have missing entries" in capsys.readouterr().err


def test_weights_outside_of_a_run(
    runs: Path, noise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(runs / "softmax" / "model.safetensors", "model.safetensors")
    assert main(["score", "model.safetensors", noise]) == 2
    assert "does not say what data to fit one to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("absent.npy", "no data set and no file or folder is called 'absent.npy'"),
        ("digitss", "did you mean 'digits'?"),
        ("noise.npy --kind typicality", "typicality needs a trained density p(x)"),
        ("noise.npy --kind knn", "no score of novelty is called 'knn'"),
        ("noise.npy --false-alarm-rate 0", "above 0 and below 1, found 0"),
        ("noise.npy --false-alarm-rate 0.0001", "calibration inputs, found"),
        ("noise.npy -o out.txt", "expected a name ending in .csv"),
        ("noise.npy --n_samples -1", "--n_samples should be at least 0"),
        ("noise.npy -o noise.npy", "expected a name ending in .csv"),
        ("wide.npy", "takes examples of shape (1, 8, 8), found (9, 9)"),
    ],
)
def test_mistakes_are_one_line(
    words: str,
    message: str,
    runs: Path,
    noise: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save("wide.npy", np.zeros((3, 9, 9), np.uint8))
    assert main(["score", str(runs / "softmax"), *words.split()]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if "fitting the novelty" not in line]
    assert not out and len(lines) == 1 and lines[0].startswith("dhm: error: ")
    assert message in lines[0]
    assert not list(Path().glob("out*"))


def test_infinite_novelty_has_quantiles_without_a_warning(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from argparse import Namespace

    from dhm.commands.score import _print_summary

    options = Namespace(kind=None, false_alarm_rate=0.05, output=None)
    _print_summary(np.array([1.0, np.inf, 2.0, np.inf]), 1.5, options)
    assert "5%: 1  25%: 1  50%: 2  75%: inf  95%: inf" in capsys.readouterr().out


def test_images_and_parquet(runs: Path, noise: str) -> None:
    from PIL import Image
    from pyarrow import parquet

    Path("images").mkdir()
    for i, pixels in enumerate(np.load(noise)[:5]):
        Image.fromarray(pixels).save(f"images/{i}.png")
    run = str(runs / "hybrid")
    assert main(["score", run, "images", "-o", "out.parquet", "--n_samples", "0"]) == 0
    table = parquet.read_table("out.parquet").to_pydict()
    assert list(table) == ["file", "row", "novelty", "novelty_p", "novel"]
    assert table["novel"] == [True] * 5
    # An input's score does not depend on what it is scored with.
    assert main(["score", run, noise, "-o", "all.jsonl", "--n_samples", "0"]) == 0
    first = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()][:5]
    assert table["novelty"] == pytest.approx([row["novelty"] for row in first], rel=1e-4)
