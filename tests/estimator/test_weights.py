"""Examples with weights: how often they are drawn."""

from dataclasses import replace

import numpy as np
import torch

from dhm.data import Examples, hide_labels
from dhm.training.data import TrainingData
from dhm.training.feed import Feed, drawn, epoch_size


def weighted(weight: list[float]) -> Examples:
    n = len(weight)
    x = np.arange(n, dtype=np.float32)[:, None]
    return Examples(x, np.arange(n) % 2, np.array(weight))


def test_whole_weights_are_met_in_every_epoch() -> None:
    examples = weighted([2, 1, 5, 3])
    for epoch in range(20):
        assert np.bincount(drawn(examples, (0, epoch))).tolist() == [2, 1, 5, 3]


def test_fractions_are_met_on_average_and_nearly_in_each_epoch() -> None:
    weight = np.array([0.5, 1.7, 0.1, 1.7])
    examples = weighted(weight.tolist())
    counts = np.array([np.bincount(drawn(examples, (0, k)), minlength=4) for k in range(4000)])
    assert (np.abs(counts - weight) < 1).all()
    np.testing.assert_allclose(counts.mean(0), weight, atol=0.03)


def test_the_size_of_an_epoch_is_sensible_whatever_the_scale() -> None:
    assert epoch_size(weighted([1e-6] * 5)) == 5
    assert epoch_size(weighted([1e6] * 5)) == 50
    assert np.bincount(drawn(weighted([1e-6] * 5), (0,))).tolist() == [1] * 5


def test_both_streams_follow_the_weights() -> None:
    examples = weighted([3, 1, 2, 2])
    assert examples.take(np.array([2, 0])).weight is not None
    hidden = hide_labels(examples, 2)
    labeled = hidden.take(hidden.labeled.nonzero()[0])
    feed = Feed(TrainingData(labeled, hidden, None), 4, 6, None, 0, torch.device("cpu"))
    batches = [batch for batch, _ in feed.epoch(0)]
    seen = torch.cat([batch.x_unlabeled for batch in batches]).flatten().int()
    assert torch.bincount(seen).tolist() == [3, 1, 2, 2]
    shown = torch.bincount(torch.cat([batch.x for batch in batches]).flatten().int(), minlength=4)
    expected = np.zeros(4)
    rows = hidden.labeled.nonzero()[0]
    expected[rows] = labeled.weight / labeled.weight.sum() * shown.sum().item()
    assert (np.abs(shown.numpy() - expected) <= 2).all()


def test_weights_of_one_are_no_weights() -> None:
    examples = weighted([1.0] * 10)
    feed = Feed(TrainingData(examples, None, None), 4, None, None, 0, torch.device("cpu"))
    plain = replace(feed, data=TrainingData(replace(examples, weight=None), None, None))
    for (one, _), (other, _) in zip(feed.epoch(3), plain.epoch(3), strict=True):
        assert torch.equal(one.x, other.x)
