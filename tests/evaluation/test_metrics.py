"""Measures against hand-computed values, scikit-learn, torchmetrics and their properties."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, zero_one_loss
from torch import Tensor

from dhm.errors import DataError
from dhm.evaluation.metrics import error_rate, expected_calibration_error, nll

MEASURES = [error_rate, nll, expected_calibration_error]
Measure = Callable[[Tensor, Tensor], Tensor]


def example(seed: int, n: int = 200, k: int = 5, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return logits, torch.randint(k, (n,), generator=generator)


def test_values_by_hand() -> None:
    logits = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.25, 0.25]]).log()
    labels = torch.tensor([0, 2, 0])
    assert error_rate(logits, labels).item() == pytest.approx(1 / 3)
    assert nll(logits, labels).item() == pytest.approx(-math.log(0.7 * 0.3 * 0.5) / 3)
    # Three bins of one example each: |0.7 - 1|, |0.6 - 0|, |0.5 - 1|.
    assert expected_calibration_error(logits, labels).item() == pytest.approx((0.3 + 0.6 + 0.5) / 3)
    # In a single bin: |1.8 - 2| / 3.
    assert expected_calibration_error(logits, labels, bins=1).item() == pytest.approx(0.2 / 3)


def test_certain_predictions_share_the_last_bin() -> None:
    # One is certain and wrong, one 96 % sure and right: together 0.98 sure, half right.
    logits = torch.tensor([[100.0, 0.0], [math.log(0.96), math.log(0.04)]], dtype=torch.float64)
    ece = expected_calibration_error(logits, torch.tensor([1, 0]))
    assert ece.item() == pytest.approx(0.98 - 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_against_independent_implementations(seed: int) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, labels = example(seed)
    probability = logits.softmax(dim=1)
    assert error_rate(logits, labels).item() == pytest.approx(
        zero_one_loss(labels, probability.argmax(dim=1))
    )
    assert nll(logits, labels).item() == pytest.approx(
        log_loss(labels, probability, labels=range(5))
    )
    for bins in (15, 4):
        theirs = multiclass_calibration_error(probability, labels, num_classes=5, n_bins=bins)
        ours = expected_calibration_error(logits, labels, bins=bins)
        assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), shift=st.floats(-50, 50), hidden=st.integers(1, 50))
def test_properties(measure: Measure, seed: int, shift: float, hidden: int) -> None:
    logits, labels = example(seed, n=60)
    value = measure(logits, labels)
    assert value >= 0
    if measure is not nll:
        assert value <= 1
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    # The order of the examples and a constant added to all logits do not matter ...
    torch.testing.assert_close(measure(logits[order] + shift, labels[order]), value)
    # ... nor does what the model says of unlabelled examples.
    labels[order[:hidden]] = -1
    rest = order[hidden:]
    torch.testing.assert_close(measure(logits, labels), measure(logits[rest], labels[rest]))


@pytest.mark.parametrize("measure", MEASURES)
def test_result_is_a_scalar_tensor_of_at_least_single_precision(measure: Measure) -> None:
    logits, labels = example(0)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        value = measure(logits.to(dtype), labels)
        assert value.shape == ()
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(value.double(), measure(logits, labels), rtol=0, atol=0.02)
    torch.testing.assert_close(measure(logits, labels.int()), measure(logits, labels))


@pytest.mark.parametrize("measure", [nll, expected_calibration_error])
def test_nan_in_nan_out(measure: Measure) -> None:
    logits, labels = example(0)
    logits[3, 2] = math.nan
    assert measure(logits, labels).isnan()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), "no labelled example"),
        (torch.zeros(2, 3), torch.tensor([-1, -1]), "no labelled example"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), r"labels in \[0, 3\)"),
        (torch.zeros(2, 3), torch.tensor([0, -2]), "found -2 to 0"),
        (torch.zeros(2, 3), torch.tensor([0]), "2 integer labels"),
        (torch.zeros(2, 3), torch.tensor([0.0, 1.0]), "2 integer labels"),
        (torch.zeros(2), torch.tensor([0, 1]), r"shape \(N, K\)"),
        (torch.zeros(2, 3, dtype=torch.long), torch.tensor([0, 1]), "floating-point logits"),
    ],
)
def test_senseless_input_is_refused(
    measure: Measure, logits: Tensor, labels: Tensor, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        measure(logits, labels)
