"""The explicit family: an auxiliary deep generative model and a classifier on its latent variable.

Maximised, per example, with L the labelled inputs and U the unlabelled ones:

    J = sup_weight E_L log p(y|x, z) + unsup_weight E_{L and U} G(x)
    G(x) = E_q(a,z|x) [log p(x|z) + log p(a|z) + log p(z) - log q(a|x) - log q(z|a,x)]

With a prior that knows of classes, p(z) = sum_y p(y) p(z|y), the generative part is one of x and y:
labelled inputs add unsup_weight E_L E_q log p(y|z), which makes their G, as it stands here, a bound
of log p(x, y). It is a mean over L, so few labels weigh as much in J as many do, where a sum over
all examples would let them vanish (as the classifier's term of Kingma et al., 2014). (With K > 1
samples the sum would be no bound, as log p(y|z) is not importance-weighted: the options refuse
that.)

sup_weight = 0 is exactly the generative model, unsup_weight = 0 exactly the classifier. With
`detach_z` the gradient that is followed is not all of J's: that of log p(y|x, z) ends at z.

References:
    Kuleshov & Ermon, Deep hybrid models, UAI 2017; Maaløe et al., Auxiliary deep generative models,
    ICML 2016; Burda et al., Importance weighted autoencoders, ICLR 2016.
"""

from math import log
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.nn import functional as F

from dhm.models.base import (
    Batch,
    GenerativeModel,
    ImportanceSamples,
    Loss,
    ModelSpec,
    semisupervised,
)
from dhm.models.discriminative import cross_entropy_loss
from dhm.nn.distributions import LIKELIHOODS, binary, observed_log_prob
from dhm.nn.hybrid import HybridParts
from dhm.nn.networks import NETWORKS
from dhm.nn.priors import PRIORS, ClassMixture


class Inference(NamedTuple):
    """What the encoder makes of B inputs, with K draws of a."""

    x: Tensor
    """Network inputs, (B, *shape); NaN where missing."""
    h: Tensor
    """What encoder and classifier share of x."""
    q_a: Independent
    """q(a|x), batch (B,)."""
    a: Tensor
    """Draws of q(a|x), (K, B, n_aux)."""
    q_z: Independent
    """q(z|a, x) at these draws, batch (K, B)."""


_SMALL: dict[str, Any] = {
    "likelihood": "auto",
    "sup_weight": 1.0,
    "unsup_weight": 0.001,
    "n_samples": 1,
    "warmup": 0.0,
    "prior": "gaussian",
    "n_latent": 32,
    "n_aux": 10,
    "n_hidden": 256,
    "detach_z": False,
    "hide": 0.0,
    "binarize": False,
}
_PAPER: dict[str, Any] = {**_SMALL, "unsup_weight": 1.0, "n_latent": 200, "n_hidden": 499}


class SupervisedHDGM(GenerativeModel):
    """The explicit hybrid, trained on labelled examples (the original's supervised-hdgm)."""

    options: ClassVar[dict[str, dict[str, Any]]] = {
        "small": _SMALL,
        "strided": _SMALL,
        "halving": _SMALL,
        "patches": _SMALL,
        "paper": _PAPER,
    }

    def __init__(self, spec: ModelSpec, parts: HybridParts | None = None) -> None:
        super().__init__(spec)
        options = spec.options
        self.likelihood = LIKELIHOODS[options["likelihood"]]
        if options.get("binarize"):
            self.likelihood = binary(self.likelihood, spec.shape)
        self.sup_weight: float = options["sup_weight"]
        self.unsup_weight: float = options["unsup_weight"]
        self.n_samples: int = options["n_samples"]
        self.detach_z: bool = options.get("detach_z", False)
        self.n_latent: int = options["n_latent"]
        if parts is None:
            sizes = {name: options[name] for name in ("n_latent", "n_aux", "n_hidden")}
            build = NETWORKS[spec.network].hybrid
            parts = build(spec.shape, self.n_classes, self.likelihood, **sizes)
        self.trunk, self.encoder = parts.trunk, parts.encoder
        self.decoder, self.classifier = parts.decoder, parts.classifier
        self.prior = PRIORS[options["prior"]](self.n_latent, self.n_classes)

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"hybrid": list(self.parameters())}

    def forward(self, batch: Batch, player: str) -> Loss:
        # A term of weight zero is not computed: the other one is then trained exactly alone.
        everything = labeled = None
        if self.unsup_weight:
            # Unlabelled batches are drawn from all training inputs: G(x) is a mean over those.
            everything = labeled = self.infer(batch.main)
        if labeled is None or (batch.x_unlabeled is not None and (self.sup_weight or self.joint)):
            labeled = self.infer(batch.x)
        total = labeled.x.new_zeros(())
        terms: dict[str, Tensor] = {}
        if self.sup_weight:
            # As in the original, p(y|x, z) is taken at the mean of q(z|a, x).
            logits = self.classifier(labeled.h, self.seen(labeled.q_z.mean.mean(0)))
            supervised = cross_entropy_loss(logits, batch.y)
            total = total + self.sup_weight * supervised.total
            terms |= supervised.terms
        if everything is not None:
            log_px, log_ratio = self.log_weights(everything)
            warmup = self.spec.options["warmup"]
            beta = min(1.0, batch.epoch / warmup) if warmup else 1.0
            total = total - self.unsup_weight * importance_bound(log_px + beta * log_ratio).mean()
            with torch.no_grad():
                terms["bound"] = importance_bound(log_px + log_ratio).mean()
                terms["log_px_given_z"] = log_px.mean()
                terms["kl"] = -log_ratio.mean()
            if self.joint:
                # Whole from the start: beta holds back what may make the encoder give up z.
                log_py = self.log_class(labeled, batch.y)
                total = total - self.unsup_weight * log_py
                terms["log_py_given_z"] = log_py.detach()
        return Loss(total, terms)

    def infer(
        self, x: Tensor, n_samples: int | None = None, noise: Tensor | None = None
    ) -> Inference:
        """q(a, z|x) of inputs as stored, with K draws of a; by default as many as in training.

        The draws are made from `noise`, normal numbers (K, B, n_aux), where it is given.
        """
        x = self.standardize(x)
        h = self.trunk(self.fill(x))
        q = self.encoder(h)
        if noise is None:
            a = q.a.rsample(torch.Size([n_samples or self.n_samples]))
        else:
            a = q.a.mean + q.a.stddev * noise
        return Inference(x, h, q.a, a, q.z(a))

    def log_weights(self, inferred: Inference, z: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """log p(x|z) and log p(a, z)/q(a, z|x) at draws of q, each (K, B) nats.

        Their sum is the logarithm of the importance weight p(x, a, z) / q(a, z|x), with p(x|z) that
        of the observed entries. The draws of z, (K, B, n_latent), may be given.
        """
        x, _, q_a, a, q_z = inferred
        z = q_z.rsample() if z is None else z
        p = self.decoder(z)
        log_px = observed_log_prob(p.x, x) + self.log_jacobian(x)
        log_ratio = p.a.log_prob(a) + self.prior().log_prob(z) - q_a.log_prob(a) - q_z.log_prob(z)
        return log_px, log_ratio

    def log_class(self, labeled: Inference, y: Tensor) -> Tensor:
        """E_q log p(y|z), nats, 0-d: what turns the ELBO of log p(x) into one of log p(x, y)."""
        assert isinstance(self.prior, ClassMixture)
        logits = self.prior.class_logits(labeled.q_z.rsample())
        return -F.cross_entropy(logits.flatten(0, 1), y.repeat(len(logits)))

    def log_jacobian(self, x: Tensor) -> Tensor | float:
        """What standardising adds to a density of a table's observed features in their own units.

        (B, D) network inputs -> (B,) nats.
        """
        if self.likelihood.is_density and len(self.spec.shape) == 1:
            log_scale = self.standardize.scale.log()
            return (x.isnan() * log_scale).sum(1) - log_scale.sum()
        return 0.0

    def logits(self, x: Tensor) -> Tensor:
        return self.classifier.logits(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        h, q_z = self._at_mean(x)
        return self.classifier.features(h, self.seen(q_z.mean))

    def seen(self, z: Tensor) -> Tensor:
        """z as p(y|x, z) sees it: with `detach_z` no gradient goes through it into the encoder.

        Else labels also train q(z|x). Few of them are learnt by heart there, past what regularises
        the classifier (dropout on h), unless the bound weighs enough to hold z.
        """
        return z.detach() if self.detach_z else z

    def log_likelihood(self, x: Tensor, n_samples: int) -> Tensor:
        log_px, log_ratio = self.log_weights(self.infer(x, n_samples))
        return importance_bound(log_px + log_ratio)

    @property
    def n_noise(self) -> int:
        return self.spec.options["n_aux"] + self.n_latent

    def importance_samples(self, x: Tensor, noise: Tensor) -> ImportanceSamples:
        for_a, for_z = noise.split([self.n_noise - self.n_latent, self.n_latent], -1)
        inferred = self.infer(x, noise=for_a)
        z = inferred.q_z.mean + inferred.q_z.stddev * for_z
        log_px, log_ratio = self.log_weights(inferred, z)
        log_weight = log_px + log_ratio
        # An input far beyond what a float squares makes infinities, and no numbers of their sums.
        counts = log_weight.isfinite()
        return ImportanceSamples(
            torch.where(counts, log_weight, -torch.inf), torch.where(counts[..., None], z, 0.0)
        )

    def log_px_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        x = self.standardize(x)
        return observed_log_prob(self.p_x(z), x) + self.log_jacobian(x)

    def logits_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        from_x = self.classifier.of_x(self.trunk(self.fill(self.standardize(x))))
        pairs = from_x.expand(len(z), *from_x.shape).flatten(0, 1)
        features = self.classifier.join(pairs, z.flatten(0, 1))
        return self.classifier.logits(features).unflatten(0, z.shape[:2])

    def encode(self, x: Tensor) -> Tensor:
        return self._at_mean(x)[1].mean

    def posterior(self, x: Tensor) -> Independent:
        return self._at_mean(x)[1]

    def _at_mean(self, x: Tensor) -> tuple[Tensor, Independent]:
        """h, and q(z|a, x) at the mean of q(a|x), of inputs as stored."""
        h = self.trunk(self.fill(self.standardize(x)))
        q = self.encoder(h)
        return h, q.z(q.a.mean)

    def p_z(self) -> Distribution:
        return self.prior()

    def sample_prior(self, n: int) -> Tensor:
        return self.prior().sample(torch.Size([n]))

    def propose(self, label: int, n: int) -> tuple[Tensor, Tensor]:
        return self.prior.propose(label, n)

    def p_x(self, z: Tensor) -> Independent:
        return self.decoder(z).x

    @property
    def has_classifier(self) -> bool:
        return bool(self.sup_weight)

    @property
    def joint(self) -> bool:
        """Whether the generative part is one of x and y."""
        return bool(self.unsup_weight) and isinstance(self.prior, ClassMixture)

    @property
    def has_density(self) -> bool:
        return bool(self.unsup_weight)

    def data_domain(self) -> str:
        return self.likelihood.domain


class SemisupHDGM(SupervisedHDGM):
    """The explicit hybrid with unlabelled examples in G(x)."""

    options: ClassVar[dict[str, dict[str, Any]]] = semisupervised(
        # At the weight that these networks have, few labels are learnt by heart through z; and of
        # little data p(x|z) soon leaves z alone, unless labels give it a meaning.
        {
            name: {**own, "detach_z": True, "prior": "classes"}
            for name, own in SupervisedHDGM.options.items()
        }
        | {"paper": _PAPER}
    )
    uses_unlabeled = True


def importance_bound(log_w: Tensor) -> Tensor:
    """log of the mean of K importance weights, from their logarithms (K, B): (B,) nats.

    The evidence lower bound for K = 1, and nearer log p(x) the larger K is.

    References:
        Burda et al., Importance weighted autoencoders, 2016, equation 8.

    Example:
        >>> import torch
        >>> importance_bound(torch.tensor([[0.5], [0.5]]))
        tensor([0.5000])
    """
    return torch.logsumexp(log_w, 0) - log(len(log_w))
