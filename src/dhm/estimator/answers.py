"""What a fitted estimator is asked: predict, score, sample, fill in and judge what is novel."""

import warnings
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from dhm.config import MAX_SEED
from dhm.data import UNLABELED, Examples
from dhm.errors import ConfigError, DataError, UnavailableError
from dhm.estimator.inputs import Layout, check_columns, check_count, has_missing, weights
from dhm.estimator.labels import as_labels, encode
from dhm.estimator.memory import Memory
from dhm.inference.novelty.detector import ENOUGH, NoveltyDetector
from dhm.inference.predict import predict_features, predict_latent, predict_logits, reconstruct
from dhm.models.base import GenerativeModel, LatentModel, Model
from dhm.models.registry import MODELS, model_class

MIN_ROWS = 64
"""Fewer inputs than that are padded to so many: what a row gives then depends on it alone.

The kernels of matrix products differ for a handful of rows, and with them the last digits.
"""


class _Available:
    """A method that exists for models which can answer it, and is an `UnavailableError` for others.

    scikit-learn's `available_if` would hide our message behind one of its own.
    """

    def __init__(self, method: Callable[..., Any], missing: Callable[[Any], str | None]) -> None:
        self.method, self.missing = method, missing
        update_wrapper(cast(Any, self), method)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self.method
        if (reason := self.missing(instance)) is not None:
            raise UnavailableError(f"{self.method.__name__} {reason}")
        return self.method.__get__(instance, owner)


def _asks_density(method: Callable[..., Any]) -> Any:
    return _Available(method, lambda self: self._lacks("density"))


def _asks_classifier(method: Callable[..., Any]) -> Any:
    return _Available(method, lambda self: self._lacks("classifier"))


def _asks_samples(method: Callable[..., Any]) -> Any:
    return _Available(method, lambda self: self._lacks("samples"))


class Answers(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator):
    """What a fitted estimator answers; how it is fitted is for `HybridClassifier` to say."""

    classes_: NDArray[Any]
    layout_: Layout
    unlabeled_: int | None
    model_: Model
    seed_: int
    model: str
    unsup_weight: float | None
    n_samples: int
    random_state: Any
    _memory: Memory
    _held_out: Examples | None
    _calibrates: bool
    _held_out_gaps: bool = False
    _detector: NoveltyDetector | None

    @_asks_classifier
    def predict(self, X: Any) -> NDArray[Any]:
        """(N,) the most probable label of each example."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(1)]

    @_asks_classifier
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(N, K) p(y|x), with the columns of `classes_`.

        Where entries are missing, the average over what they may be given the others.
        """
        return np.exp(self.predict_log_proba(X))

    @_asks_classifier
    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """(N, K) log p(y|x), nats."""
        x = self._stored(X)
        log_p = _padded(x, lambda rows: _log_softmax(predict_logits(self.model_, rows)))
        incomplete = np.flatnonzero(has_missing(x))
        if len(incomplete):
            log_p[incomplete] = _padded(x[incomplete], self._log_proba_of_incomplete)
        return log_p

    def _log_proba_of_incomplete(self, x: Any) -> NDArray[np.float64]:
        from dhm.inference.missing import predict_proba

        found = predict_proba(self.model_, x, n_samples=self.n_samples, seed=self.seed_)
        proba = _numpy(found).clip(np.finfo(np.float32).tiny)
        return np.log(proba / proba.sum(1, keepdims=True))

    @_asks_classifier
    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy; examples without a label do not count, those of an unknown class are wrong."""
        predicted = self.predict_log_proba(X).argmax(1)
        y = as_labels(y)
        if len(y) != len(predicted):
            raise DataError(f"X has {len(predicted)} examples but y {len(y)} labels: give one each")
        index = encode(y, self.classes_, self.unlabeled_, strangers=True)
        weight = weights(sample_weight, len(y))
        weight = (index != UNLABELED) * (1.0 if weight is None else weight)
        if not weight.any():
            raise DataError("score: expected at least one label, of weight above 0, found none")
        return float(np.average(index == predicted, weights=weight))

    def transform(self, X: Any) -> NDArray[Any]:
        """(N, d) features of each example: z, or what the last layer of p(y|x) sees without one."""
        check_is_fitted(self)
        X = self._check(X, reset=False)
        features = _padded(self.layout_.stored(X), self._features)
        return features.astype(X.dtype if X.dtype.kind == "f" else np.float32, copy=False)

    def _features(self, x: Any) -> NDArray[np.float32]:
        latent = isinstance(self.model_, LatentModel)
        ask: Any = predict_latent if latent else predict_features
        found: NDArray[np.float32] = ask(self.model_, x).cpu().numpy()
        return found

    @_asks_density
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """(N,) estimates of log p(x), nats, by `n_samples` importance samples.

        A density of tables is in their own units, one of float images in those of pixels in [0, 1];
        bernoulli and discretised logistic are probabilities.
        """
        x = self._stored(X)
        from dhm.inference.likelihood import log_likelihood

        def ask(rows: Any) -> NDArray[np.float64]:
            return _numpy(log_likelihood(self.model_, rows, self.n_samples, seed=self.seed_).value)

        return _padded(x, ask)

    @_asks_density
    def log_joint(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """log p(x, y), nats: (N,) of the labels y, or (N, K) of every class without them."""
        x = self._stored(X)
        from dhm.inference.likelihood import log_joint

        def ask(rows: Any) -> NDArray[np.float64]:
            return _numpy(log_joint(self.model_, rows, self.n_samples, seed=self.seed_))

        joint = _padded(x, ask)
        if y is None:
            return joint
        index = encode(as_labels(y), self.classes_, self.unlabeled_)
        if len(index) != len(joint) or (index == UNLABELED).any():
            raise DataError(f"y: expected a label for each of {len(joint)} examples")
        return joint[np.arange(len(joint)), index]

    @_asks_samples
    def sample(self, n: int = 1, y: Any = None) -> NDArray[Any]:
        """n draws of x from p(x), from p(x|y) of one label y, or one from that of each of n labels.

        (n, ...) in the layout and units of X; the same draws again where `random_state` is a seed.

        Raises `ConfigError` where n is no whole number above 0, or more than memory should hold,
        `DataError` for unknown labels.
        """
        check_is_fitted(self)
        check_count("n", n)
        from dhm.inference import sampling

        sampling.check_draws(self.model_, n)
        seed = self._draw_seed()
        if y is None:
            return self.layout_.original(sampling.sample(self.model_, n, seed=seed).cpu().numpy())
        labels = np.asarray(y)
        index = encode(labels.reshape(-1), self.classes_, self.unlabeled_)
        index = np.full(n, index[0]) if labels.ndim == 0 else index
        if len(index) != n or (index == UNLABELED).any():
            raise DataError(f"y: expected one label, or one for each of n = {n}, found {y!r}")
        x = np.empty((n, *self.layout_.shape), np.float32)
        for label in np.unique(index):
            where = index == label
            draws = sampling.sample_given_label(
                self.model_, int(label), int(where.sum()), seed=seed
            )
            x[where] = draws.x.cpu().numpy()
        return self.layout_.original(x)

    @_asks_samples
    def reconstruct(self, X: Any) -> NDArray[Any]:
        """What the model makes of z of each example, in the layout and units of X."""
        x = self._stored(X)
        latent = self.model_
        assert isinstance(latent, LatentModel)
        return self.layout_.original(
            _padded(x, lambda rows: reconstruct(latent, rows).cpu().numpy())
        )

    @_asks_density
    def impute(self, X: Any, n_draws: int | None = None) -> NDArray[Any]:
        """X with its missing entries filled in; observed ones stay exactly as they are.

        With their means given what is observed, or (n_draws, N, ...) draws of all of them together.

        Raises `ConfigError` where n_draws is no whole number above 0.
        """
        check_is_fitted(self)
        if n_draws is not None:
            check_count("n_draws", n_draws)
        from dhm.inference.missing import impute

        X = self._check(X, reset=False)
        x = self.layout_.stored(X)
        dense = X.toarray() if hasattr(X, "toarray") else X

        def ask(rows: Any) -> NDArray[np.float32]:
            filled = impute(
                self.model_, rows, n_draws or 1, n_samples=self.n_samples, seed=self.seed_
            )
            # The examples come first, as it is these that are padded.
            found = filled.mean if n_draws is None else filled.draws.transpose(0, 1)
            return found.cpu().numpy()

        found = _padded(x, ask)
        found = self.layout_.original(found if n_draws is None else found.swapaxes(0, 1))
        observed = np.broadcast_to(dense, found.shape)
        filled = np.where(np.isnan(observed), found, observed)
        return filled if dense.dtype.kind == "f" else filled.astype(dense.dtype)

    def novelty_score(self, X: Any, kind: str | None = None) -> NDArray[np.float64]:
        """(N,) how unlike the training data each example is: higher is more novel.

        `kind` is one of the scores of `dhm.inference.novelty`; by default they are combined. What
        they need of the training data is learnt when first asked, from at most 5,000 examples that
        the fits kept. `save` keeps it if it was asked before.
        """
        x = self._stored(X)
        detector = self._novelty_detector()
        return _padded(x, lambda rows: _numpy(detector.score(rows, kind, seed=self.seed_)))

    def novelty_p_value(self, X: Any, kind: str | None = None) -> NDArray[np.float64]:
        """(N,) how probable it is that training data are as novel as each example or more.

        Of new examples like the training data a share of alpha at most has a p-value of alpha or
        less, where the fit held out 20 examples or more, in `validation_data` or by
        `validation_fraction`. Otherwise examples that the model was trained on are the measure, and
        more are flagged: a `UserWarning` says so. So does one where X misses entries and what was
        held out does not: that measures only what misses the same.
        """
        x = self._stored(X)
        detector = self._novelty_detector()
        if not self._held_out_gaps and (n := int(has_missing(x).sum())):
            warnings.warn(
                f"{n} of {x.shape[0]} examples have missing entries: their p-values are right only "
                "if the examples that were held out miss the same, and too small if these are "
                "whole: fit with validation_data that has such gaps",
                stacklevel=2,
            )
        if not self._calibrates:
            warnings.warn(
                "novelty is measured by examples that the model was trained on, so p-values of new "
                f"ones are too small: hold out {ENOUGH} or more by validation_data or "
                "validation_fraction",
                stacklevel=2,
            )
        return _padded(x, lambda rows: _numpy(detector.p_value(rows, kind, seed=self.seed_)))

    def _novelty_detector(self) -> NoveltyDetector:
        if self._detector is None:
            if self._memory.examples is None:
                raise ConfigError(
                    "novelty is judged by training data, which a saved estimator has not: ask "
                    "for novelty_score once before saving it"
                )
            seen, held = self._memory.examples, self._held_out if self._calibrates else None
            self._detector = NoveltyDetector.fit(
                self.model_, seen.x, seen.y, None if held is None else held.x, seed=self.seed_
            )
        return self._detector

    # Inputs and outputs

    def _draw_seed(self) -> int:
        if isinstance(self.random_state, np.random.Generator):
            return int(self.random_state.integers(MAX_SEED))
        return int(check_random_state(self.random_state).randint(MAX_SEED))

    def _check(self, X: Any, *, reset: bool) -> Any:
        check_columns(X)
        try:
            x = validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr",
                ensure_all_finite="allow-nan",
                allow_nd=True,
            )
        except ValueError as error:  # as of infinity
            raise DataError(str(error)) from error
        if x.dtype.kind not in "biuf":  # of categories that are digits, for one
            raise DataError(f"X: expected numbers, found {x.dtype}; convert it by astype(float)")
        return x

    def _stored(self, X: Any) -> Any:
        check_is_fitted(self)
        return self.layout_.stored(self._check(X, reset=False))

    def _lacks(self, what: str) -> str | None:
        """Why a question cannot be answered, or None; before `fit`, by the model asked for."""
        if what == "classifier":
            if not hasattr(self, "model_") or self.model_.has_classifier:
                return None
            name = self.model_.spec.model
            return f"needs p(y|x), which this {name} has not: fit with sup_weight above 0"
        name, has = self.model, True
        if hasattr(self, "model_"):
            model = self.model_
            name = model.spec.model
            has = model.has_density if what == "density" else model.has_samples
        else:
            if isinstance(name, str) and name in MODELS:
                kind = GenerativeModel if what == "density" else LatentModel
                has = issubclass(model_class(name), kind)
            has = has and not (isinstance(self.unsup_weight, int | float) and not self.unsup_weight)
        if has:
            return None
        part = "a density p(x)" if what == "density" else "a generative part"
        return (
            f"needs {part}, which this {name} has not: fit with model='auto', 'supervised-hdgm' or "
            f"'semisup-hdgm', and unsup_weight above 0"
        )


def _padded(x: Any, ask: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
    n = x.shape[0]
    return ask(x if n >= MIN_ROWS else x[np.resize(np.arange(n), MIN_ROWS)])[:n]


# On the CPU: not every device has double precision.
def _log_softmax(logits: torch.Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = logits.cpu().double().log_softmax(1).numpy()
    return found


def _numpy(values: torch.Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values.cpu().double().numpy()
    return found
