"""`HybridClassifier`: how it is fitted and kept; what it then answers is in `answers`."""

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import send_to_device
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from dhm.config import MAX_SEED, TrainConfig, parse_config
from dhm.consistency.registry import METHODS
from dhm.data import UNLABELED, Dataset, Examples, split_validation
from dhm.errors import ConfigError, DataError, RunError
from dhm.estimator import storage
from dhm.estimator.answers import Answers
from dhm.estimator.defaults import INSTEAD, Facts, choose
from dhm.estimator.inputs import (
    Layout,
    check_count,
    digests,
    has_missing,
    learn_layout,
    stacked,
    weights,
)
from dhm.estimator.labels import as_labels, encode, find_classes, find_mark
from dhm.estimator.memory import Memory
from dhm.inference.novelty.detector import ENOUGH, NoveltyDetector
from dhm.models.base import Model, ModelSpec
from dhm.models.build import build_model
from dhm.models.registry import model_class
from dhm.nn.device import find_device
from dhm.nn.generators import lent
from dhm.training.data import TrainingData, training_data
from dhm.training.feed import drawn
from dhm.training.in_memory import Past, private_generators, train_in_memory
from dhm.training.recording import Row
from dhm.training.train import LABELED_BATCH

MANY_LABELS = 500
"""Labelled examples from which on a tenth of them is held out, if nothing else is asked for."""


class HybridClassifier(Answers):
    """A deep hybrid model as a scikit-learn classifier.

    One fit to labelled and unlabelled arrays, then p(y|x), log p(x), draws of x, features z,
    missing entries and novelty. What is trained is chosen by the data where it is left open, and
    `chosen_` says what was chosen and why. A fit depends on the examples, their weights and
    `random_state`, but not on the order of the examples; it leaves nothing on disk, and the global
    generators as they were.

    X is (N, D) vectors, also sparse, or images (N, H, W), (N, C, H, W) or (N, H, W, C), of floats
    or bytes; NaN is a missing entry. y is (N,) labels of any type; -1, None and NaN are examples
    without one (see `unlabeled`).

    References:
        Kuleshov & Ermon, Deep hybrid models: bridging discriminative and generative approaches,
        UAI 2017.

    Arguments:
        model: a name of `dhm train --model`, or "auto": semisup-hdgm where labels are missing, else
            supervised-hdgm.
        network: a name of `dhm train --network`, or "auto": by the data and how many labels.
        likelihood: p(x|z), "bernoulli", "gaussian", "discretized-logistic" or "auto".
        augment: random copies, as `dhm train --augment`; "auto": with consistency methods only.
        consistency: weights of consistency methods by name, None for none, or "auto": for few
            labels those of the recipes.
        epochs: passes over the examples; None is as many as the time suggests.
        n_batch: examples in a step; None is 128, or all where there are fewer.
        lr: learning rate; None is the model's.
        unsup_weight: weight of the generative term; None is the model's, 0 is the classifier alone.
        n_latent: dimensions of z; None is the model's.
        options: any other options of `dhm train`, by name.
        image_shape: (H, W), (C, H, W) or (H, W, C) of images that come as vectors.
        symmetric: whether mirror images are good examples.
        validation_fraction: share of the labelled examples that choose the best weights, where
            `fit` has no `validation_data`; 0 keeps the last weights. "auto" is 0.1 from 500 labels.
        patience: epochs without better weights after which training ends; None is never.
        n_samples: importance samples for log p(x) and for missing entries.
        unlabeled: the number that marks an example without label, "auto", -1 or None. "auto" is -1,
            unless the labels are -1 and 1 alone, which are then two classes.
        warm_start: whether `fit` goes on from the weights of the fit before.
        random_state: seed, generator or None, of all that is random.
        device: "auto", "cpu", "cuda", ...
        verbose: 1 says what was chosen and prints a line an epoch, to standard error.
        callbacks: functions called after each epoch with its figures; one that returns true ends
            training.

    Attributes:
        classes_: (K,) the labels, sorted.
        chosen_: by option, its value and the reason for it.
        model_: the trained `dhm.models.base.Model`.
        history_: a dict of figures for each epoch.
        n_iter_: epochs trained.
        n_features_in_, feature_names_in_: as in scikit-learn.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> digits = load_digits()
        >>> y = digits.target.copy()
        >>> y[300:] = -1  # without a label
        >>> model = HybridClassifier(epochs=2, random_state=0).fit(digits.images, y)
        >>> model.predict(digits.images[:5]).shape, model.transform(digits.images).shape
        ((5,), (1797, 32))
    """

    chosen_: dict[str, tuple[Any, str]]
    history_: list[Row]
    n_iter_: int
    _options: TrainConfig
    _past: Past
    _class_counts: list[float]

    def __init__(
        self,
        model: str = "auto",
        *,
        network: str = "auto",
        likelihood: str = "auto",
        augment: str = "auto",
        consistency: Any = "auto",
        epochs: int | None = None,
        n_batch: int | None = None,
        lr: float | None = None,
        unsup_weight: float | None = None,
        n_latent: int | None = None,
        options: Mapping[str, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        symmetric: bool = False,
        validation_fraction: Any = "auto",
        patience: int | None = None,
        n_samples: int = 100,
        unlabeled: Any = "auto",
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "auto",
        verbose: int = 0,
        callbacks: Sequence[Callable[[Row], Any]] | None = None,
    ) -> None:
        self.model = model
        self.network = network
        self.likelihood = likelihood
        self.augment = augment
        self.consistency = consistency
        self.epochs = epochs
        self.n_batch = n_batch
        self.lr = lr
        self.unsup_weight = unsup_weight
        self.n_latent = n_latent
        self.options = options
        self.image_shape = image_shape
        self.symmetric = symmetric
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.n_samples = n_samples
        self.unlabeled = unlabeled
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.verbose = verbose
        self.callbacks = callbacks

    # Fitting

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_unlabeled: Any = None,
        validation_data: tuple[Any, Any] | None = None,
    ) -> "HybridClassifier":
        """Train on examples of which some, or all, have a label.

        Ctrl-C ends training after the step under way and is raised; the model then has the best
        weights of the epochs finished until then, and can be asked, if there was one.

        Arguments:
            X: (N, ...) examples.
            y: (N,) labels.
            sample_weight: (N,) how many examples alike each stands for: it is seen so much more
                often, by every term of the objective. Only their ratios matter below 1 on average.
            X_unlabeled: (M, ...) more examples, without labels.
            validation_data: (X, y) that choose the best weights, instead of a part of the examples.

        Raises `DataError` (a `ValueError`) for arrays and `ConfigError` (one too) for options that
        cannot be used, `DivergedError` if the loss does not stay finite. An estimator that was
        fitted before is then as it was.
        """
        fresh = not (self.warm_start and hasattr(self, "model_"))
        with self._as_before_if_it_fails():
            if fresh:
                self._forget()
            else:
                self._end_fading()
            examples = self._examples(X, y, sample_weight, X_unlabeled, learn=fresh)
            validation = self._validation(validation_data)
            # Going on, the same examples are held out again: the model has seen the others.
            seed = self._draw_seed() if fresh else self.seed_
            if validation is None and (fraction := self._fraction(examples)):
                examples, validation = split_validation(examples, fraction, seed)
            if validation is None and self.patience is not None:
                warnings.warn(
                    "patience: no weights are better than others without validation examples; "
                    "give validation_fraction or validation_data, or leave patience out",
                    stacklevel=2,
                )
            config = self._choose(examples, validation, seed, None if fresh else self.model_.spec)
            n_left = int((~examples.labeled).sum())
            if n_left and not model_class(config.model).uses_unlabeled:
                warnings.warn(
                    f"{n_left} examples without a label are left out by model={config.model!r}; "
                    "the semisup models learn from them, too",
                    stacklevel=2,
                )
            interrupted = self._train(examples, validation, config, fresh)
            self._hold_out(validation)
            self._class_counts = examples.class_counts(len(self.classes_)).tolist()
            self._memory = Memory().add(examples, seed)
        if interrupted:
            raise KeyboardInterrupt
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "HybridClassifier":
        """One pass over these examples, from where the last call left off, at a constant rate.

        The first call says, by its examples, what is trained and how inputs are scaled, and by
        `classes`, or else by its labels, which classes there are. Arguments and errors are those of
        `fit`; at least one of the examples of each call needs a label, and `classes` of a later
        call, if given, must be the same. Every example is trained on, whatever
        `validation_fraction` says; those that a `fit` before held out stay the measure of novelty,
        but for any that come again here.
        """
        fresh = not hasattr(self, "model_")
        if not fresh and classes is not None:
            found = find_classes(classes, self.unlabeled_)
            if not np.array_equal(found, self.classes_):
                raise DataError(
                    f"classes: expected {self.classes_.tolist()}, as when first fitting, found "
                    f"{found.tolist()}; leave them out, or fit a new estimator"
                )
        with self._as_before_if_it_fails():
            examples = self._examples(X, y, sample_weight, None, learn=fresh, classes=classes)
            past = None if fresh else self._past
            seed = self._draw_seed()
            if fresh:
                options = self._choose(examples, None, seed, None, fades=False)
            else:
                self._end_fading()
                options = self._options
            # The same examples are held out when `fit` goes on after this.
            seed_of_split = seed if past is None else self.seed_
            known = examples.class_counts(len(self.classes_))
            counts = known if past is None else known + self._class_counts
            # A class without a label as yet is not thought impossible: each has one more.
            one = known.sum() / examples.labeled.sum()
            # The last part of a stream may be shorter than a batch, and batch normalisation has no
            # statistics of one example.
            shown = examples if len(examples) > 1 else examples.take(np.array([0, 0]))
            n_batch = None if options.n_batch is None else min(options.n_batch, len(shown))
            epochs = 1 if past is None else past.epochs + 1
            if past is not None:  # or a `random_state` that is a number would draw the same again
                seed = int(np.random.default_rng((seed, past.epochs)).integers(MAX_SEED))
            config = replace(options, seed=seed, n_batch=n_batch, epochs=epochs)
            if options.n_lbl_batch is not None:
                most = max(int(shown.labeled.sum()), n_batch or 0, LABELED_BATCH)
                config = replace(config, n_lbl_batch=min(options.n_lbl_batch, most))
            config = replace(config, rampdown=0, ema=0.0, patience=None)
            interrupted = self._train(shown, None, config, fresh, past, counts + one)
            self.seed_ = seed_of_split
            held = None if fresh else self._held_out
            if held is not None:  # what this call has shown the model is held out no more
                old, now = (digests(part.x.astype(np.float32)) for part in (held, examples))
                held = held.take(np.flatnonzero(~np.isin(old, now)))
            self._options = options  # the next part may be longer
            self._class_counts = counts.tolist()
            self._hold_out(held)
            self._memory = (Memory() if fresh else self._memory).add(examples, seed)
        if interrupted:
            raise KeyboardInterrupt
        return self

    def _examples(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_unlabeled: Any,
        *,
        learn: bool,
        classes: Any = None,
    ) -> Examples:
        """The examples in an order of their own, those of weight 0 left out."""
        self._check_arguments()
        if y is None:
            raise DataError(
                f"{type(self).__name__} requires y to be passed, but the target y is None; mark "
                "examples without a label by -1"
            )
        X = self._check(X, reset=learn)
        more = [] if X_unlabeled is None else [self._check(X_unlabeled, reset=False)]
        weight = weights(sample_weight, X.shape[0])
        if len(y := as_labels(y)) != X.shape[0]:
            raise DataError(f"X has {X.shape[0]} examples but y {len(y)} labels: give one each")
        if weight is not None and not weight.all():
            X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        layout = learn_layout(X, self.image_shape, *more) if learn else self.layout_
        if learn:
            mark = find_mark(y if classes is None else classes, self.unlabeled)
            found = find_classes(y if classes is None else classes, mark)
            self.unlabeled_, self.classes_, self.layout_ = mark, found, layout
        x, index = layout.stored(X), encode(y, self.classes_, self.unlabeled_)
        for part in more:
            x = stacked(x, layout.stored(part))
            index = np.append(index, np.full(part.shape[0], UNLABELED))
            if weight is not None:
                weight = np.append(weight, np.ones(part.shape[0]))
        if (index == UNLABELED).all():
            raise DataError("y: expected at least one label, found none")
        examples = Examples(x, index, weight)
        ties = (index,) if weight is None else (weight, index)
        # With numbers of their contents as order, the same examples are the same training set.
        return examples.take(np.lexsort((*ties, digests(x))))

    def _validation(self, given: tuple[Any, Any] | None) -> Examples | None:
        if given is None:
            return None
        try:
            inputs, labels = given
        except (TypeError, ValueError):
            raise DataError(
                f"validation_data: expected a pair (X, y), found {type(given).__name__}"
            ) from None
        x = self.layout_.stored(self._check(inputs, reset=False))
        y = encode(as_labels(labels), self.classes_, self.unlabeled_, "validation_data")
        if len(y) != x.shape[0] or (y == UNLABELED).all():
            raise DataError(
                "validation_data: expected one label for each example, some of them known"
            )
        return Examples(x, y)

    def _fraction(self, examples: Examples) -> float:
        n = int(examples.labeled.sum())
        if self.validation_fraction != "auto":
            return float(self.validation_fraction)
        smallest = np.bincount(examples.y[examples.labeled]).min()
        return 0.1 if n >= MANY_LABELS and smallest > 1 else 0.0

    def _check_arguments(self) -> None:
        """Refuse now what would be found out after training; `parse_config` checks the rest."""
        check_count("n_samples", self.n_samples)
        share, calls = _plain(self.validation_fraction), self.callbacks
        if not (share == "auto" or (isinstance(share, int | float) and 0 <= share < 1)):
            raise ConfigError(
                f"validation_fraction should be 'auto' or from 0 to below 1, found {share!r}; "
                "validation_data gives the examples themselves"
            )
        if not (self.options is None or isinstance(self.options, Mapping)):
            raise ConfigError(f"options should be values by name, found {self.options!r}")
        if calls is not None and not (isinstance(calls, Sequence) and all(map(callable, calls))):
            raise ConfigError(f"callbacks should be a list of functions, found {calls!r}")

    def _choose(
        self,
        examples: Examples,
        validation: Examples | None,
        seed: int,
        built: ModelSpec | None,
        fades: bool = True,
    ) -> TrainConfig:
        """Every option, said to whom it may concern; those of a model that is there stay."""
        asked = {
            "model": self.model,
            "network": self.network,
            "likelihood": self.likelihood,
            "augment": self.augment,
        }
        given = {name: value for name, value in asked.items() if value != "auto"}
        for name in ("epochs", "n_batch", "lr", "unsup_weight", "n_latent", "patience"):
            if (value := getattr(self, name)) is not None:
                given[name] = value
        for name in self.options or {}:
            if name in INSTEAD:
                raise ConfigError(f"options: {name} means nothing to a fit: {INSTEAD[name]}")
        if clash := given.keys() & (self.options or {}).keys():
            raise ConfigError(f"options: {clash.pop()} is an argument of its own; give it once")
        given = _plain(given | dict(self.options or {}))
        if self.consistency not in (None, "auto") and not isinstance(self.consistency, Mapping):
            raise ConfigError(
                f"consistency should be 'auto', None or weights by name, found {self.consistency!r}"
            )
        usual = {f.name for f in fields(TrainConfig) if f.metadata["used_by"]} | METHODS.keys()
        if isinstance(self.consistency, Mapping) and (other := self.consistency.keys() - usual):
            raise ConfigError(
                f"consistency: {other.pop()} is no consistency method; expected some of "
                f"{', '.join(METHODS)}"
            )
        facts = Facts(
            self.layout_.shape,
            len(examples),
            int(examples.labeled.sum()),
        )
        stays: dict[str, Any] = {}
        if built is not None:
            stays = {"model": built.model, "network": built.network, **built.options}
            for name in given.keys() & stays.keys():
                if given[name] != stays[name]:
                    raise ConfigError(
                        f"warm_start goes on with a model of {name} {stays[name]}, found "
                        f"{given[name]}: leave {name} as it was, or fit without warm_start"
                    )
        options, reasons = choose(facts, stays | given, _plain(self.consistency), fades=fades)
        before = self.chosen_ if stays else {}
        config = parse_config({**options, "seed": seed, "device": self.device}).for_model()
        values = asdict(config)
        new = {name: (values[name], reasons[name]) for name in reasons if name not in stays}
        self.chosen_ = {name: before[name] for name in stays if name in before} | new
        held = "none: the last weights are kept" if validation is None else len(validation)
        self.chosen_["validation examples"] = (held, f"of {facts.n_labeled} labels")
        if self.verbose:
            for name, (value, reason) in self.chosen_.items():
                print(f"{name} {value} ({reason})", file=sys.stderr)
        return config

    def _end_fading(self) -> None:
        """Where a model goes on its bound is faded in no more, unless the user asks for it."""
        if self._options.warmup and "warmup" not in (self.options or {}):
            spec = self.model_.spec
            self.model_.spec = replace(spec, options={**spec.options, "warmup": 0.0})
            self._options = replace(self._options, warmup=0.0)
            self.chosen_ = {k: v for k, v in self.chosen_.items() if k != "warmup"}

    def _train(
        self,
        examples: Examples,
        validation: Examples | None,
        config: TrainConfig,
        fresh: bool,
        past: Past | None = None,
        class_counts: NDArray[np.float64] | None = None,
    ) -> bool:
        """Train, and return whether Ctrl-C ended it early."""
        data = training_data(examples, validation, config)
        data = replace(data, symmetric=self.symmetric, class_counts=class_counts)
        with private_generators(config.seed, find_device(config.device)):
            model = self._new_model(data, config) if fresh else self.model_
            outcome = train_in_memory(
                model,
                data,
                config,
                fresh=fresh,
                past=past,
                on_epoch=self._on_epoch,
                progress=bool(self.verbose),
            )
        if outcome.interrupted and not outcome.history:
            raise KeyboardInterrupt
        self.model_, self._options = model, config
        self.history_ = ([] if fresh else self.history_) + outcome.history
        self.n_iter_ = len(self.history_)
        self._past = outcome.past._replace(epochs=self.n_iter_)
        self.seed_ = config.seed
        self._n_features_out = self._features(examples.x[[0]]).shape[1]
        self._detector = None
        return outcome.interrupted

    def _hold_out(self, examples: Examples | None) -> None:
        """Say which examples the model was not trained on; novelty is calibrated on them."""
        self._held_out = examples
        self._held_out_gaps = examples is not None and bool(has_missing(examples.x).any())
        self._calibrates = examples is not None and len(examples) >= ENOUGH

    @contextmanager
    def _as_before_if_it_fails(self) -> Iterator[None]:
        """What was fitted before stays if the block raises."""
        before = dict(vars(self))
        model = getattr(self, "model_", None)
        weights = {} if model is None else copy.deepcopy(model.state_dict())
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            if model is not None:  # that training may have gone on from
                model.load_state_dict(weights)
                model.eval()
            raise

    def _new_model(self, data: TrainingData, config: TrainConfig) -> Model:
        seen = data.main
        if seen.weight is not None:
            seen = seen.take(drawn(seen, (config.seed, 0, 2)))
        classes = tuple(str(name) for name in self.classes_)
        columns = None if self.layout_.image else getattr(self, "feature_names_in_", None)
        features = None if columns is None else tuple(map(str, columns))
        dataset = Dataset("X", seen, seen, classes, self.symmetric, features)
        return build_model(config.model, config.network, dataset, config.own_options())

    def _on_epoch(self, row: Row) -> bool:
        if not self.callbacks:
            return False
        with lent(find_device(self.device)):  # a callback may wait for threads that draw
            # Every callback is called, whatever the others say.
            return any([bool(callback(row)) for callback in self.callbacks])

    def _forget(self) -> None:
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    # Keeping

    def save(self, folder: str | Path) -> None:
        """Write a fitted estimator: weights as safetensors, the rest as JSON in its header.

        `model.safetensors` is a model for `dhm.load_model` and the commands, too, whose inputs are
        as stored here (see `layout_`). Callbacks, a `random_state` that is no seed, and the
        training examples are left out. `novelty.safetensors` is written where novelty was asked
        for, and left alone otherwise. An estimator saved there before is replaced.

        Raises `RunError` where the folder cannot be written, or holds a run or another model.
        """
        check_is_fitted(self)
        params = {k: _plain(v) for k, v in self.get_params(deep=False).items()}
        params = {k: v for k, v in params.items() if _is_plain(v)}
        facts: dict[str, Any] = {
            "params": params,
            "classes": storage.array_to_json(self.classes_),
            "layout": asdict(self.layout_),
            "options": self._options.to_dict(),
            "fitted": {name: getattr(self, name) for name in _FITTED if hasattr(self, name)},
        }
        if hasattr(self, "feature_names_in_"):
            facts["feature_names_in"] = self.feature_names_in_.tolist()
        facts["novelty"] = self._detector is not None
        storage.write(folder, self.model_, facts)
        if self._detector is not None:
            self._detector.save(Path(folder) / storage.NOVELTY)

    @classmethod
    def load(cls, folder: str | Path) -> "HybridClassifier":
        """The estimator that `save` wrote, on the CPU; raises `RunError` where there is none."""
        model, facts = storage.read(folder)
        try:
            estimator = cls(**facts["params"])
            estimator.classes_ = storage.array_from_json(facts["classes"])
            estimator.layout_ = Layout(**{k: _tuple(v) for k, v in facts["layout"].items()})
            for name in _FITTED:
                if name in facts["fitted"]:
                    setattr(estimator, name, facts["fitted"][name])
            estimator.chosen_ = {k: tuple(v) for k, v in estimator.chosen_.items()}
            estimator._options = parse_config(facts["options"])
            if "feature_names_in" in facts:
                estimator.feature_names_in_ = np.array(facts["feature_names_in"], object)
            judges = bool(facts["novelty"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{folder} is damaged or of another version: {error}") from error
        if tuple(str(name) for name in estimator.classes_) != model.spec.classes:
            raise RunError(
                f"{folder} is damaged: its classes are {estimator.classes_.tolist()}, those of its "
                f"model {list(model.spec.classes)}"
            )
        # A file from before counts were kept has none.
        counts = getattr(estimator, "_class_counts", None) or [0.0] * len(estimator.classes_)
        if len(counts) != len(estimator.classes_) or not all(
            isinstance(n, float) and n >= 0 for n in counts
        ):
            raise RunError(f"{folder} is damaged: its classes have {counts} labels")
        estimator._class_counts = counts
        estimator.model_ = model
        estimator._past = Past(estimator.n_iter_)
        estimator._held_out = estimator._detector = None
        estimator._memory = Memory()
        if judges:
            try:
                estimator._detector = NoveltyDetector.load(Path(folder) / storage.NOVELTY, model)
            except RunError as error:  # as after a stop before it was written: the model is whole
                warnings.warn(f"novelty cannot be asked for: {error}", stacklevel=2)
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = storage.pack(state["model_"])
            # To be read where there is no GPU.
            state["_past"] = send_to_device(state["_past"], "cpu")
            # Made again when asked for, unless what it is made of was not saved.
            detector, again = state["_detector"], state["_memory"].examples is not None
            state["_detector"] = None if detector is None or again else detector.parts
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "model_" in state:
            # Of before these were kept.
            optimizers = state.pop("_optimizers", None) or {}
            state.setdefault("_past", Past(state["n_iter_"], optimizers))
            state.setdefault("_class_counts", [0.0] * len(state["classes_"]))
            model, parts = storage.unpack(state["model_"]), state["_detector"]
            detector = None if parts is None else NoveltyDetector(model, *parts)
            state = {**state, "model_": model, "_detector": detector}
        super().__setstate__(state)


_FITTED = (
    *("chosen_", "history_", "n_iter_", "n_features_in_"),
    *("seed_", "unlabeled_", "_n_features_out", "_calibrates", "_held_out_gaps"),
    "_class_counts",
)
"""What a fit leaves that is plain data."""


def _plain(value: Any) -> Any:
    """Numbers of numpy, as a search of scikit-learn sets them, as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    return value


def _is_plain(value: Any) -> bool:
    """Whether JSON gives it back."""
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, tuple | list):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, str | int | float)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
