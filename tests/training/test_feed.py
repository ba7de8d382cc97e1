"""Batches: every example once, the same in any grouping, divided without loss among processes."""

from dataclasses import replace
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from dhm.data.dataset import Examples
from dhm.training.data import TrainingData
from dhm.training.feed import Feed, cycled_batches, epoch_batches

N = 103
CPU = torch.device("cpu")


def examples(n: int = N, first: int = 0) -> Examples:
    """Example i is the vector [i, i] with label i."""
    number = np.arange(first, first + n)
    return Examples(np.stack([number, number], 1).astype(np.float32), number)


def make(unlabeled: bool = False, **options: Any) -> Feed:
    parts = (examples(7, first=1000), examples()) if unlabeled else (examples(), None)
    given: dict[str, Any] = {
        "data": TrainingData(*parts, None),
        "n_batch": 10,
        "n_lbl_batch": 4 if unlabeled else None,
        "n_superbatch": None,
        "seed": 0,
        "device": CPU,
    }
    return Feed(**given | options)


def batches(feed: Feed, epoch: int = 0, first_step: int = 0) -> list[tuple[list[int], ...]]:
    """The numbers of the examples in each batch: labelled, and unlabelled if there are any."""
    found = []
    for batch, _ in feed.epoch(epoch, first_step):
        assert torch.equal(batch.x[:, 0], batch.y.float())
        # Example i of either stream is the i-th of the main one.
        main = batch.x if batch.x_unlabeled is None else batch.x_unlabeled
        assert torch.equal(main[:, 0].long(), batch.positions)
        parts = [batch.x] if batch.x_unlabeled is None else [batch.x, batch.x_unlabeled]
        found.append(tuple(x[:, 0].int().tolist() for x in parts))
    return found


@pytest.mark.parametrize("n_batch", [1, 10, 50, 52, 102, 103])
def test_every_example_comes_exactly_once_an_epoch(n_batch: int) -> None:
    feed = make(n_batch=n_batch)
    parts = [numbers for (numbers,) in batches(feed)]
    assert sorted(chain(*parts)) == list(range(N))
    assert len(parts) == ceil(N / n_batch)
    sizes = set(map(len, parts))
    assert max(sizes) <= n_batch and max(sizes) - min(sizes) <= 1


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    assert batches(make(), 3) == batches(make(), 3)
    np.random.seed(1)
    torch.manual_seed(1)
    assert batches(make(), 3) == batches(make(), 3)
    orders = [batches(make(seed=s), e) for s, e in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    assert batches(make()) != [(list(range(10)),)]


@pytest.mark.parametrize("unlabeled", [False, True])
@pytest.mark.parametrize("n_superbatch", [10, 11, 25, 1000])
def test_a_superbatch_changes_nothing_but_what_is_resident(
    unlabeled: bool, n_superbatch: int
) -> None:
    taken: list[int] = []

    class Counting(Examples):
        def take(self, index: Any) -> Examples:
            taken.append(len(index))
            return super().take(index)

    whole = examples()
    counting = Counting(whole.x, whole.y)
    options: dict[str, Any] = {"unlabeled" if unlabeled else "labeled": counting}
    feed = make(unlabeled, n_superbatch=n_superbatch)
    feed = replace(feed, data=replace(feed.data, **options))
    assert batches(feed) == batches(make(unlabeled))
    assert sum(taken) == N and max(taken) <= n_superbatch
    # As large as asked for, to a batch.
    assert max(taken) > min(n_superbatch, N) - 10


@pytest.mark.parametrize("unlabeled", [False, True])
@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_of_processes_partition_each_batch(unlabeled: bool, world: int) -> None:
    shares = [
        batches(make(unlabeled, process=rank, n_processes=world, n_superbatch=30))
        for rank in range(world)
    ]
    for whole, *parts in zip(batches(make(unlabeled)), *shares, strict=True):
        for stream, numbers in enumerate(whole):
            assert sorted(chain(*(part[stream] for part in parts))) == sorted(numbers)


def test_factors_make_the_mean_of_shares_that_of_the_batch() -> None:
    world = 3
    whole = [batch.x.mean().item() for batch, _ in make().epoch(0)]
    means = np.zeros(len(whole))
    for rank in range(world):
        feed = make(process=rank, n_processes=world)
        means += [factor * batch.x.mean().item() / world for batch, factor in feed.epoch(0)]
    np.testing.assert_allclose(means, whole, rtol=1e-5)


@pytest.mark.parametrize("unlabeled", [False, True])
@pytest.mark.parametrize("first", [1, 5, 11])
def test_an_epoch_from_a_step_on_is_its_tail(unlabeled: bool, first: int) -> None:
    feed = make(unlabeled, n_superbatch=25)
    assert batches(feed, 2, first) == batches(feed, 2)[first:]
    times = [batch.epoch for batch, _ in feed.epoch(2, first)]
    assert times == pytest.approx([2 + step / 11 for step in range(first, 11)])


def test_the_labelled_stream_cycles_pass_after_pass() -> None:
    found = [labeled for labeled, _ in batches(make(unlabeled=True))]
    assert {len(numbers) for numbers in found} == {4}
    stream = list(chain(*found))
    passes = [stream[i : i + 7] for i in range(0, len(stream) - 6, 7)]
    assert all(sorted(p) == list(range(1000, 1007)) for p in passes)
    assert passes[0] != passes[1]


def test_a_labelled_batch_may_be_larger_than_the_labelled_set() -> None:
    (batch,) = cycled_batches(3, 7, 1, (0,))
    assert sorted(np.bincount(batch)) == [2, 2, 3]


@pytest.mark.parametrize("kind", ["memory map", "csr", "bytes"])
def test_inputs_of_every_kind(kind: str, tmp_path: Path) -> None:
    x = np.arange(N * 2).reshape(N, 2) % 251
    stored: Any
    if kind == "memory map":
        np.save(tmp_path / "x.npy", x.astype(np.float32))
        stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    elif kind == "csr":
        stored = sparse.csr_matrix(x.astype(np.float32))
    else:
        stored = x.astype(np.uint8)
    feed = make(data=TrainingData(Examples(stored, np.arange(N)), None, None), n_superbatch=30)
    for batch, _ in feed.epoch(0):
        np.testing.assert_array_equal(batch.x.numpy(), x[batch.y.numpy()])
        assert batch.x.dtype == (torch.uint8 if kind == "bytes" else torch.float32)


def test_a_data_set_may_be_one_batch() -> None:
    assert [len(b) for b in epoch_batches(5, 5, (0,))] == [5]
