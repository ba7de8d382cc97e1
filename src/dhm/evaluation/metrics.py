"""How good predictions are: error rate, log loss and calibration of logits against labels.

Every measure takes logits (N, K) and labels (N,), ignores the examples labelled -1, and returns a
0-d tensor on the device of the logits, so that a caller decides when to wait for the device.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dhm.errors import DataError


def error_rate(logits: Tensor, labels: Tensor) -> Tensor:
    """The fraction, in [0, 1], of labelled examples whose largest logit is not their label's.

    Arguments:
        logits: (N, K) floats.
        labels: (N,) integers in [0, K), or -1 for an example to ignore.

    Raises:
        DataError: no example has a label, or a shape, type or label is wrong.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> error_rate(logits, torch.tensor([0, 1, -1]))
        tensor(0.5000)
    """
    logits, labels = _labeled(logits, labels)
    return (logits.argmax(dim=1) != labels).to(logits.dtype).mean()


def nll(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of -log p(label | example), in nats; NaN where a logit is.

    Arguments:
        logits: (N, K) floats.
        labels: (N,) integers in [0, K), or -1 for an example to ignore.

    Raises:
        DataError: no example has a label, or a shape, type or label is wrong.

    Example:
        >>> nll(torch.zeros(3, 2), torch.tensor([0, 1, -1]))  # log 2: a guess between two
        tensor(0.6931)
    """
    logits, labels = _labeled(logits, labels)
    return F.cross_entropy(logits, labels)


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> Tensor:
    """How far confidence is from accuracy, in [0, 1]; NaN where a logit is.

    Labelled examples are put by the probability of the predicted class into bins (a, b] of equal
    width; the result is the mean over examples of their bin's |mean confidence - accuracy|.

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017.

    Arguments:
        logits: (N, K) floats.
        labels: (N,) integers in [0, K), or -1 for an example to ignore.
        bins: how many bins divide [0, 1].

    Raises:
        DataError: no example has a label, or a shape, type or label is wrong.

    Example:
        >>> logits = torch.tensor([[0.8, 0.2], [0.8, 0.2]]).log()
        >>> expected_calibration_error(logits, torch.tensor([0, 1]))  # 80 % sure, half right
        tensor(0.3000)
    """
    # A few lines of our own: importing torchmetrics takes longer than importing torch (2.3 s
    # against 1.9 s measured). Unlike it, confidence 1 shares the last bin with (14/15, 1), as in
    # the paper, instead of having a bin to itself. The tests compare the two elsewhere.
    logits, labels = _labeled(logits, labels)
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    gap = confidence - (predicted == labels).to(confidence.dtype)
    inner_edges = torch.linspace(0, 1, bins + 1, device=gap.device, dtype=gap.dtype)[1:-1]
    bin_of = torch.bucketize(confidence, inner_edges)
    return gap.new_zeros(bins).index_add(0, bin_of, gap).abs().sum() / len(gap)


def _labeled(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that have a label, with logits in at least single precision, once checked."""
    if logits.ndim != 2 or not logits.is_floating_point():
        raise DataError(
            f"expected floating-point logits of shape (N, K), found {logits.dtype} of shape "
            f"{tuple(logits.shape)}"
        )
    if labels.shape != logits.shape[:1] or labels.is_floating_point() or labels.is_complex():
        raise DataError(
            f"expected {len(logits)} integer labels, one for each row of logits, found "
            f"{labels.dtype} of shape {tuple(labels.shape)}"
        )
    keep = labels != -1
    logits, labels = logits[keep], labels[keep].long()
    if len(labels) == 0:
        raise DataError("no labelled example to measure on: give some a label other than -1")
    low, high = torch.stack(torch.aminmax(labels)).tolist()  # one wait for the device, not two
    if low < 0 or high >= logits.shape[1]:
        raise DataError(
            f"expected labels in [0, {logits.shape[1]}), or -1 for none, found {low} to {high}"
        )
    # Half precision is too coarse for the mean of many examples.
    wide = logits.dtype in (torch.float32, torch.float64)
    return logits if wide else logits.float(), labels
