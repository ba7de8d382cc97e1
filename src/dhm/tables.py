"""Writing a table of any length as it is computed: CSV, JSON lines or Parquet."""

import csv
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from dhm.errors import ConfigError
from dhm.extras import require
from dhm.files import replacing

Columns = Mapping[str, Any]
"""Names and as many values for each: sequences, or numpy arrays (n,)."""
Write = Callable[[Columns], None]

_GROUP_BYTES = 1 << 22
_PARQUET = "table", "writing Parquet (.csv needs nothing)"


@contextmanager
def writing_table(path: str | Path | None) -> Iterator[Write]:
    """A function that appends rows to a table, in the format of the file's extension.

    The file appears, or takes the place of one of the same name, when the block has succeeded.
    Every call gives the same columns. A number that is not finite is empty in JSON (null) and is
    written nan or inf in CSV.

    Arguments:
        path: a name ending in .csv, .jsonl, .parquet or .pq; None writes CSV to standard output.

    Raises:
        ConfigError: another extension.
        MissingDependencyError: Parquet without pyarrow.
        RunError: the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "answers.csv")
        ...     with writing_table(path) as write:
        ...         write({"row": [0, 1], "log_px": np.float32([-85.1, -90.25])})
        ...     print(path.read_text())
        row,log_px
        0,-85.1
        1,-90.25
        <BLANKLINE>
    """
    if path is None:
        yield _csv(sys.stdout)
        sys.stdout.flush()  # a reader that has left is noticed here, not when Python exits
        return
    check_table(path)
    open_format = FORMATS[Path(path).suffix.lower()]
    with replacing(path) as temporary, open_format(temporary) as write:
        yield write


def check_table(path: str | Path) -> None:
    """Refuse a name that no table can be written under, before any work is done.

    Raises as `writing_table`.
    """
    path = Path(path)
    extension = path.suffix.lower()
    if extension not in FORMATS:
        raise ConfigError(
            f"expected a name ending in {', '.join(FORMATS)} for the table, found {path}"
        )
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: the table needs another name")
    if FORMATS[extension] is _parquet_file:
        require("pyarrow.parquet", *_PARQUET)


@contextmanager
def _csv_file(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield _csv(file)


def _csv(file: IO[str]) -> Write:
    writer = csv.writer(file, lineterminator="\n")
    header: list[str] = []

    def write(columns: Columns) -> None:
        if not header:
            header.extend(columns)
            writer.writerow(header)
        writer.writerows(zip(*map(_plain, columns.values()), strict=True))

    return write


@contextmanager
def _jsonl_file(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:

        def write(columns: Columns) -> None:
            for row in zip(*map(_plain, columns.values()), strict=True):
                finite = (None if _is_not_finite(value) else value for value in row)
                record = dict(zip(columns, finite, strict=True))
                file.write(json.dumps(record, ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _parquet_file(path: Path) -> Iterator[Write]:
    pyarrow, parquet = (require(name, *_PARQUET) for name in ("pyarrow", "pyarrow.parquet"))
    waiting: list[Any] = []
    writer: Any = None

    def flush() -> None:
        nonlocal writer
        table = pyarrow.concat_tables(waiting)
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
        waiting.clear()

    def write(columns: Columns) -> None:
        waiting.append(pyarrow.table({name: list_or_array(c) for name, c in columns.items()}))
        # Row groups of some thousand rows: many small ones are slow to read.
        if sum(table.nbytes for table in waiting) >= _GROUP_BYTES:
            flush()

    def list_or_array(column: Any) -> Any:
        return column if isinstance(column, np.ndarray) else list(column)

    with path.open("wb") as file:  # now: that it cannot be written should not be found out late
        try:
            yield write
            if waiting:
                flush()
        finally:
            if writer is not None:
                writer.close()


FORMATS = {
    ".csv": _csv_file,
    ".jsonl": _jsonl_file,
    ".parquet": _parquet_file,
    ".pq": _parquet_file,
}
"""What writes a file, by its extension."""


def _plain(column: Any) -> Sequence[Any]:
    """Python values; of single precision the shortest number that is the same in it."""
    if not isinstance(column, np.ndarray):
        return list(column)
    if column.dtype == np.float32:
        return [float(str(value)) for value in column]
    return column.tolist()


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
