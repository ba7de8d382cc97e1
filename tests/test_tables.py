"""Tables that are written as they come: every format gives back the same, or nothing at all."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dhm import tables
from dhm.errors import ConfigError, DataNotFoundError, MissingDependencyError, RunError
from dhm.tables import check_table, writing_table

NAMES = pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet", "t.pq"])
READERS: dict[str, Any] = {
    ".csv": lambda path: pd.read_csv(path, dtype={"file": str}),
    ".jsonl": lambda path: pd.read_json(path, lines=True, precise_float=True),
    ".parquet": pd.read_parquet,
    ".pq": pd.read_parquet,
}


def columns(n: int, start: int = 0) -> dict[str, Any]:
    x = np.random.default_rng(start).normal(size=n)
    return {
        "file": ['a, "b"\n|ü'] * n,
        "row": np.arange(start, start + n),
        "wide": x,
        "p": x.astype(np.float32),
    }


@NAMES
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    parts = [columns(3), columns(5, 3), columns(1, 8)]
    with writing_table(tmp_path / name) as write:
        for part in parts:
            write(part)
    found = READERS[Path(name).suffix](tmp_path / name)
    expected = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    assert found["file"].tolist() == expected["file"].tolist()
    assert (found[["row", "wide"]] == expected[["row", "wide"]]).all(axis=None)
    assert (found["p"].astype(np.float32) == expected["p"]).all()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_single_precision_is_written_short(tmp_path: Path) -> None:
    with writing_table(tmp_path / "t.csv") as write:
        write({"p": np.float32([0.1, np.nan, np.inf])})
    assert (tmp_path / "t.csv").read_text() == "p\n0.1\nnan\ninf\n"
    with writing_table(tmp_path / "t.jsonl") as write:
        write({"p": np.float32([0.1, np.nan, np.inf])})
    lines = (tmp_path / "t.jsonl").read_text().splitlines()
    assert [json.loads(line)["p"] for line in lines] == [0.1, None, None]


@NAMES
@pytest.mark.parametrize("error", [KeyboardInterrupt, DataNotFoundError])
def test_what_fails_leaves_the_old_file(
    name: str, error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text("old")
    with pytest.raises(error, match="why"), writing_table(path) as write:
        write(columns(1000))
        raise error("why")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_row_groups_hold_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_GROUP_BYTES", 20_000)
    with writing_table(tmp_path / "t.parquet") as write:
        for start in range(0, 1000, 10):
            write({"x": np.arange(start, start + 10)})
    with pq.ParquetFile(tmp_path / "t.parquet") as file:
        assert file.num_row_groups == 1
    monkeypatch.setattr(tables, "_GROUP_BYTES", 2000)
    with writing_table(tmp_path / "t.parquet") as write:
        for start in range(0, 1000, 10):
            write({"x": np.arange(start, start + 10)})
    with pq.ParquetFile(tmp_path / "t.parquet") as file:
        assert file.num_row_groups == 4
        assert file.read()["x"].to_pylist() == list(range(1000))


def test_names_that_are_refused(tmp_path: Path) -> None:
    for path, reason in {
        tmp_path / "t.xls": ".csv, .jsonl, .parquet, .pq",
        tmp_path: "found",
    }.items():
        with pytest.raises(ConfigError, match=reason):
            check_table(path)
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(ConfigError, match="is a folder"), writing_table(tmp_path / "t.csv"):
        pass
    with pytest.raises(RunError, match="cannot write"), writing_table("/proc/x/t.parquet"):
        pass


@pytest.mark.parametrize("module", ["pyarrow", "pyarrow.parquet"])
def test_parquet_without_pyarrow_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"deep-hybrid-models\[table\]"):
        check_table("t.parquet")
    check_table("t.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("extension", tables.FORMATS)
def test_a_full_disk_is_an_error(extension: str) -> None:
    with pytest.raises(OSError), tables.FORMATS[extension](Path("/dev/full")) as write:
        write({"x": np.arange(100_000)})
