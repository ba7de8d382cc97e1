"""The one interface of every score of novelty."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.models.base import Model


class Requirement(NamedTuple):
    """What a model must have for a score to mean anything."""

    what: str
    met: Callable[[Model], bool]


CLASSIFIER = Requirement("a trained p(y|x)", lambda model: model.has_classifier)
LATENT = Requirement("a trained latent variable z", lambda model: model.has_samples)
DENSITY = Requirement("a trained density p(x)", lambda model: model.has_density)


@dataclass(frozen=True, eq=False)
class Score(ABC):
    """A number for each input, the higher the less the input is like the training data.

    The fields of a subclass are tensors, all that was learnt from the training data: they are what
    is kept in a file.
    """

    requires: ClassVar[Requirement]
    combined: ClassVar[bool] = True
    """Whether the combination takes it in."""
    two_sided: ClassVar[bool] = False
    """Whether the combination counts values below those of the training data as novel, too."""

    @classmethod
    def fit(cls, train: Answers) -> Self:
        """Learn what is to be learnt from training inputs; by default there is nothing."""
        return cls()

    @abstractmethod
    def __call__(self, asked: Answers) -> Tensor:
        """(N,) float32 on the model's device."""
