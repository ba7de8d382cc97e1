"""Fetching the files of a published data set."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from dhm.data.locate import present
from dhm.data.sources import PublishedFile, Source
from dhm.errors import DownloadError, one_line

TIMEOUT_S = 30
"""How long a server may stay silent."""


def fetch(source: Source, folder: Path, progress: bool = False) -> dict[str, Path]:
    """Download what a folder lacks of a data set; the path of each file by its published name.

    Mirrors are tried in order. A file gets its name only once it is whole and its checksum is the
    published one.

    Raises `DownloadError` saying what failed at each mirror and which file to put where.
    """
    found = present(source, folder)
    for file in source.files:
        if file.name not in found:
            found[file.name] = _fetch_file(file, source.mirrors, folder, progress)
    return found


def _fetch_file(
    file: PublishedFile, mirrors: tuple[str, ...], folder: Path, progress: bool
) -> Path:
    import pooch

    failures = []
    for mirror in mirrors:
        get = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16, timeout=TIMEOUT_S)
        try:
            with _quiet(pooch.get_logger()):
                path = pooch.retrieve(
                    mirror + file.name, f"md5:{file.md5}", file.name, folder, downloader=get
                )
            return Path(path)
        # OSError covers the network and the disk, ValueError is pooch's wrong checksum.
        except (OSError, ValueError) as error:
            failures.append(f"{urlsplit(mirror).netloc}: {_reason(error)}")
    raise DownloadError(
        f"cannot download {file.name} ({'; '.join(failures)}); put that file in {folder}, or name "
        "the folder that holds it with --data_dir"
    )


def _reason(error: Exception) -> str:
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, exceptions.Timeout):
        return f"no answer within {TIMEOUT_S} s"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "connection cut"
    if isinstance(error, exceptions.ConnectionError):
        return "no network or connection refused"
    if isinstance(error, ValueError) and "hash" in str(error):
        return "wrong checksum"
    return one_line(error)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
