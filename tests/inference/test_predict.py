"""What is computed of many inputs, batch by batch."""

import numpy as np
import torch

from dhm.inference.predict import MOST_INPUTS, predict_inputs
from dhm.models.base import ModelSpec
from dhm.models.discriminative import Softmax


def softmax(shape: tuple[int, ...]) -> Softmax:
    return Softmax(ModelSpec("softmax", "small", shape, "float32", ("a", "b"), {"hide": 0.0}))


def test_inputs_are_those_of_the_networks() -> None:
    model = softmax((3,))
    model.standardize.shift.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = np.array([[1.0, 4.0, np.nan], [2.0, 2.0, 5.0]], np.float32)
    assert predict_inputs(model, x).tolist() == [[0, 2, 0], [1, 0, 2]]


def test_products_of_large_inputs_are_kept_on_average() -> None:
    x = np.random.default_rng(0).random((40, 3, 40, 40)).astype(np.float32)
    u = x.reshape(40, -1)
    hashed = predict_inputs(softmax((3, 40, 40)), x).numpy()
    assert hashed.shape == (40, MOST_INPUTS)
    np.testing.assert_array_equal(hashed, predict_inputs(softmax((3, 40, 40)), x).numpy())
    # A product's relative error has a standard deviation of sqrt(2 / 1024), 4 %, at most.
    ratio = (hashed @ hashed.T) / (u @ u.T)
    assert abs(ratio.mean() - 1) < 0.2 and ratio.std() < 0.1
