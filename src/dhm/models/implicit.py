"""The implicit family: a critic that classifies, a generator and an encoder.

The critic's K logits l(x, z) say which class a pair (x, z) is of and whether it is data at all:

    p(y|x, z) = softmax(l)     D(x, z) = Z / (Z + 1)     Z = sum_k exp l_k

Minimised in turn, with L the labelled inputs, U the unlabelled ones, E the encoder, G the generator
and z uniform on [0, 1]^n_latent:

    critic      sup_weight E_L [-log p(y|x, E(x))]
                + unsup_weight 1/2 { E_U [-log D(x, E(x))] + E_z [-log(1 - D(G(z), z))] }
    generator   feature matching   mean_j | E_U f_j(x, E(x)) - E_z f_j(G(z), z) |
    (and E)     or adversarial     1/2 { E_U [-log(1 - D(x, E(x)))] + E_z [-log D(G(z), z)] }

f is the critic's last hidden layer. With log Z = logsumexp l, -log D = softplus(-log Z) and
-log(1 - D) = softplus(log Z). The adversarial loss is the critic's with the labels "data" and
"generated" exchanged, for both kinds of pairs, so that it does not vanish where the critic wins.

sup_weight = 0 leaves a critic that only discriminates. unsup_weight = 0 is exactly the classifier:
nothing tells the generator or the encoder what to become, they have no turn, and z = E(x) is then
the fixed features of an untrained network, as it would be in the authors' code.

References:
    Kuleshov & Ermon, Deep hybrid models, UAI 2017; Dumoulin et al., Adversarially learned
    inference, ICLR 2017; Salimans et al., Improved techniques for training GANs, 2016.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import cached

from dhm.models.base import Batch, LatentModel, Loss, ModelSpec
from dhm.models.discriminative import cross_entropy_loss
from dhm.nn.implicit import Judgement
from dhm.nn.networks import IMPLICIT
from dhm.nn.weight_norm import initializing

_OPTIONS: dict[str, Any] = {
    "sup_weight": 1.0,
    "unsup_weight": 1.0,
    "generator_loss": "feature-matching",
    "n_latent": 100,
    "n_lbl_batch": 100,
    "n_batch": 100,
    "lr": 3e-4,
    "b1": 0.5,
    "clip_norm": 0.0,
    "clip_value": 0.0,
    "schedule": "linear",
    "ema": 0.9999,
}


class SemisupALI(LatentModel):
    """The implicit hybrid with unlabelled examples (the original's implicit-semisup-dhm).

    Batch normalisation, in the encoder and the generator only, takes its statistics from all that
    a pass sees: the labelled and the unlabelled inputs of a batch together in the critic's turn
    (the original's were of each alone), the unlabelled ones in the generator's. The critic judges
    the encoder's z beside those drawn from the prior, and labelled inputs are as good a sample of x
    as the others; few labelled ones alone would give poor statistics.
    """

    options: ClassVar[dict[str, dict[str, Any]]] = {
        # A generator must keep up with its critic, and pixels that are black or white are far from
        # where it starts. 0.003 is what Improved-GAN trains its dense networks with.
        "small": {**_OPTIONS, "n_latent": 32, "lr": 3e-3},
        "paper": _OPTIONS,
        "mlp": {**_OPTIONS, "lr": 3e-3},
    }
    uses_unlabeled = True
    learns_from_incomplete = False

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        options = spec.options
        self.sup_weight: float = options["sup_weight"]
        self.unsup_weight: float = options["unsup_weight"]
        self.n_latent: int = options["n_latent"]
        self.generator_loss = GENERATOR_LOSSES[options["generator_loss"]]
        parts = IMPLICIT[spec.network].implicit(spec.shape, self.n_classes, self.n_latent)
        self.critic, self.generator, self.encoder = parts.critic, parts.generator, parts.encoder

    def players(self) -> dict[str, list[nn.Parameter]]:
        players = {"critic": list(self.critic.parameters())}
        if self.unsup_weight:
            players["generator"] = [*self.generator.parameters(), *self.encoder.parameters()]
        return players

    @torch.no_grad()
    def initialize(self, batch: Batch) -> None:
        """Weight normalisation from data: the critic's from pairs (x, E(x)), as in training."""
        self.train()
        with initializing(self):
            x, z = self._inferred(batch.main)
            self.generator(self.sample_prior(len(x)))
            self.critic(x, z)

    def forward(self, batch: Batch, player: str) -> Loss:
        return self._critic_loss(batch) if player == "critic" else self._generator_loss(batch)

    def _critic_loss(self, batch: Batch) -> Loss:
        # What has no weight is not computed: the other term is then trained exactly alone.
        shown = [batch.x] if self.sup_weight else []
        shown += [batch.main] if self.unsup_weight else []
        with torch.no_grad():
            x, z = self._inferred(torch.cat(shown))
            if self.unsup_weight:
                prior = self.sample_prior(len(shown[-1]))
                x, z = torch.cat([x, self.generator(prior)]), torch.cat([z, prior])
        # One pass for all pairs: none of the critic's layers lets one pair see another.
        logits = self.critic(x, z).logits.float()
        total = logits.new_zeros(())
        terms: dict[str, Tensor] = {}
        if self.sup_weight:
            supervised = cross_entropy_loss(logits[: len(batch.x)], batch.y)
            total = total + self.sup_weight * supervised.total
            terms |= supervised.terms
        if self.unsup_weight:
            n = len(shown[-1])
            data, generated = discrimination(*logits[-2 * n :].split(n))
            total = total + self.unsup_weight * 0.5 * (data + generated)
            terms |= {"nll_data": data.detach(), "nll_generated": generated.detach()}
        return Loss(total, terms)

    def _generator_loss(self, batch: Batch) -> Loss:
        x, z = self._inferred(batch.main)
        prior = self.sample_prior(len(x))
        generated = self.generator(prior)
        with _frozen(self.critic), cached():  # two passes, but each weight is normalised once
            # Apart, since x leads to nothing that is trained: its features then keep no graph, and
            # the way back through the critic is that of the generated inputs only.
            from_x = torch.cat([self.critic.x(x), self.critic.x(generated)])
            features, logits = self.critic.join(from_x, torch.cat([z, prior]))
        return self.generator_loss(features.float(), logits.float())

    def _inferred(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The pairs (x, E(x)) of a training batch as stored."""
        u = self.standardize(x)
        return u, self.encoder(u)

    def logits(self, x: Tensor) -> Tensor:
        return self._judge(x).logits

    def features(self, x: Tensor) -> Tensor:
        return self._judge(x).features

    def _judge(self, x: Tensor) -> Judgement:
        u = self.fill(self.standardize(x))
        # Consistency terms are the critic's: its turn leaves the encoder as it is, though the
        # gradient to x, which VAT follows, goes through both.
        with _frozen(self.encoder):
            z = self.encoder(u)
        return self.critic(u, z)

    def logits_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        from_x = self.critic.x(self.fill(self.standardize(x)))
        pairs = from_x.expand(len(z), *from_x.shape).flatten(0, 1)
        return self.critic.join(pairs, z.flatten(0, 1)).logits.unflatten(0, z.shape[:2])

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.fill(self.standardize(x)))

    def decode(self, z: Tensor) -> Tensor:
        return self.generator(z)

    def inside(self, z: Tensor) -> Tensor:
        return z.clamp(0, 1)

    def sample_prior(self, n: int) -> Tensor:
        return torch.rand(n, self.n_latent, device=self.standardize.scale.device)

    @property
    def has_classifier(self) -> bool:
        return bool(self.sup_weight)

    @property
    def has_samples(self) -> bool:
        return bool(self.unsup_weight)

    def data_domain(self) -> str:
        return "unit" if len(self.spec.shape) == 3 else "real"


def discrimination(data: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Mean -log D of pairs of data and mean -log(1 - D) of generated ones, nats, from their logits.

    Example:
        >>> from math import log
        >>> data, generated = discrimination(torch.full((1, 3), log(1.0)), torch.full((1, 2), 0.0))
        >>> print(f"{data:.4f} {generated:.4f}")  # -log 3/4, -log 1/3
        0.2877 1.0986
    """
    log_z = data.logsumexp(1), generated.logsumexp(1)
    return F.softplus(-log_z[0]).mean(), F.softplus(log_z[1]).mean()


def feature_matching(features: Tensor, logits: Tensor) -> Loss:
    """Mean over units of |difference of their means|, the first half of rows against the second.

    References:
        Salimans et al., Improved techniques for training GANs, 2016, section 3.1; the absolute
        value is that of Kuleshov & Ermon's code.
    """
    data, generated = features.chunk(2)
    loss = (data.mean(0) - generated.mean(0)).abs().mean()
    return Loss(loss, {"feature_matching": loss.detach()})


def adversarial(features: Tensor, logits: Tensor) -> Loss:
    """The critic's unlabelled loss with its labels exchanged: data, the first half, as generated.

    References:
        Dumoulin et al., Adversarially learned inference, 2017, algorithm 1.
    """
    data, generated = logits.chunk(2)
    loss = 0.5 * sum(discrimination(generated, data), start=logits.new_zeros(()))
    return Loss(loss, {"adversarial": loss.detach()})


GENERATOR_LOSSES = {"feature-matching": feature_matching, "adversarial": adversarial}


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """A pass within it reaches the module's inputs, but not its parameters, with gradients."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
