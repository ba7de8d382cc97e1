"""Discriminative networks alone, p(y|x): the controls every hybrid is compared with."""

from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dhm.models.base import Batch, Loss, Model, ModelSpec, semisupervised
from dhm.nn.networks import NETWORKS


class Discriminative(Model):
    """One player that minimises the cross-entropy of p(y|x)."""

    options: ClassVar[dict[str, dict[str, Any]]] = {
        network: {"hide": 0.0} for network in ("small", "strided", "halving", "paper")
    }

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.network = self.build(NETWORKS[spec.network])

    def build(self, networks: Any) -> nn.Sequential:
        """The network x -> logits, from the module of networks chosen; its last layer is linear."""
        raise NotImplementedError

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"classifier": list(self.parameters())}

    def forward(self, batch: Batch, player: str) -> Loss:
        return cross_entropy_loss(self.logits(batch.x), batch.y)

    def logits(self, x: Tensor) -> Tensor:
        return self.network(self.fill(self.standardize(x)))

    def features(self, x: Tensor) -> Tensor:
        return self.network[:-1](self.fill(self.standardize(x)))


class Softmax(Discriminative):
    """Multinomial logistic regression."""

    def build(self, networks: Any) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(self.spec.shape), self.n_classes))


class SupervisedMLP(Discriminative):
    """A multi-layer perceptron."""

    def build(self, networks: Any) -> nn.Sequential:
        return networks.mlp(self.spec.shape, self.n_classes)


class SupervisedCNN(Discriminative):
    """A convolutional network; dense layers where the input is a vector and the network small."""

    def build(self, networks: Any) -> nn.Sequential:
        return networks.cnn(self.spec.shape, self.n_classes)


class SemisupMLP(SupervisedMLP):
    """The same, with unlabelled examples for the consistency methods alone."""

    options: ClassVar[dict[str, dict[str, Any]]] = semisupervised(SupervisedMLP.options)
    uses_unlabeled = True


class SemisupCNN(SupervisedCNN):
    """The same, with unlabelled examples for the consistency methods alone."""

    options: ClassVar[dict[str, dict[str, Any]]] = semisupervised(SupervisedCNN.options)
    uses_unlabeled = True


def cross_entropy_loss(logits: Tensor, y: Tensor) -> Loss:
    """-E log p(y|x) in nats, with the share of examples whose most probable class is wrong."""
    nll = F.cross_entropy(logits.float(), y)
    with torch.no_grad():
        error = (logits.argmax(1) != y).float().mean()
    return Loss(nll, {"nll_y": nll.detach(), "error": error})
