"""Files whose gaps are to be filled in: read with what belongs to them, and written completed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dhm.data.readers.guard import reading, require
from dhm.data.readers.keyed import X_NAMES
from dhm.data.readers.pairs import read_npy
from dhm.data.readers.table import numeric_columns, read_frame
from dhm.data.registry import load
from dhm.errors import ConfigError, DataError
from dhm.files import replacing

ARRAYS, TABLES = (".npy", ".npz"), (".csv", ".parquet", ".pq")


@dataclass(frozen=True)
class Incomplete:
    """Inputs, NaN where missing, and the table they stand in, if it is one."""

    x: Any
    """(N, *shape) as a model of that shape takes them; in the file's own type."""
    frame: Any = None
    """The pandas frame, other columns included."""
    columns: tuple[str, ...] = ()
    """Those of the frame that x is made of."""


def read_incomplete(name_or_path: str, shape: tuple[int, ...], dtype: str) -> Incomplete:
    """The inputs in a file, or those of the test part of a data set that has a name.

    Reads .npy, .npz (x, or the only array), .csv and .parquet, with or without labels, and whatever
    else `load` does. `shape` and `dtype` are the model's; bytes may come as floats in 0..255.

    Raises `DataError` for inputs of another shape or range.
    """
    path = Path(name_or_path)
    suffix = path.suffix.lower()
    frame, columns = None, ()
    if suffix in TABLES and path.is_file():
        frame = read_frame(path)
        columns = tuple(numeric_columns(frame, path))
        x = frame[list(columns)].to_numpy(np.float32, na_value=np.nan)
    elif suffix == ".npy" and path.is_file():
        x = read_npy(path)
    elif suffix == ".npz" and path.is_file():
        x = _array_of(path)
    else:
        x = load(name_or_path).test.x
    x = _laid_out(x, shape, name_or_path)
    _check_range(x, shape, dtype, name_or_path)
    return Incomplete(x, frame, columns)


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
    them, told apart by a first column `draw`. .npy holds the mean or the draws; .npz the arrays
    `x`, `standard_deviation` and `draws`.
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
            frame = _filled(source, mean, draws)
            if suffix == ".csv":
                frame.to_csv(temporary, index=False)
            else:
                require("pyarrow", "table")
                frame.to_parquet(temporary, index=False, engine="pyarrow")


def _filled(source: Incomplete, mean: Any, draws: Any) -> Any:
    pandas = require("pandas", "table")
    fillings = [mean] if draws is None else list(draws)
    frames = []
    for values in fillings:
        frame = source.frame.copy()
        for i, name in enumerate(source.columns):
            gaps = frame[name].isna().to_numpy()
            if gaps.any():  # a column without is written as it was read, whole numbers as such
                column = frame[name].to_numpy(np.float64, na_value=np.nan)
                frame[name] = np.where(gaps, values[:, i], column)
        frames.append(frame)
    if draws is None:
        return frames[0]
    for number, frame in enumerate(frames, start=1):
        frame.insert(0, "draw", number)
    return pandas.concat(frames)


def _array_of(path: Path) -> Any:
    with reading(path, "npz"), np.load(path, allow_pickle=False) as arrays:
        names = arrays.files
        name = next((n for n in X_NAMES if n in names), names[0] if len(names) == 1 else None)
        if name is None:
            raise DataError(f"{path}: expected an array x, found {', '.join(names)}; rename it")
        return arrays[name]


def _laid_out(x: Any, shape: tuple[int, ...], what: str) -> Any:
    x = x.toarray() if hasattr(x, "toarray") else np.asarray(x)
    if x.dtype.kind not in "buif":
        raise DataError(f"{what}: expected numbers, found values of type {x.dtype}")
    found = x.shape[1:]
    if found == shape:
        return x
    if len(shape) == 3:
        channels, height, width = shape
        if channels == 1 and found == (height, width):
            return x[:, None]
        if found == (height, width, channels):
            return x.transpose(0, 3, 1, 2)
    raise DataError(f"{what}: the model takes examples of shape {shape}, found {found}")


def _check_range(x: Any, shape: tuple[int, ...], dtype: str, what: str) -> None:
    """Refuse infinite values, and pixels in another range than the model learnt."""
    from dhm.data.checks import value_range

    low, high = value_range(x) if x.size else (0, 0)
    if np.isinf([low, high]).any():
        raise DataError(f"{what}: expected finite values or NaN, found infinite ones; correct them")
    top = 255 if dtype == "uint8" else 1
    if len(shape) == 3 and (low < 0 or high > top):
        raise DataError(
            f"{what}: the model learnt pixels in [0, {top}], found {low:g} to {high:g}; rescale "
            "them"
        )
    if dtype == "uint8" and x.dtype.kind == "f" and high <= 1 and np.any((x > 0) & (x < 1)):
        raise DataError(
            f"{what}: the model learnt pixels in [0, 255], found {low:g} to {high:g}; multiply "
            "them by 255"
        )
