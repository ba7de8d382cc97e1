"""scikit-learn's own checks of an estimator, none expected to fail."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from dhm import HybridClassifier

ESTIMATORS = [
    HybridClassifier(epochs=10, n_samples=10),
    # Without a density: the questions that need one must not exist.
    HybridClassifier("supervised-mlp", epochs=10, lr=0.01),
]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator: HybridClassifier, check: Callable[[Any], None]) -> None:
    check(estimator)
