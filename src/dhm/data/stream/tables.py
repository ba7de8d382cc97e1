"""Blocks of rows of CSV and Parquet tables: columns by name, or all but that of the labels."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dhm.data.columns import check_columns
from dhm.data.readers.guard import reading
from dhm.data.readers.table import LABEL_COLUMNS
from dhm.data.stream.form import Form, rows_of
from dhm.errors import DataError
from dhm.extras import require


def csv_blocks(path: Path, form: Form) -> Iterator[Any]:
    """Rows of a comma-separated table with a header line."""
    pandas = require("pandas", "table")

    def read(**options: Any) -> Any:
        return pandas.read_csv(path, index_col=False, **options)

    with reading(path, "CSV"):
        columns = list(map(str, read(nrows=0).columns))
        wanted = wanted_columns(columns, path, form)
        with read(chunksize=rows_of(8 * len(columns))) as frames:
            first = 0
            while (frame := _next(frames, pandas.errors.ParserWarning)) is not None:
                yield numbers_of(frame.set_axis(columns, axis=1)[wanted], path, first)
                first += len(frame)


def parquet_blocks(path: Path, form: Form) -> Iterator[Any]:
    """Rows of a Parquet table."""
    require("pandas", "table")
    parquet = require("pyarrow.parquet", "table")
    # With a buffer, a row group's columns are read piece by piece.
    with reading(path, "Parquet"), parquet.ParquetFile(path, buffer_size=1 << 16) as file:
        columns = file.schema_arrow.empty_table().to_pandas().columns.map(str)
        wanted = wanted_columns(list(columns), path, form)
        first = 0
        for batch in file.iter_batches(rows_of(8 * len(columns))):
            yield numbers_of(batch.to_pandas().set_axis(columns, axis=1)[wanted], path, first)
            first += len(batch)


def _next(frames: Iterator[Any], parser_warning: type[Warning]) -> Any:
    # As in `read_csv` of the readers: rows of more cells than the header would lose some.
    with warnings.catch_warnings():
        warnings.simplefilter("error", parser_warning)
        return next(frames, None)


def wanted_columns(columns: list[str], path: Path, form: Form) -> list[str]:
    """The columns that the model takes, in its order: by their names, or all but the labels.

    Raises `DataError` if they are not there.
    """
    if len(set(columns)) < len(columns):
        raise DataError(f"{path}: expected columns of different names")
    if form.features is not None:
        check_columns(columns, form.features, str(path))
        return list(form.features)
    label = next((c for c in LABEL_COLUMNS if c in columns), None)
    beside = [c for c in columns if c != label]
    if (len(beside),) != form.shape:
        expected = f"{form.shape[0]} columns" if len(form.shape) == 1 else f"shape {form.shape}"
        raise DataError(
            f"{path}: the model takes {expected}, found {len(beside)} columns beside any "
            f"labels (a column called {', '.join(LABEL_COLUMNS)})"
        )
    return beside


def numbers_of(frame: Any, path: Path, first: int) -> Any:
    """(rows, D) float64, NaN where a cell is empty; `DataError` for one that is no number."""
    strange = [c for c, t in frame.dtypes.items() if getattr(t, "kind", "O") not in "buif"]
    for column in strange:
        frame = frame.assign(**{column: _as_numbers(frame[column], path, first)})
    return frame.to_numpy(np.float64, na_value=np.nan)


def _as_numbers(column: Any, path: Path, first: int) -> Any:
    """A column that is not of numbers all through: empty cells, or a `DataError` for the row."""
    from pandas import to_numeric

    as_text = column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
    numbers = to_numeric(as_text, errors="coerce")
    wrong = (numbers.isna() & column.notna()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{path}, row {first + row}: expected a number in column {column.name!r}, found "
            f"{as_text.iloc[row]!r}; correct it, or remove the column if the model has none such"
        )
    return numbers
