"""Files whose gaps are to be filled in: read with what belongs to them, and written completed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dhm.data.locate import by_path
from dhm.data.readers.table import read_frame
from dhm.data.stream import Form, stream
from dhm.data.stream.tables import numbers_of, wanted_columns
from dhm.errors import ConfigError, DataError
from dhm.extras import require
from dhm.files import replacing

ARRAYS, TABLES = (".npy", ".npz"), (".csv", ".parquet", ".pq")
DRAW = "draw"
"""The column that tells the draws of a table apart."""


@dataclass(frozen=True)
class Incomplete:
    """Inputs, NaN where missing, and the table they stand in, if it is one."""

    x: Any
    """(N, *shape) as a model takes them: bytes, or floats."""
    frame: Any = None
    """The pandas frame, other columns included."""
    columns: tuple[str, ...] = ()
    """Names of the D columns of the frame that x is made of."""
    numbers: Any = None
    """(N, D) float64: what is in them."""
    text: Any = None
    """The frame as the words of a CSV file, which are to stay as they are."""


def read_incomplete(
    name_or_path: str,
    form: Form,
    *,
    data_dir: str | Path | None = None,
    most: int | None = None,
    check: Callable[[int], None] = lambda n: None,
) -> Incomplete:
    """The inputs in whatever `stream` reads, at most so many; of a table, with its other columns.

    `check` is told how many there are so far, and may raise. Errors are those of `stream`.
    """
    path = by_path(name_or_path, data_dir) if name_or_path else None
    if path is not None and path.is_file() and path.suffix.lower() in TABLES:
        frame = read_frame(path).iloc[:most]
        check(len(frame))
        columns = wanted_columns(list(frame.columns), path, form)
        numbers = numbers_of(frame[columns], path, 0)
        text = read_frame(path, as_text=True).iloc[:most] if path.suffix.lower() == ".csv" else None
        x = form.convert(numbers, str(path), 0)
        return Incomplete(x, frame, tuple(columns), numbers, text)
    parts: list[Any] = []
    n = 0
    for block in stream([name_or_path], form, data_dir=data_dir):
        parts.append(block.x.toarray() if hasattr(block.x, "toarray") else block.x)
        n += len(block.row)
        check(n if most is None else min(n, most))
        if most is not None and n >= most:
            break
    return Incomplete(np.concatenate(parts)[:most])


def check_draws(path: str | Path, source: Incomplete) -> None:
    """Refuse, with `DataError`, to write draws as a table that has the column they are told by."""
    as_table = Path(path).suffix.lower() in TABLES
    if as_table and source.frame is not None and DRAW in source.frame.columns:
        raise DataError(
            f"the table has a column {DRAW!r}, by which --draws would tell the draws apart; rename "
            "it, or write a .npz"
        )


def check_output(path: str | Path, source: str) -> None:
    """Refuse, with `ConfigError`, a name under which what was read cannot be written."""
    suffix, of_table = Path(path).suffix.lower(), Path(source).suffix.lower() in TABLES
    possible = (*TABLES, *ARRAYS) if of_table else ARRAYS
    if suffix not in possible:
        raise ConfigError(
            f"expected an output named {', '.join(possible)} for {source}, found {path}"
        )


def write_completed(
    path: str | Path, source: Incomplete, mean: Any, spread: Any, draws: Any
) -> None:
    """Write filled inputs in the format that the file's extension says.

    A table is the one that was read, filled by the mean, or with `draws` (n, N, D) once by each of
    them, told apart by a first column `draw`: see `check_draws`. From CSV to CSV, what stands in
    all other cells stays to the letter. .npy holds the mean or the draws; .npz the arrays `x`,
    `standard_deviation` and `draws`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    with replacing(path) as temporary:
        if suffix == ".npy":
            with temporary.open("wb") as file:
                np.save(file, mean if draws is None else draws)
        elif suffix == ".npz":
            arrays = {"x": mean, "standard_deviation": spread}
            with temporary.open("wb") as file:
                np.savez(file, **arrays, **({} if draws is None else {"draws": draws}))
        else:
            as_text = suffix == ".csv" and source.text is not None
            frame = _filled(source, source.text if as_text else source.frame, mean, draws)
            if suffix == ".csv":
                frame.to_csv(temporary, index=False)
            else:
                require("pyarrow.parquet", "table")
                frame.to_parquet(temporary, index=False, engine="pyarrow")


def _filled(source: Incomplete, original: Any, mean: Any, draws: Any) -> Any:
    pandas = require("pandas", "table")
    fillings = [mean] if draws is None else list(draws)
    frames = []
    for values in fillings:
        frame = original.copy()
        for i, name in enumerate(source.columns):
            gaps = np.isnan(source.numbers[:, i])
            if gaps.any():  # a column without is written as it was read, whole numbers as such
                known = original[name] if original is source.text else source.numbers[:, i]
                frame[name] = np.where(gaps, values[:, i].astype(np.float64), known)
        frames.append(frame)
    if draws is None:
        return frames[0]
    for number, frame in enumerate(frames, start=1):
        frame.insert(0, DRAW, number)
    return pandas.concat(frames)
