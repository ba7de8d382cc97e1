"""What every reader needs: errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dhm.errors import DataError, DHMError, one_line

MAX_DEFLATE_RATIO = 1032
"""No deflate stream (gzip, zip) expands by more than this."""

_NUMPY_ON_OBJECTS = ("Object arrays cannot be loaded", "Python objects in dtype")


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into a `DataError` that names the file."""
    try:
        yield
    except DHMError:
        raise
    except PermissionError as error:
        raise DataError(f"{path}: no permission to read this file") from error
    # Parsers of damaged files raise nearly anything: zlib.error, struct.error, KeyError ...
    except Exception as error:
        reason = one_line(error)
        if any(words in reason for words in _NUMPY_ON_OBJECTS):
            raise DataError(
                f"{path}: expected numbers or text, found Python objects, which are never loaded; "
                "store the array as numbers or text"
            ) from error
        if isinstance(error, MemoryError):
            raise DataError(
                f"{path}: does not fit in memory ({reason}); store it as .npy, which is not loaded "
                "whole, or make it smaller"
            ) from error
        raise DataError(
            f"{path}: expected {kind}, found a file that is damaged, cut short or of another "
            f"format ({reason}); replace it"
        ) from error
