"""`dhm impute`: files in and out, pictures, and one clear line for each mistake."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dhm.cli import main
from dhm.data import load

SMALL = ["-e", "1", "--n-eval-samples", "2", "--picture-every", "0", "-q", "--n_hidden", "16"]
SMALL += ["--n_latent", "4", "--n_aux", "2"]
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `images`, `table` and `softmax`, and files to fill in."""
    folder = tmp_path_factory.mktemp("impute")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(5, 2, (40, 3)), columns=NAMES).assign(c=np.arange(40))
    frame.loc[::3, "a"] = None
    frame["label"] = ["x", "y"] * 20
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    where = ["--run-dir", str(folder), "-l"]
    few = ["--n_labeled", "100"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dhm.training.train.learning_curves", lambda *arguments: None)
        hide = ["--hide", "0.8"]
        assert main(["train", *SMALL, *few, *hide, *where, "images"]) == 0
        assert main(["train", *SMALL, *where, "table", "--dataset", str(folder / "t.csv")]) == 0
        softmax = ["--model", "softmax", "-q", "-e", "1"]
        assert main(["train", *softmax, *few, *where, "softmax"]) == 0
    x = load("digits").test.x[:6].astype(np.float32)
    x[:, :, :4] = np.nan
    np.save(folder / "x.npy", x)
    np.savez(folder / "x.npz", x=x[:, 0], y=np.arange(6))
    np.save(folder / "whole.npy", np.zeros((6, 1, 8, 8), np.uint8))
    np.save(folder / "unit.npy", x / 255)
    np.save(folder / "large.npy", x + 1)
    np.save(folder / "wide.npy", np.zeros((6, 5)))
    (folder / "data" / "images").mkdir(parents=True)
    np.save(folder / "data" / "y.npy", x)
    for i, pixels in enumerate(load("digits").test.x[:3]):
        Image.fromarray(pixels[0]).save(folder / "data" / "images" / f"{i}.png")
    frame.assign(draw=1).to_csv(folder / "drawn.csv", index=False)
    shutil.copytree(folder / "table", folder / "draws")
    return folder


def impute(folder: Path, run: str, *words: object) -> int:
    return main(["impute", str(folder / run), *map(str, words)])


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_arrays(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = np.load(folder / "x.npy")
    assert impute(folder, "images", folder / name, "-o", tmp_path / "a.npy") == 0
    assert capsys.readouterr().out.startswith("192 of 384 entries filled in")
    mean = np.load(tmp_path / "a.npy")
    assert mean.shape == before.shape and mean.min() >= 0 and mean.max() <= 255
    observed = ~np.isnan(before)
    assert np.array_equal(mean[observed], before[observed])
    output = ["-o", tmp_path / "a.npz", "--draws", 3, "--n_samples", 5]
    assert impute(folder, "images", folder / name, *output) == 0
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["draws"].shape == (3, *before.shape)
        assert not arrays["standard_deviation"][observed].any()
        assert arrays["standard_deviation"][~observed].any() and arrays["x"].shape == before.shape


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_tables_keep_what_is_not_filled_in(folder: Path, tmp_path: Path, name: str) -> None:
    read = pd.read_csv if name.endswith("csv") else pd.read_parquet
    before, out = read(folder / name), tmp_path / name
    assert impute(folder, "table", folder / name, "-o", out) == 0
    after = read(out)
    assert list(after.columns) == list(before.columns) and not after.isna().any(axis=None)
    known = before["a"].notna()
    pd.testing.assert_frame_equal(after[known], before[known])
    pd.testing.assert_frame_equal(after.drop(columns="a"), before.drop(columns="a"))
    assert after["a"][~known].between(-5, 15).all()
    assert impute(folder, "table", folder / name, "-o", out, "--draws", 2) == 0
    draws = read(out)
    assert draws["draw"].tolist() == [1] * 40 + [2] * 40
    one, two = (draws[draws["draw"] == n].reset_index()["a"] for n in (1, 2))
    assert (one[known] == two[known]).all() and (one[~known] != two[~known]).all()


def test_other_cells_of_a_csv_file_stay_to_the_letter(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        'id,a,b,c,note\n007,1.50,2,3,NA\n008,,2,3,None\n010,1,1e0,NA,"a, ""b"""\n'
    )
    for words, prefixes in (([], [""]), (["--draws", "2"], ["1,", "2,"])):
        out = tmp_path / "out.csv"
        assert impute(folder, "table", tmp_path / "t.csv", "-o", out, *words) == 0
        lines = out.read_text().splitlines()
        for prefix in prefixes:
            assert f"{prefix}007,1.50,2,3,NA" in lines
            assert any(re.fullmatch(rf"{prefix}008,-?[\d.]+,2,3,None", line) for line in lines)
            note = re.escape('"a, ""b"""')
            assert any(re.fullmatch(rf"{prefix}010,1,1e0,-?[\d.]+,{note}", line) for line in lines)
        assert len(lines) == 1 + 3 * len(prefixes)


def test_columns_go_by_name(folder: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(folder / "t.csv")
    frame[["c", "b", "a"]].assign(note="text").to_csv(tmp_path / "other.csv", index=False)
    tables = []
    for path in (folder / "t.csv", tmp_path / "other.csv"):
        assert impute(folder, "table", path, "-o", tmp_path / "out.csv") == 0
        tables.append(pd.read_csv(tmp_path / "out.csv"))
    assert list(tables[1].columns) == ["c", "b", "a", "note"]
    pd.testing.assert_frame_equal(tables[1][NAMES], tables[0][NAMES])


@pytest.mark.parametrize(("pattern", "rows"), [("half", 3), (None, 2)])
def test_pictures(
    folder: Path,
    tmp_path: Path,
    pattern: str | None,
    rows: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "p.png"
    source = ["digits", "--hide_pattern", pattern] if pattern else [folder / "x.npy"]
    assert impute(folder, "images", *source, "-o", out, "--n_samples", 5) == 0
    n, columns = (40, 10) if pattern else (6, 6)
    with Image.open(out) as image:
        height, width = (2 + 10 * c for c in (rows * n // columns, columns))
        assert image.size[0] * height == image.size[1] * width
    told = capsys.readouterr().out
    assert ("root mean square error" in told) == (pattern is not None)


def test_what_is_written_is_read_by_predict(folder: Path, tmp_path: Path) -> None:
    """Floats of bytes; and floats in [0, 1], filled in as the bytes that they stand for."""
    for name in ("x", "unit"):
        assert impute(folder, "images", folder / f"{name}.npy", "-o", tmp_path / f"{name}.npy") == 0
        words = ["predict", str(folder / "images"), str(tmp_path / f"{name}.npy"), "--n_samples=2"]
        assert main([*words, "-o", str(tmp_path / f"{name}.csv")]) == 0
    one, other = (np.load(tmp_path / f"{name}.npy") for name in ("x", "unit"))
    np.testing.assert_allclose(one, other, atol=1e-3)
    tables = (pd.read_csv(tmp_path / f"{name}.csv").drop(columns="file") for name in ("x", "unit"))
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)


def test_files_in_the_data_folder_and_images(folder: Path, tmp_path: Path) -> None:
    where = ["--data_dir", folder / "data", "--device", "cpu"]
    assert impute(folder, "images", "y.npy", "-o", tmp_path / "y.npy", *where) == 0
    assert impute(folder, "images", folder / "x.npy", "-o", tmp_path / "x.npy") == 0
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy"))
    hide = ["--hide_pattern", "left", *where]
    assert (
        impute(folder, "images", folder / "data" / "images", "-o", tmp_path / "i.npy", *hide) == 0
    )
    right = slice(4, None)
    x = load("digits").test.x[:3]
    assert np.array_equal(np.load(tmp_path / "i.npy")[..., right], x[..., right])


def test_a_huge_value_beside_a_gap(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b,c\n,1e30,3\n1,2,3\n")
    assert impute(folder, "table", tmp_path / "x.csv", "-o", tmp_path / "y.csv") == 0
    filled = pd.read_csv(tmp_path / "y.csv")
    assert np.isfinite(filled["a"]).all() and filled["b"][0] == 1e30
    words = ["predict", str(folder / "table"), str(tmp_path / "x.csv")]
    assert main([*words, "-o", str(tmp_path / "t.csv")]) == 0
    found = pd.read_csv(tmp_path / "t.csv")
    assert found["log_px"][0] == -np.inf and np.isfinite(found["log_px"][1])


MISTAKES = [
    ("images absent.npy -o a.npy", "absent.npy"),
    ("images whole.npy -o a.npy", "nothing is missing; mark it by NaN"),
    ("images large.npy -o a.npy", "row 1: float images must lie in [0, 1] or in 0..255, found"),
    ("images x.npy -o x.npy", "x.npy is one of the inputs"),
    ("images y.npy -o data/y.npy --data_dir data", "y.npy is one of the inputs"),
    ("images x.npy -o a.npy --device nonsense", "--device nonsense cannot be used here"),
    ("images x.npy -o a.npy --draws 10000000", "above the 2 GiB held at once: use a smaller"),
    ("images x.npy -o a.npy --n_samples 1000000000", "use a smaller n_samples"),
    ("draws drawn.csv -o a.csv --draws 2", "the table has a column 'draw'"),
    ("images wide.npy -o a.npy", "the model takes examples of shape (1, 8, 8), found (5,)"),
    ("images x.npy -o a.csv", "expected an output named .npy, .npz"),
    ("images x.npy -o a.npy --draws -1", "--draws should be at least 0"),
    ("images x.npy -o a.npy --n_samples 0", "n_samples should be at least 1"),
    ("images x.npy -o a.npy --hide_pattern halve", "did you mean 'half'?"),
    ("images x.npy -o a.npy --hide_pattern random --rate 2", "in [0, 1], found 2"),
    ("images x.npy", "required: -o/--output"),
    ("softmax x.npy -o a.npy", "this softmax has no log p(x)"),
    ("softmax x.npy -o a.png", "this softmax has no log p(x)"),
    ("table t.csv -o a.png", "a picture shows images"),
    ("table t.csv -o a.csv --hide_pattern half", "the pattern 'half' is one of images"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_mistakes(
    folder: Path,
    words: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert main(["impute", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("dhm: error: ") and err.count("\n") == 1
    assert message in err
    assert sorted(folder.iterdir()) == before
