"""Every error `dhm` raises on purpose.

Each is a `DHMError`, which the command line turns into one line and exit code 2, and also the
standard class a caller would catch anyway. A message says what was expected, what was found and
what to do.
"""


def one_line(error: BaseException, limit: int = 150) -> str:
    """An exception's message on a single line, or its type where it has none.

    >>> one_line(ValueError("first\\n  second")), one_line(ValueError())
    ('first second', 'ValueError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[:limit] + " ..."


class DHMError(Exception):
    """Base of every error that `dhm` raises on purpose."""


class ConfigError(DHMError, ValueError):
    """An option has a value, or is combined with another, in a way that cannot be run."""


class DataError(DHMError, ValueError):
    """Data has the wrong type, shape, range or labels, or a file is damaged."""


class DataNotFoundError(DHMError, FileNotFoundError):
    """A data set or file is in none of the places searched."""


class DownloadError(DHMError, OSError):
    """A download failed: no network, a server error, a cut connection or a wrong checksum."""


class RunError(DHMError, OSError):
    """A run folder is absent, incomplete, already there or cannot be written."""


class DivergedError(DHMError, ArithmeticError):
    """In training, a loss became infinite or not a number."""


class UnsupportedError(DHMError, TypeError):
    """A model is asked for what it has no part for; the message names what it can do."""


class ExportError(DHMError, RuntimeError):
    """A model written in another format does not compute what it computes here."""


class UnavailableError(UnsupportedError, AttributeError):
    """The same of an estimator, of which `hasattr` says so too."""


class MissingDependencyError(DHMError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class FewEffectiveSamplesWarning(UserWarning):
    """Weighted draws are so uneven that a result is of fewer of them than it should be."""
