"""The figures of a model: the same in any batches, of any kind of array, in any processes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from dhm import evaluate, load_data
from dhm.data import Dataset, Examples
from dhm.errors import DataError
from dhm.evaluation.evaluate import _gather
from dhm.inference import predict
from dhm.inference.predict import predict_logits
from dhm.models.base import GenerativeModel
from dhm.models.build import build_model

OTHERS = {"warmup": 0.0, "prior": "gaussian"}
SIZES = {"n_hidden": 16, "n_latent": 4, "n_aux": 2}


def hybrid(data: Dataset) -> GenerativeModel:
    options = {"likelihood": "auto", "sup_weight": 1.0, "unsup_weight": 1.0, "n_samples": 1}
    torch.manual_seed(0)
    model = build_model("supervised-hdgm", "small", data, options | OTHERS | SIZES)
    assert isinstance(model, GenerativeModel)
    return model


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


def test_logits_do_not_depend_on_the_batch(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hybrid(digits)
    whole = predict_logits(model, digits.test.x)
    monkeypatch.setattr(predict, "BATCH", 50)
    torch.testing.assert_close(predict_logits(model, digits.test.x), whole)
    assert whole.shape == (449, 10) and not whole.requires_grad


def test_evaluating_leaves_the_mode_and_the_generator_alone(digits: Dataset) -> None:
    model = hybrid(digits).train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = evaluate(model, digits.test, 2, seed=1)
    assert torch.equal(torch.rand(3), expected) and model.training
    assert evaluate(model.eval(), digits.test, 2, seed=1) == one
    other = evaluate(model, digits.test, 2, seed=2)
    assert other["log_likelihood"] != one["log_likelihood"] and other["nll"] == one["nll"]


def test_unlabelled_examples_count_for_the_density_only(digits: Dataset) -> None:
    model, test = hybrid(digits), digits.test
    half = np.where(np.arange(len(test)) % 2, test.y, -1)
    found = evaluate(model, Examples(test.x, half), 1)
    odd = evaluate(model, test.take(np.arange(1, len(test), 2)))
    assert [found[k] for k in ("error", "nll", "ece")] == pytest.approx(list(odd.values()))
    assert found["log_likelihood"] == evaluate(model, test, 1)["log_likelihood"]


@pytest.mark.parametrize("kind", ["memory map", "csr"])
def test_every_kind_of_array_gives_the_same_figures(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((60, 5), np.float32) * 3
    examples = Examples(x, np.arange(60) % 2)
    model = hybrid(Dataset("vectors", examples, examples, ("a", "b")))
    stored: Any = sparse.csr_matrix(x)
    if kind == "memory map":
        np.save(tmp_path / "x.npy", x)
        stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert evaluate(model, Examples(stored, examples.y), 3) == evaluate(model, examples, 3)


def test_other_shapes_are_refused(digits: Dataset) -> None:
    with pytest.raises(DataError, match="shape"):
        predict_logits(hybrid(digits), np.zeros((2, 1, 9, 9), np.uint8))


@pytest.mark.parametrize(("n", "world"), [(7, 2), (8, 2), (7, 3), (1, 2), (2, 4)])
def test_the_rows_of_processes_come_back_in_order(n: int, world: int) -> None:
    class Engine:
        num_processes = world

        def pad_across_processes(self, rows: torch.Tensor) -> list[torch.Tensor]:
            padded = [torch.zeros(-(-n // world)) for _ in range(world)]
            for rank, target in enumerate(padded):
                share = values[rank % n :: world]
                target[: len(share)] = share
            return padded

        def gather(self, padded: list[torch.Tensor]) -> torch.Tensor:
            return torch.cat(padded)

    values = torch.arange(n, dtype=torch.float32) + 1
    engine: Any = Engine()
    assert torch.equal(_gather(values, n, engine), values)
