"""Writing a file so that nobody ever sees half of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dhm.errors import DHMError, RunError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to, renamed to `path` when the block succeeds.

    The folder is made if absent. When the block fails, the temporary file is removed and what was
    at `path` before is still there. Of a link the file that it names is replaced.

    Raises:
        RunError: the folder or the file cannot be written, or the path is that of a folder or a
            device, which a rename would put an end to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with replacing(Path(folder, "note.txt")) as temporary:
        ...         _ = temporary.write_text("done")
        ...     print([file.name for file in Path(folder).iterdir()])
        ['note.txt']
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise RunError(f"cannot write {path}: it is there and is no file; name another")
    path = Path(os.path.realpath(path))
    # The process id keeps two processes that write the same file apart.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except DHMError:  # some are an OSError too, and say themselves what went wrong
        raise
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # Not there once renamed, nor when the folder could not be made or the name is too long.
        with suppress(OSError):
            temporary.unlink()
