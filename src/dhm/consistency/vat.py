"""Virtual adversarial training: predictions should not change in the direction they change most."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dhm.consistency.base import ConsistencyMethod, Task, Views
from dhm.nn.layers import Dropout, GaussianNoise

XI = 0.01
"""Size of the first, random perturbation, as that of epsilon."""
SCALE = 2.0**16
"""What the divergence is multiplied by for its gradient: float16 has no number below 6e-8, and the
gradients of predictions that are certain are."""
NOISE = (Dropout, GaussianNoise, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""Layers that make something else of the same input each time."""


class VAT(ConsistencyMethod):
    """C = E KL(p(y|x) || p(y|x + r)) for the r of a given size that makes it largest.

    r is found by one power iteration from a random direction. Its size is `vat_epsilon` times the
    square root of the number of inputs: epsilon is the root of the mean square of its entries.
    Predictions are without dropout and noise, so that only r makes them differ.

    References:
        Miyato et al., Virtual adversarial training, TPAMI 2018, equations 5 and 11, algorithm 1.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.epsilon = task.vat_epsilon

    def forward(self, views: Views) -> Tensor:
        u = views.weak
        with without_noise(views.model):
            with torch.no_grad():
                target = views.logits(u).log_softmax(1)
            r = self.epsilon * adversarial_direction(views.logits, u, target)
            return divergence(target, views.logits(u + r))


def adversarial_direction(logits: Callable[[Tensor], Tensor], u: Tensor, target: Tensor) -> Tensor:
    """The direction in which KL(target || softmax(logits)) rises fastest from u, to first order.

    Arguments:
        logits: (B, ...) -> (B, K), differentiable.
        u: (B, ...), where the logits are those of the target.
        target: log-probabilities (B, K), without the graph.

    Returns one direction for each of the B, of mean square 1; 0 where nothing changes.
    """
    d = (XI * unit_scale(torch.randn_like(u))).requires_grad_()
    with torch.enable_grad():
        change = SCALE * divergence(target, logits(u + d))
        (gradient,) = torch.autograd.grad(change, d)
    return unit_scale(gradient.nan_to_num(0.0, 0.0, 0.0))  # too large a one has no direction left


def unit_scale(d: Tensor) -> Tensor:
    """Each of B tensors divided by the root of the mean of its squares; zero stays zero."""
    # First by the largest entry: squares of small gradients would be rounded to zero.
    flat = d.flatten(1)
    flat = flat / flat.abs().amax(1, keepdim=True).clamp(min=torch.finfo(d.dtype).tiny)
    scale = flat.square().mean(1, keepdim=True).sqrt()
    return (flat / scale.clamp(min=torch.finfo(d.dtype).tiny)).view_as(d)


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """Mean over B of KL(p || q) in nats, p by its log-probabilities and q by its logits (B, K)."""
    return F.kl_div(logits.log_softmax(1), target, reduction="batchmean", log_target=True)


@contextmanager
def without_noise(model: nn.Module) -> Iterator[None]:
    """Dropout and noise off within the context; nothing else is switched to evaluation."""
    layers = [m for m in model.modules() if isinstance(m, NOISE) and m.training]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()
