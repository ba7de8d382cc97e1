"""Virtual adversarial training on what the generator makes of z."""

import torch
from torch import Tensor

from dhm.consistency.base import ConsistencyMethod, Task, Views
from dhm.consistency.vat import adversarial_direction, divergence, without_noise
from dhm.errors import ConfigError
from dhm.models.base import LatentModel
from dhm.nn.batch_norm import statistics_kept


class LatentVAT(ConsistencyMethod):
    """C = E KL(p(y|g(z)) || p(y|g(z + r))), z = e(x), for the r of a given size that maximises it.

    What is compared stays on the inputs that the generator g can draw: the nearest z + r that p(z)
    can. Only the classifier is trained: z and both inputs are taken as they are. The size of r is
    as in `VAT`.

    References:
        Miyato et al., Virtual adversarial training, TPAMI 2018, for r; here in the latent space.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if not (isinstance(task.model, LatentModel) and task.model.has_samples):
            raise ConfigError(
                f"--latent_vat cannot be used with --model {task.model.spec.model}, which makes "
                f"no inputs from a latent variable: use --vat, or a hybrid with an --unsup_weight"
            )
        self.epsilon = task.vat_epsilon

    def forward(self, views: Views) -> Tensor:
        model = views.model
        assert isinstance(model, LatentModel)
        # Samples are made by a generator with statistics of z from the prior, not of these.
        with without_noise(model), statistics_kept(model):
            with torch.no_grad():
                z = model.encode(model.standardize.inverse(views.inputs))
                target = views.logits(model.decode(z)).log_softmax(1)
            d = adversarial_direction(lambda z: views.logits(model.decode(z)), z, target)
            with torch.no_grad():
                perturbed = model.decode(model.inside(z + self.epsilon * d))
            return divergence(target, views.logits(perturbed))
