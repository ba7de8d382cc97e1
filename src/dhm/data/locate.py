"""Where the files of a published data set lie on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

from dhm.data.sources import PublishedFile, Source
from dhm.errors import DataNotFoundError

SYSTEM_PLACES = (Path("/usr/share/datasets"), Path("/usr/local/share/datasets"))
"""Where an operating system's packages put data sets."""


def cache_dir() -> Path:
    """The folder downloads are kept in: `$DHM_CACHE` or the platform's cache folder."""
    if chosen := os.environ.get("DHM_CACHE"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("dhm"))


def users_places(data_dir: str | Path | None) -> list[Path]:
    """The folders the user named: `data_dir`, then `$DHM_DATA`.

    Raises `DataNotFoundError` if `data_dir` is not a folder.
    """
    places = []
    if data_dir is not None:
        places.append(Path(data_dir).expanduser())
        if not places[0].is_dir():
            raise DataNotFoundError(
                f"data_dir: there is no folder {data_dir}; create or correct it"
            )
    if chosen := os.environ.get("DHM_DATA"):
        places.append(Path(chosen).expanduser())
    return places


def locate(
    source: Source, data_dir: str | Path | None, other_folders: set[str]
) -> dict[str, Path] | None:
    """The path of each file by its published name, or None where no place has them all.

    Looks in `data_dir`, `$DHM_DATA`, the system's places and the cache, in each in the sub-folder
    named for the data set and then directly. A folder named for another data set
    (`other_folders`) is passed over: MNIST and Fashion-MNIST use the same file names.

    Raises `DataNotFoundError` if a folder the user named has some of the files but not all.
    """
    named = users_places(data_dir)
    for place in _places(named):
        for folder in (place / source.folder, place):
            if folder == place and place.resolve().name in other_folders - {source.folder}:
                continue
            found = present(source, folder)
            if len(found) == len(source.files):
                return found
            if found and place in named:
                missing = ", ".join(f.name for f in source.files if f.name not in found)
                raise DataNotFoundError(
                    f"{folder}: expected {len(source.files)} files, found {len(found)} of them; "
                    f"put {missing} there too"
                )
    return None


def present(source: Source, folder: Path) -> dict[str, Path]:
    """Those files of a data set that lie in a folder, by their published names."""
    hits = {file.name: _hit(file, folder) for file in source.files}
    return {name: path for name, path in hits.items() if path is not None}


def _hit(file: PublishedFile, folder: Path) -> Path | None:
    candidates = (folder / name for name in (file.name, *file.also))
    return next((path for path in candidates if path.is_file()), None)


def _places(named: list[Path]) -> Iterator[Path]:
    yield from named
    yield from SYSTEM_PLACES
    yield cache_dir()  # last, and only when reached: finding it may import pooch


def by_path(name: str, data_dir: str | Path | None) -> Path | None:
    """A file or folder of the user's own: the path as given, or within the folders they named."""
    path = Path(name).expanduser()
    candidates = [path, *(place / path for place in users_places(data_dir))]
    # Unlike Path.exists this is simply False for what cannot be a path at all.
    return next((candidate for candidate in candidates if os.path.exists(candidate)), None)
