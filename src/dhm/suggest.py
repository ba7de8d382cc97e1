"""The end of an error message that helps with a mistyped name."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The nearest known name, if one is near, and the list of them all.

    Example:
        >>> did_you_mean("minst", ["mnist", "digits"])
        "; did you mean 'mnist'? known: mnist, digits"
    """
    known = list(known)
    near = get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{hint} known: {', '.join(known)}"
