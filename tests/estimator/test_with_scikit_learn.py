"""At work in scikit-learn's own tools, and beside data frames."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from dhm import HybridClassifier

Quick = Callable[..., HybridClassifier]
Data = tuple[Any, Any]


def test_cross_validation_and_search(quick: Quick, blobs: Data) -> None:
    x, y = blobs
    model = quick(epochs=20, lr=0.01)
    assert cross_val_score(make_pipeline(StandardScaler(), model), x, y, cv=2).min() > 0.9
    some = np.where(np.arange(120) % 3 == 0, y, -1)
    assert cross_val_score(quick(epochs=20, consistency=None), x, some, cv=2).min() > 0.9
    search = GridSearchCV(model, {"n_latent": [2, 3], "lr": [0.01]}, cv=2).fit(x, y)
    assert search.best_estimator_.transform(x).shape[1] == search.best_params_["n_latent"]


def test_calibration_and_self_training(quick: Quick, blobs: Data) -> None:
    x, y = blobs
    calibrated = CalibratedClassifierCV(quick(epochs=20, lr=0.01), cv=2).fit(x, y)
    assert calibrated.score(x, y) > 0.9
    some = np.where(np.arange(120) < 30, y, -1)
    trained = SelfTrainingClassifier(quick(epochs=20, lr=0.01), max_iter=2).fit(x, some)
    assert trained.score(x, y) > 0.9


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_data_frames(quick: Quick, blobs: Data, library: Any) -> None:
    x, y = blobs
    frame = library.DataFrame(
        {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "kind": np.where(x[:, 3] > 0, "up", "down")}
    )
    columns = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough")
    labels = library.Series("label", y) if library is pl else library.Series(y)
    pipeline = make_pipeline(columns, quick(epochs=20, lr=0.01)).fit(frame, labels)
    assert pipeline.score(frame, labels) > 0.9
    numbers = frame[["a", "b", "c"]]
    model = quick().set_output(transform=library.__name__).fit(numbers, labels)
    z = model.transform(numbers)
    assert isinstance(z, library.DataFrame)
    assert list(z.columns) == [f"hybridclassifier{k}" for k in range(3)]
    assert list(model.get_feature_names_out()) == list(z.columns)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
