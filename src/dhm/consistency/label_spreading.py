"""Label spreading: labels reach the unlabelled examples along a graph of neighbours in features."""

import warnings
from math import log
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dhm.consistency.base import ConsistencyMethod, Task, Views
from dhm.inference.predict import predict_features, predict_inputs
from dhm.models.base import Model

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

N_NEIGHBORS = 10
ALPHA = 0.99
N_ITERATIONS = 50
N_COMPONENTS = 32
"""Principal directions of the features that neighbours are looked for in."""


class LabelSpreading(ConsistencyMethod):
    """C = E c(q) (-sum_y q(y) log p(y | strong copy)), nats, c(q) = 1 - H(q) / log K.

    Before training q is spread from the labels over the graph of nearest neighbours among all
    training inputs as they are, and every few epochs anew among the features that p(y|x) has of
    them; with a class prior it agrees with that on average. What one wrong neighbourhood says is
    outvoted by the others: confident pseudo-labels, which a network gives itself, have no such
    check. The first graph knows of no label but those given, so it errs elsewhere than a network
    that has seen those alone: of sevens with a crossbar, where none of the labelled ones has one.

    References:
        Zhou et al., Learning with local and global consistency, NeurIPS 2003, for the spreading;
        Iscen et al., Label propagation for deep semi-supervised learning, CVPR 2019, for doing it
        in the features of the network that is trained, and for c.
    """

    of_examples: ClassVar[bool] = True
    q: Tensor

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.y, self.every = task.examples.y, task.spread_every
        self.x = task.examples.x
        self.prior = None if task.class_prior is None else task.class_prior.numpy()
        # A row of zeros says nothing of an example: its c is 0.
        self.register_buffer("q", torch.zeros(len(self.y), task.model.n_classes))

    def start_epoch(self, model: Model, epoch: int) -> None:
        if epoch % self.every and self.q.any():  # none where training goes on with new examples
            return
        features = (predict_features if epoch else predict_inputs)(model, self.x).cpu().numpy()
        self.q.copy_(torch.from_numpy(spread(features, self.y, model.n_classes, self.prior)))

    def forward(self, views: Views) -> Tensor:
        assert views.batch.positions is not None, "the feed says which examples a batch holds"
        q = self.q[views.batch.positions]
        known = q.sum(1)
        certainty = known + torch.special.xlogy(q, q).sum(1) / log(q.shape[1])
        return (F.cross_entropy(views.strong_logits, q, reduction="none") * certainty).mean()


def spread(
    features: NDArray[np.float32],
    y: NDArray[np.int64],
    n_classes: int,
    prior: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """q of every example, (N, K), from the labels of a few; the others' are -1.

    A row of zeros is an example that no label reaches.

    Example:
        >>> angle = np.r_[np.linspace(0, 0.5, 30), np.linspace(1, 1.5, 30)]
        >>> y = np.full(60, -1)
        >>> y[[0, 59]] = 0, 1
        >>> q = spread(np.c_[np.cos(angle), np.sin(angle)].astype(np.float32), y, 2)
        >>> bool((q.argmax(1) == (angle > 0.75)).all())
        True
    """
    q = np.zeros((len(y), n_classes), np.float32)
    if len(y) < 2:  # one example has no neighbours
        q[y >= 0, y[y >= 0]] = 1
        return q
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.semi_supervised import LabelSpreading as Spreading

    spreading = Spreading(kernel=neighbor_graph, alpha=ALPHA, max_iter=N_ITERATIONS)
    with warnings.catch_warnings():
        # What comes after these iterations no longer changes which class is ahead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        spreading.fit(features, y)
    q[:, spreading.classes_] = spreading.label_distributions_
    if prior is not None:
        reached = q.any(1)
        q[reached] = balanced(q[reached], prior)
    return q


def neighbor_graph(features: NDArray[np.float32], _: object = None) -> "csr_matrix":
    """Symmetric weights of a graph of nearest neighbours by angle: cosine cubed."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import normalize

    features = normalize(features)
    if features.shape[1] > N_COMPONENTS:
        with np.errstate(all="ignore"):  # shares of no variance, which nobody asks for
            features = TruncatedSVD(N_COMPONENTS, random_state=0).fit_transform(features)
        features = normalize(features)
    # Brute force: in so many dimensions no tree is faster.
    search = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(features) - 1), algorithm="brute")
    graph = search.fit(features.astype(np.float32)).kneighbors_graph(mode="distance")
    # Of unit vectors at distance d the cosine is 1 - d^2 / 2.
    graph.data = np.clip(1 - graph.data**2 / 2, 0, 1) ** 3
    return graph + graph.T


def balanced(q: NDArray[np.float32], prior: NDArray[np.float32]) -> NDArray[np.float32]:
    """q with columns scaled so that its mean is the prior, rows still summing to 1.

    Rows that are certain stay as they are: where too many are, its mean only comes nearer.

    References:
        Sinkhorn & Knopp, 1967: columns and rows are normalised in turn.

    Example:
        >>> q = np.array([[0.9, 0.1], [0.6, 0.4]], np.float32)
        >>> balanced(q, np.array([0.5, 0.5], np.float32)).mean(0).round(3)
        array([0.5, 0.5], dtype=float32)
    """
    for _ in range(20):
        q = q * (prior / np.maximum(q.mean(0), 1e-12))
        q = q / q.sum(1, keepdims=True)
    return q
