"""Label spreading: its loss by hand, what is spread, when, and from which kinds of examples."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.semi_supervised import LabelSpreading as Reference

from dhm.consistency.label_spreading import LabelSpreading, balanced, neighbor_graph, spread
from dhm.data.dataset import Examples
from dhm.data.mapped import MappedRows
from dhm.inference.predict import predict_features
from dhm.models.base import Batch, Model

Make = Callable[..., Any]
Floats = NDArray[np.float32]


def arcs(n: int = 60) -> tuple[Floats, NDArray[np.int64]]:
    """Two arcs of a circle, all but whose far ends are unlabelled."""
    angle = np.r_[np.linspace(0, 0.5, n // 2), np.linspace(1, 1.5, n // 2)]
    y = np.full(n, -1)
    y[[0, -1]] = 0, 1
    return np.c_[np.cos(angle), np.sin(angle)].astype(np.float32), y


def arc(n: int = 60) -> tuple[Floats, NDArray[np.int64]]:
    """One arc, with a label at each end."""
    angle = np.linspace(0, 1.5, n)
    y = np.full(n, -1)
    y[[0, -1]] = 0, 1
    return np.c_[np.cos(angle), np.sin(angle)].astype(np.float32), y


def batch(*positions: int) -> Batch:
    return Batch(torch.zeros(0), torch.zeros(0), positions=torch.tensor(positions))


@pytest.fixture
def two(linear: Make) -> Any:
    """A model of two inputs and two classes."""
    return linear(torch.eye(2), torch.zeros(2))


def test_the_loss_by_hand(two: Model, make_task: Make, given: Make) -> None:
    method = LabelSpreading(make_task(two))
    method.q[3], method.q[5], method.q[7] = map(torch.tensor, ([0.9, 0.1], [1.0, 0.0], [0.5, 0.5]))
    strong = torch.tensor([[0.3, 0.7], [0.8, 0.2], [0.6, 0.4], [0.1, 0.9]]).log()
    c = method(given(batch=batch(3, 5, 7, 9), strong_logits=strong.requires_grad_()))
    # c(q) = 1 - H(q) / log 2: 0.531 of the first, 1 of the certain one; 0 of the even one and of
    # the last, which no label has reached.
    certainty = 1 + (0.9 * log(0.9) + 0.1 * log(0.1)) / log(2)
    first = -certainty * (0.9 * log(0.3) + 0.1 * log(0.7))
    assert c.item() == pytest.approx((first - log(0.8)) / 4)
    c.backward()
    assert strong.grad is not None
    reached = strong.grad.abs().sum(1) > 1e-7
    assert reached.tolist() == [True, True, False, False]


def test_before_training_the_neighbours_are_those_of_the_inputs(
    two: Model, make_task: Make
) -> None:
    """Whatever the network makes of them: here features would tell nothing apart."""
    x, y = arcs()
    method = LabelSpreading(make_task(two, examples=Examples(x, y)))
    two.features = lambda x: torch.ones(len(x), 2)  # type: ignore[method-assign]
    method.start_epoch(two, 0)
    np.testing.assert_array_equal(method.q.numpy(), spread(x, y, 2))
    method.start_epoch(two, 1)
    assert not np.array_equal(method.q.numpy(), spread(x, y, 2))


def test_it_spreads_every_so_many_epochs(two: Model, make_task: Make) -> None:
    method = LabelSpreading(make_task(two, spread_every=3))
    spread_at = []
    for epoch in range(8):
        method.q.fill_(2)
        method.start_epoch(two, epoch)
        if (method.q != 2).any():
            spread_at.append(epoch)
    assert spread_at == [0, 3, 6]
    method.q.zero_()
    method.start_epoch(two, 7)
    assert method.q.any(), "training goes on, with examples that were not there before"


def test_the_neighbours_are_those_of_the_model_it_is_given(
    make_model: Make, make_task: Make
) -> None:
    model, other = make_model("supervised-cnn"), make_model("supervised-cnn")
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(torch.randn_like(p))
    task = make_task(model)
    y = np.where(np.arange(24) < 6, task.examples.y, -1)
    task = replace(task, examples=Examples(task.examples.x, y))
    method = LabelSpreading(task)
    method.start_epoch(other.train(), 1)
    assert other.training, "left as it was"
    features = predict_features(other, task.examples.x).numpy()
    np.testing.assert_array_equal(method.q.numpy(), spread(features, y, 4))
    method.start_epoch(model, 2)
    assert not np.array_equal(method.q.numpy(), spread(features, y, 4))


def test_labels_follow_the_arcs() -> None:
    x, y = arcs()
    q = spread(x, y, 2)
    assert (q.argmax(1) == (np.arange(60) >= 30)).all()
    np.testing.assert_allclose(q.sum(1), 1, rtol=1e-5)


def test_it_is_the_iteration_of_the_paper_and_points_where_that_ends() -> None:
    """q <- alpha S q + (1 - alpha) Y, S = D^-1/2 W D^-1/2; in the end (I - alpha S)^-1 Y."""
    x, y = arc()
    w = neighbor_graph(x).toarray()
    scale = 1 / np.sqrt(w.sum(1))
    s = scale[:, None] * w * scale
    labels = np.eye(2)[y] * (y >= 0)[:, None]
    expected = labels
    for _ in range(50):
        expected = 0.99 * s @ expected + 0.01 * labels
    q = spread(x, y, 2)
    np.testing.assert_allclose(q, expected / expected.sum(1, keepdims=True), atol=1e-5)
    assert 0.2 < q[30, 0] < 0.8, "graded, not two islands"
    end = np.linalg.solve(np.eye(60) - 0.99 * s, labels)
    assert (q.argmax(1) == end.argmax(1)).all()


def test_it_agrees_with_scikit_learns_own_graph() -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(3), 40, 0)
    x = (centres + rng.normal(0, 0.1, (120, 3))).astype(np.float32)
    truth = np.repeat(np.arange(3), 40)
    y = np.where(np.arange(120) % 40 == 0, truth, -1)
    theirs = Reference(kernel="knn", n_neighbors=10, alpha=0.99, max_iter=500, tol=1e-6).fit(x, y)
    ours = spread(x, y, 3)
    assert (ours.argmax(1) == truth).all() and (theirs.transduction_ == truth).all()


def test_the_graph_by_hand() -> None:
    """Cosine cubed, counted from both sides; a vector's length does not matter."""
    x = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 3.0]], np.float32)
    w = neighbor_graph(x).toarray()
    third = 2 * 0.5**1.5
    expected = [[0, 0, third], [0, 0, third], [third, third, 0]]
    np.testing.assert_allclose(w, expected, atol=1e-6)


def test_many_features_are_projected_onto_their_principal_directions() -> None:
    """Of features that lie in a plane the neighbours stay the same."""
    x, y = arcs()
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(100, 2)))[0].T
    q = spread((x @ rotation).astype(np.float32), y, 2)
    np.testing.assert_allclose(q, spread(x, y, 2), atol=1e-3)


def test_cosines_are_those_of_the_projections() -> None:
    """Whatever length is left of a vector; the directions are those of numpy's decomposition."""
    scales = np.r_[np.full(32, 2.0), np.ones(4)]
    x = np.random.default_rng(0).normal(size=(200, 36)) * scales
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    projected = x @ np.linalg.svd(x, full_matrices=False)[2][:32].T
    length = np.linalg.norm(projected, axis=1, keepdims=True)
    assert length.min() < 0.97, "or there would be nothing to tell"
    cosine = (projected / length) @ (projected / length).T
    graph = neighbor_graph(x.astype(np.float32)).toarray()
    neighbours = graph > 0
    found = graph[neighbours] / cosine[neighbours] ** 3
    sides = found.round()  # 2 where each of the two is a neighbour of the other
    assert set(sides) == {1, 2}
    np.testing.assert_allclose(found, sides, rtol=1e-3)


def test_what_no_label_reaches_stays_without(two: Model, make_task: Make, given: Make) -> None:
    """Two groups in orthogonal directions, and labels in one of them only."""
    x = np.repeat(np.eye(2, dtype=np.float32), 12, 0)
    y = np.r_[0, 1, np.full(22, -1)]
    method = LabelSpreading(make_task(two, examples=Examples(x, y), class_prior=torch.ones(2) / 2))
    method.start_epoch(two, 1)
    assert not method.q[12:].any() and method.q.isfinite().all()
    torch.testing.assert_close(method.q[:12].sum(1), torch.ones(12))
    strong = torch.randn(3, 2, requires_grad=True)
    assert method(given(batch=batch(12, 20, 23), strong_logits=strong)) == 0


def test_fewer_examples_than_neighbours() -> None:
    q = spread(np.eye(3, dtype=np.float32) + 0.1, np.array([0, 1, -1]), 2)
    np.testing.assert_allclose(q[2], 0.5, atol=1e-6)
    assert q[:2].argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.8, 0.2]])
def test_with_a_prior_it_agrees_with_that_on_average(prior: list[float]) -> None:
    q = np.random.default_rng(0).dirichlet([2.0, 1.0], 200).astype(np.float32)
    scaled = balanced(q, np.array(prior, np.float32))
    np.testing.assert_allclose(scaled.mean(0), prior, atol=1e-3)
    np.testing.assert_allclose(scaled.sum(1), 1, rtol=1e-5)
    # Rows and columns are scaled alone: odds ratios between examples stay.
    odds = [p[:, 0] / p[:, 1] for p in (q.astype(np.float64), scaled.astype(np.float64))]
    ratio = odds[0] / odds[1]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    x, y = arc()
    q = spread(x, y, 2, np.array(prior, np.float32))
    np.testing.assert_allclose(q.mean(0), prior, atol=1e-2)
    y[:20] = 0  # the labelled count, too
    q = spread(x, y, 2, np.array(prior, np.float32))
    np.testing.assert_allclose(q.mean(0), prior, atol=1e-2)
    assert abs(q[y < 0].mean(0)[0] - prior[0]) > 0.05


def test_a_class_without_labels_gets_none() -> None:
    x, y = arcs()
    for prior in ([0.5, 0.5, 0.0], [1 / 3] * 3):
        q = spread(x, y, 3, np.array(prior, np.float32))
        assert np.isfinite(q).all() and not q[:, 2].any()
        assert (q.argmax(1) == (np.arange(60) >= 30)).all()


@pytest.mark.parametrize("kind", ["mapped", "rows of mapped", "sparse"])
def test_kinds_of_examples(kind: str, two: Model, make_task: Make, tmp_path: Path) -> None:
    x, y = arcs()
    plain = LabelSpreading(make_task(two, examples=Examples(x, y)))
    plain.start_epoch(two, 1)
    stored: Any = sparse.csr_matrix(x)
    if kind != "sparse":
        np.save(tmp_path / "x.npy", x)
        stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    if kind == "rows of mapped":
        stored = MappedRows(stored, np.arange(60))
    method = LabelSpreading(make_task(two, examples=Examples(stored, y)))
    method.start_epoch(two, 1)
    assert method.q.any() and torch.equal(method.q, plain.q)


def test_the_state_holds_what_was_spread(two: Model, make_task: Make) -> None:
    x, y = arcs()
    one, other = (LabelSpreading(make_task(two, examples=Examples(x, y))) for _ in range(2))
    one.start_epoch(two, 1)
    other.load_state_dict(one.state_dict())
    assert one.q.any() and torch.equal(other.q, one.q)


def test_one_example_keeps_its_label() -> None:
    for y, q in ((1, [0, 1]), (-1, [0, 0])):
        assert spread(np.ones((1, 3), np.float32), np.array([y]), 2).tolist() == [q]
