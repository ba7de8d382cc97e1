"""The scikit-learn face: one object that is fitted to arrays and asked everything."""

from dhm.estimator.estimator import HybridClassifier

__all__ = ["HybridClassifier"]
