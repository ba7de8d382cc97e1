"""Estimators that are fitted in a moment, and data for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from dhm import HybridClassifier

SIZES = {"n_hidden": 16, "n_aux": 2}


@pytest.fixture
def quick() -> Callable[..., HybridClassifier]:
    """Makes a small estimator; its keyword arguments are those of the estimator."""

    def make(**arguments: Any) -> HybridClassifier:
        defaults = {"epochs": 2, "n_latent": 3, "options": SIZES, "random_state": 0}
        return HybridClassifier(**(defaults | arguments))

    return make


@pytest.fixture(scope="session")
def blobs() -> tuple[Any, Any]:
    """Three clouds of points, 120 in all, with labels 0 to 2."""
    return make_blobs(120, 4, centers=3, cluster_std=0.5, random_state=0)


@pytest.fixture(scope="session")
def images() -> tuple[Any, Any]:
    """100 grey images (100, 8, 8) of floats in [0, 1]: class 0 is bright on the left, 1 right."""
    rng = np.random.default_rng(0)
    y = np.arange(100) % 2
    x = rng.uniform(0, 0.2, (100, 8, 8))
    x[y == 0, :, :4] += 0.7
    x[y == 1, :, 4:] += 0.7
    return x, y
