"""`load`: a name or a path to a checked data set."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dhm.data.assemble import Parts, assemble, assemble_test
from dhm.data.dataset import Dataset
from dhm.data.download import fetch
from dhm.data.locate import SYSTEM_PLACES, by_path, cache_dir, locate, users_places
from dhm.data.readers.hdf5 import read_hdf5
from dhm.data.readers.images import read_images
from dhm.data.readers.npz import read_npz
from dhm.data.readers.pairs import has_pairs, read_folder_of_pairs, read_pair
from dhm.data.readers.table import read_csv, read_parquet
from dhm.data.sources import SOURCES, Source
from dhm.errors import DataError, DataNotFoundError
from dhm.suggest import did_you_mean

NAMES = tuple(SOURCES)
"""The data sets that have a name."""

FORMATS: dict[str, Callable[[Path], Parts]] = {
    ".npz": read_npz,
    ".npy": read_pair,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".pq": read_parquet,
}
"""What reads a file, by its extension."""


def load(
    name_or_path: str | Path,
    *,
    data_dir: str | Path | None = None,
    seed_data: int = 0,
    download: bool = True,
    progress: bool = False,
) -> Dataset:
    """Load a data set by its name, or from a file or folder of one's own.

    Names are in `NAMES`. Their files are looked for in `data_dir`, `$DHM_DATA`,
    `/usr/share/datasets` and the cache (`$DHM_CACHE`), in each in a sub-folder of the data set's
    name and directly, and are otherwise downloaded to the cache if `download`, with a progress bar
    if `progress`. `./mnist` and `Path("mnist")` are paths even if the name is known.

    A path may lead to: a `.npz` with x and y, or x_train, y_train, x_test, y_test and optionally
    x_unlabeled; HDF5 with the same or with data and label; a folder of `.npy` files of these names,
    or one of them, which are memory-mapped; a folder of images by class; a CSV or Parquet table
    with a column `label`; a scipy sparse `foo.X.npz` with `foo.y.npy` beside it. Labels may be
    integers or names; -1, NaN or an empty name marks an unlabelled example. NaN among the inputs,
    a gap in a table, is a missing entry.

    Images come back as (N, C, H, W), uint8 or float32 in [0, 1], vectors as (N, D) float32. Where
    there is no test part a quarter of the labelled examples is held out, stratified by class and
    chosen by `seed_data`.

    Raises `DataNotFoundError`, `DownloadError`, `MissingDependencyError`, or `DataError` for
    files, inputs or labels that cannot be used.

    >>> digits = load("digits")
    >>> digits.shape, len(digits.train), len(digits.test)
    ((1, 8, 8), 1348, 449)
    """
    source = _source(name_or_path)
    if source is not None:
        name = str(name_or_path)
        parts = source.read(_files(name, source, data_dir, download, progress))
        dataset = assemble(parts, name, seed_data, source.classes)
        return replace(dataset, symmetric=source.symmetric)
    path = _found(name_or_path, data_dir)
    return assemble(_read_path(path), path.resolve().name, seed_data)


def load_test(
    name_or_path: str | Path,
    classes: tuple[str, ...],
    *,
    data_dir: str | Path | None = None,
    seed_data: int = 0,
    progress: bool = False,
) -> Dataset:
    """What to test a model of these classes on: the test part of a data set that has one.

    Of a file or folder without a test part that is every example with a label; some of the classes
    may be absent. Raises as `load` does.
    """
    if _source(name_or_path) is not None:
        return load(name_or_path, data_dir=data_dir, seed_data=seed_data, progress=progress)
    path = _found(name_or_path, data_dir)
    return assemble_test(_read_path(path), path.resolve().name, classes)


def _source(name_or_path: str | Path) -> Source | None:
    return SOURCES.get(name_or_path) if isinstance(name_or_path, str) else None


def _found(name_or_path: str | Path, data_dir: str | Path | None) -> Path:
    path = by_path(str(name_or_path), data_dir) if str(name_or_path) else None
    if path is None:
        raise DataNotFoundError(
            f"no data set and no file or folder is called {str(name_or_path)!r}"
            f"{did_you_mean(str(name_or_path).lower(), NAMES)}"
        )
    return path


def _files(
    name: str, source: Source, data_dir: str | Path | None, download: bool, progress: bool
) -> Sequence[Path]:
    if not source.files:
        return ()
    found = locate(source, data_dir, {s.folder for s in SOURCES.values()})
    if found is None:
        target = cache_dir() / source.folder
        if not download:
            places = [*users_places(data_dir), *SYSTEM_PLACES, cache_dir()]
            raise DataNotFoundError(
                f"{name}: expected {', '.join(f.name for f in source.files)} in one of "
                f"{', '.join(map(str, places))} (or in {source.folder} there), found none that has "
                "them; put them there or allow the download"
            )
        found = fetch(source, target, progress)
    return [found[file.name] for file in source.files]


def _read_path(path: Path) -> Parts:
    if path.is_dir():
        return read_folder_of_pairs(path) if has_pairs(path) else read_images(path)
    if read := FORMATS.get(path.suffix.lower()):
        return read(path)
    raise DataError(
        f"{path}: expected a file of type {', '.join(FORMATS)} or a folder, found "
        f"{path.suffix or 'no extension'}; convert it"
    )
