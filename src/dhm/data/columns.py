"""Names of a table's columns, in checks and in messages."""

from collections.abc import Collection, Sequence

from dhm.errors import DataError


def check_columns(found: Collection[str], wanted: Sequence[str], what: str) -> None:
    """Refuse a table that lacks columns that a model was trained on, with `DataError`."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"{what}: the model takes columns by their names, found none called {listed(missing)}; "
            "name the columns as those of training were"
        )


def listed(names: Sequence[str], limit: int = 10) -> str:
    """Names in quotes for a message, of many the first few.

    >>> listed(["a", "b", "c"], limit=2)
    "'a', 'b' ... (3 in all)"
    """
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" ... ({len(names)} in all)" if len(names) > limit else "")
