"""What the latent variable leaves out of an input."""

from torch import Tensor

from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.score import LATENT, Score


class Reconstruction(Score):
    """Mean square of x minus its reconstruction from z, in units of network inputs.

    Needs no label and no density, so the implicit family has it, too. What was not in the training
    data has no z that leads to it.

    References:
        Japkowicz et al., A novelty detection approach to classification, IJCAI 1995.
    """

    requires = LATENT

    def __call__(self, asked: Answers) -> Tensor:
        return asked.reconstruction_error
