"""`stream`: files, folders and names of data sets to blocks of rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhm.data.locate import by_path
from dhm.data.readers.images import EXTENSIONS as IMAGES
from dhm.data.registry import NAMES, load
from dhm.data.stream.arrays import array_blocks, hdf5_blocks, npy_blocks, npz_blocks
from dhm.data.stream.form import Form
from dhm.data.stream.images import image_paths, is_images, read_image
from dhm.data.stream.tables import csv_blocks, parquet_blocks
from dhm.errors import ConfigError, DataError, DataNotFoundError
from dhm.suggest import did_you_mean

BLOCKS: dict[str, Callable[[Path, Form], Iterator[Any]]] = {
    ".npy": npy_blocks,
    ".npz": npz_blocks,
    ".h5": hdf5_blocks,
    ".hdf5": hdf5_blocks,
    ".csv": csv_blocks,
    ".parquet": parquet_blocks,
    ".pq": parquet_blocks,
}
EXTENSIONS = (*BLOCKS, *sorted(IMAGES))
"""The files that can be read."""


class Rows(NamedTuple):
    """Some rows, at most a thousand, and where they come from."""

    file: Sequence[str]
    """The file of each row, as it was named."""
    row: NDArray[np.int64]
    """Its number in the file, from 0."""
    x: Any
    """(n, *shape), as the model takes them; a scipy CSR matrix where the file holds one."""


def stream(
    sources: Iterable[str | Path], form: Form, *, data_dir: str | Path | None = None
) -> Iterator[Rows]:
    """The rows of files, one after the other, in bounded memory.

    Arguments:
        sources: image files, folders of images, .npy, .npz, HDF5, CSV and Parquet files, or names
            of data sets, of which the test part is read. Labels are left out.
        form: what the model takes. Images of other modes are converted, floats in [0, 1] and bytes
            into each other; other sizes are refused. Floats in 0..255 are told by the first block.
        data_dir: folder to look for data in first.

    All sources are looked for before the first is read.

    Raises `DataNotFoundError`, `MissingDependencyError`, or `DataError` that names the file, and
    the row where only one is bad.

    Example:
        >>> for rows in stream(["digits"], Form((1, 8, 8), "uint8")):
        ...     print(rows.file[0], rows.row[-1], rows.x.shape)
        digits 448 (449, 1, 8, 8)
    """
    return _stream([_found(str(source), data_dir) for source in sources], form, data_dir)


def check_not_read(
    output: str | Path, sources: Iterable[str | Path], data_dir: str | Path | None = None
) -> None:
    """Refuse, with `ConfigError`, an output that would take the place of what is read.

    Sources are looked for as by `stream`; of a folder, its images count.
    """
    target = Path(output).resolve()
    for source in filter(None, map(str, sources)):
        path = (by_path(source, data_dir) or Path(source)).resolve()
        within = path in target.parents and target.suffix.lower() in IMAGES and target.exists()
        if source not in NAMES and (target == path or within):
            raise ConfigError(f"{output} is one of the inputs: the output needs another name")


def _stream(sources: list[str | Path], form: Form, data_dir: str | Path | None) -> Iterator[Rows]:
    def of_images(source: str | Path) -> bool:
        return isinstance(source, Path) and is_images(source)

    # Many image files make full batches together.
    for images, group in groupby(sources, of_images):
        if images:
            yield from _images((p for source in group for p in image_paths(Path(source))), form)
        else:
            for source in group:
                yield from _numbered(str(source), _blocks(source, form, data_dir), form)


def _found(source: str, data_dir: str | Path | None) -> str | Path:
    if source in NAMES:
        return source
    path = by_path(source, data_dir) if source else None
    if path is None:
        hint = did_you_mean(source, NAMES)
        raise DataNotFoundError(f"no data set and no file or folder is called {source!r}{hint}")
    if not is_images(path) and path.suffix.lower() not in BLOCKS:
        raise DataError(
            f"{path}: expected a file of type {', '.join(EXTENSIONS)} or a folder of images, found "
            f"{path.suffix or 'no extension'}; convert it"
        )
    return path


def _blocks(source: str | Path, form: Form, data_dir: str | Path | None) -> Iterator[Any]:
    if isinstance(source, str):
        return array_blocks(load(source, data_dir=data_dir).test.x, form, source)
    return BLOCKS[source.suffix.lower()](source, form)


def _numbered(what: str, blocks: Iterator[Any], form: Form) -> Iterator[Rows]:
    first = 0
    in_bytes: bool | None = None
    for block in blocks:
        form.check_shape(block.shape[1:], what)
        if in_bytes is None:
            in_bytes = form.in_bytes(block)
        n = block.shape[0]
        x = form.convert(block, what, first, in_bytes)
        yield Rows([what] * n, np.arange(first, first + n), x)
        first += n
    if not first:
        raise DataError(f"{what}: expected at least one row, found none: it is empty")


def _images(paths: Iterator[Path], form: Form) -> Iterator[Rows]:
    while batch := list(islice(paths, form.rows)):
        x = np.stack([read_image(path, form) for path in batch])
        yield Rows([*map(str, batch)], np.zeros(len(batch), np.int64), form.convert(x, "images", 0))
