"""Parquet and CSV: a row per example, numeric columns, gaps allowed, and a column of labels."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dhm.data.assemble import Parts
from dhm.data.columns import listed
from dhm.data.readers.guard import reading
from dhm.errors import DataError
from dhm.extras import require

LABEL_COLUMNS = ("label", "y", "target", "class")
"""The names a label column may have; the first present is taken."""


def read_csv(path: Path) -> Parts:
    """A comma-separated table with a header line."""
    frame = read_frame(path)
    label = _label_column(frame)
    if label is not None and any(isinstance(value, str) for value in frame[label].unique()):
        # None, NA or null may be the name of a class: an empty cell alone is no label.
        frame[label] = read_frame(path, as_text=True, only=[label])[label]
    return _parts(frame, path)


def read_parquet(path: Path) -> Parts:
    """A Parquet table."""
    return _parts(read_frame(path), path)


def read_frame(path: Path, *, as_text: bool = False, only: list[str] | None = None) -> Any:
    """A table as a pandas frame whose columns are called by text, each name once.

    With `as_text` the cells of a CSV file are the words that stand there, and with `only` these are
    its columns.
    """
    pandas = require("pandas", "table")
    if path.suffix.lower() == ".csv":
        # Where rows are longer than the header, pandas would take the first column for an index and
        # shift the others, or with index_col=False drop what is too much and merely warn.
        with reading(path, "CSV"), warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            cells = {"dtype": object, "keep_default_na": False, "usecols": only} if as_text else {}
            frame = pandas.read_csv(path, low_memory=False, index_col=False, **cells)
    else:
        require("pyarrow.parquet", "table")
        with reading(path, "Parquet"):
            frame = pandas.read_parquet(path, engine="pyarrow")
    columns = [str(c) for c in frame.columns]
    if len(frame) == 0:
        raise DataError(f"{path}: expected a row for each example, found none; the table is empty")
    if len(set(columns)) < len(columns):
        raise DataError(f"{path}: expected columns of different names, found {listed(columns)}")
    return frame.set_axis(columns, axis=1)


def numeric_columns(frame: Any, path: Path) -> list[str]:
    """The columns beside that of the labels, if any; `DataError` unless all are of numbers."""
    features = frame.drop(columns=_label_column(frame) or [])
    # An index written by accident would be learnt from: it tells where in the file a row stood.
    nameless = [c for c in features.columns if c == "" or c.startswith("Unnamed: ")]
    _refuse(nameless, path, "has no name", "remove it (pandas: write with index=False)")
    strange = [c for c, t in features.dtypes.items() if getattr(t, "kind", "O") not in "buif"]
    _refuse(strange, path, "is not numeric", "remove it or encode it as numbers")
    return list(features.columns)


def _parts(frame: Any, path: Path) -> Parts:
    label = _label_column(frame)
    if label is None:
        raise DataError(
            f"{path}: expected a label column named {', '.join(LABEL_COLUMNS)}, "
            f"found {listed(list(frame.columns))}; name the column of labels so"
        )
    columns = numeric_columns(frame, path)
    if not columns:
        raise DataError(f"{path}: expected numeric columns beside {label!r}, found none")
    x = frame[columns].to_numpy(np.float64, na_value=np.nan)
    return Parts(x, _labels(frame[label]), features=tuple(columns))


def _label_column(frame: Any) -> str | None:
    return next((c for c in LABEL_COLUMNS if c in frame.columns), None)


def _labels(column: Any) -> Any:
    if getattr(column.dtype, "kind", "O") in "buif":
        if column.isna().any():
            return column.to_numpy(np.float64, na_value=np.nan)
        return column.to_numpy(column.to_numpy().dtype if column.dtype.kind != "b" else bool)
    return column.astype(object).where(column.notna(), "").astype(str).to_numpy(str)


def _refuse(columns: list[str], path: Path, fault: str, remedy: str) -> None:
    if columns:
        raise DataError(
            f"{path}: expected only numeric columns beside the labels, but "
            f"{listed(columns)} {fault}; {remedy}"
        )
