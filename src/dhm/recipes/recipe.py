"""What a recipe is."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dhm.config import TrainConfig, changed, parse_config

MEASUREMENTS = "benchmarks/results/"
"""Where the files with our own measurements lie in the repository."""


@dataclass(frozen=True)
class Recipe:
    """The options of an experiment, with what to expect of it.

    Example:
        >>> recipe = Recipe("quick", "softmax on digits", {"model": "softmax", "epochs": 5})
        >>> recipe.command
        'dhm train --model softmax --epochs 5'
        >>> recipe.expectation
        'not measured yet'
    """

    name: str
    about: str
    """What is trained on what, in one line."""
    options: Mapping[str, Any]
    """The options that differ from the defaults of `dhm train`."""
    time: str | None = None
    """How long it takes on 2 cores, as text; None where nobody has measured it."""
    expected: str | None = None
    """The result, as text; None where there is none."""
    source: str | None = None
    """Where that result is from: our file in `benchmarks/results`, or a publication."""

    @property
    def measured(self) -> bool:
        """Whether the expected result is our own measurement."""
        return self.source is not None and self.source.startswith(MEASUREMENTS)

    @property
    def expectation(self) -> str:
        """The expected result and whose it is, in one line."""
        if self.expected is None:
            return "not measured yet"
        whose = "measured" if self.measured else "published, not measured here"
        return f"{self.expected} ({whose}: {self.source})"

    @property
    def command(self) -> str:
        """The `dhm train` command that is the same without the recipe."""
        words = [f"--{name} {shlex.quote(str(value))}" for name, value in self.options.items()]
        return " ".join(["dhm train", *words])

    def config(self, **changes: Any) -> TrainConfig:
        """Its checked options, with `changes` in the place of its own.

        Raises `ConfigError` for options that do not exist, are out of range or contradict.

        Example:
            >>> Recipe("quick", "digits", {"epochs": 5}).config(seed=1).epochs
            5
        """
        return parse_config(changed(self.options, changes))
