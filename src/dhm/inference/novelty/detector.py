"""`NoveltyDetector`: is this input unlike what the model was trained on?"""

from collections.abc import Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dhm.errors import ConfigError, DataError, UnsupportedError
from dhm.inference.chunks import check_examples, evaluating, spans
from dhm.inference.novelty.answers import Answers
from dhm.inference.novelty.combination import COMBINATION, Combination, Marginal
from dhm.inference.novelty.registry import SCORES
from dhm.inference.novelty.score import Score
from dhm.inference.novelty.storage import read_detector, write_detector
from dhm.models.base import Model
from dhm.suggest import did_you_mean

MAX_TRAIN, MAX_HELD_OUT = 5000, 4000
"""Rows that are used at most: the time to fit and the size of a file stay bounded."""
MIN_HELD_OUT = 20
ENOUGH = 40
"""Held-out inputs, of which half are the measure: the least p-value is then below 1/20."""
_BATCH = 1000


class NoveltyDetector:
    """How novel inputs are to a model, calibrated on training data: no novel input is ever needed.

    Each kind of score (a key of `SCORES`) that the model can give is one number for an input, the
    higher the more novel. The default, "combination", adds up how improbable they are. A p-value
    is the share of held-out training inputs that are as novel or more. It is exact in the sense of
    conformal prediction, whatever the model: a new input like the training data has a p-value of
    alpha or less with probability alpha at most. One that misses entries is not like held-out ones
    that do not: see `calibrated`.

    Made by `fit` or `load`, for a model that is on the device where it stays.

    References:
        Laxhammar & Falkman, Conformal prediction for distribution-independent anomaly detection in
        streaming vessel data, 2010; Bates et al., Testing for outliers with conformal p-values,
        Annals of Statistics 2023. What the scores and the combination come from is said there.

    Example:
        >>> from dhm.data import load
        >>> from dhm.models.build import build_model
        >>> digits = load("digits")
        >>> model = build_model("softmax", "small", digits, {})  # untrained, to be quick
        >>> train, held_out = digits.train, digits.test.x
        >>> detector = NoveltyDetector.fit(model, train.x, train.y, held_out)
        >>> noise = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8)).astype(np.uint8)
        >>> detector.score(noise) > detector.threshold(false_alarm_rate=0.05)
        tensor([True, True, True, True, True])
    """

    def __init__(
        self,
        model: Model,
        fitted: Mapping[str, Score],
        combination: Combination,
        calibration: Mapping[str, Tensor],
    ) -> None:
        self.model, self.fitted, self.combination = model, fitted, combination
        self.calibration = calibration
        """By kind, the scores of held-out inputs, in ascending order."""

    @classmethod
    def fit(
        cls,
        model: Model,
        x_train: Any,
        y_train: Any = None,
        x_held_out: Any = None,
        *,
        max_train: int = MAX_TRAIN,
        max_held_out: int = MAX_HELD_OUT,
        seed: int = 0,
    ) -> "NoveltyDetector":
        """Fit all scores that the model can give.

        Arguments:
            model: the trained model.
            x_train: (N, *shape) inputs it was trained on, as stored.
            y_train: (N,) class indices, -1 or None where unknown: the predicted class counts there.
            x_held_out: (M, *shape) inputs of the same kind that it was not trained on, as its
                validation set: half of them shape the combination, half calibrate. Without them, a
                quarter of the training inputs is taken, those without a label first; p-values of
                new inputs are then too small, in so far as the model fits old ones better.
            max_train: how many training inputs are used at most, chosen by the seed.
            max_held_out: how many held-out ones.
            seed: of these choices, and of the draws that estimate log p(x).

        Raises:
            DataError: a shape is wrong, or there are too few inputs.
        """
        y = np.full(x_train.shape[0], -1) if y_train is None else np.asarray(y_train)
        if len(y) != x_train.shape[0]:
            raise DataError(f"expected {x_train.shape[0]} labels, one an input, found {len(y)}")
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(y))
        if x_held_out is None:
            rows = rows[np.argsort(y[rows] >= 0, kind="stable")]
            held, rows = np.split(rows, [min(max_held_out, len(rows) // 4)])
            rows, x_held_out = rng.permutation(rows), x_train
        else:
            held = rng.permutation(x_held_out.shape[0])[:max_held_out]
        if len(held) < MIN_HELD_OUT:
            raise DataError(
                f"expected at least {MIN_HELD_OUT} held-out inputs to calibrate novelty on, found "
                f"{len(held)}; hold out more"
            )
        if not len(rows):
            raise DataError("expected at least one training input, found none")
        rows = np.sort(rows[:max_train])
        shaping, calibrating = (x_held_out[np.sort(half)] for half in np.array_split(held, 2))
        with torch.no_grad():
            train = Answers(model, x_train[rows], y[rows], seed)
            fitted = {kind: score.fit(train) for kind, score in available(model).items()}
        combined = {kind: score for kind, score in fitted.items() if score.combined}
        shaped = _scores(model, combined, shaping, seed)
        combination = Combination(
            {
                kind: Marginal(shaped[kind].sort().values, score.two_sided)
                for kind, score in combined.items()
            }
        )
        return cls(model, fitted, combination, {}).calibrated(calibrating, seed=seed)

    def calibrated(self, x_held_out: Any, *, seed: int = 0) -> "NoveltyDetector":
        """The same scores, with p-values and thresholds by these held-out inputs instead.

        For questions about inputs that differ from those of `fit` in a known way: where entries are
        missing, held-out inputs with the same ones removed make p-values exact again, as what is
        removed at random says nothing of the rest. The share of them is not enough: a missing half
        is not like as many single pixels. Or for data that have drifted.

        Arguments:
            x_held_out: (M, *shape) inputs that neither the model nor `fit` has seen, as stored. No
                p-value is below 1 / (M + 1).
            seed: of the draws that estimate log p(x).

        Raises:
            DataError: the shape is wrong, or there is no input.
        """
        found = self.scores(x_held_out, seed=seed)
        ordered = {kind: scores.sort().values for kind, scores in found.items()}
        return type(self)(self.model, self.fitted, self.combination, ordered)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The scores there are for this model, the combination first."""
        return (COMBINATION, *self.fitted)

    def score(self, x: Any, kind: str | None = None, *, seed: int = 0) -> Tensor:
        """(N,) of one kind, by default the combination's, for inputs as stored; higher is novel.

        The combination's is in nats, other kinds are in units of their own. An input for which a
        score is no number, as one with infinite entries, is as novel as can be: infinity. NaN
        marks a missing entry; the model's p(x) is then that of the others.

        Raises:
            UnsupportedError: the model cannot give this kind.
            ConfigError: there is no kind of this name.
            DataError: the shape is wrong.
        """
        kind = kind or COMBINATION
        return self.scores(x, [kind], seed=seed)[kind]

    def scores(
        self, x: Any, kinds: Iterable[str] | None = None, *, seed: int = 0
    ) -> dict[str, Tensor]:
        """(N,) for each of several kinds, by default of all, from one pass over the inputs."""
        wanted = self.kinds if kinds is None else tuple(kinds)
        for kind in wanted:
            self._check(kind)
        needed = {
            kind: score
            for kind, score in self.fitted.items()
            if kind in wanted or (COMBINATION in wanted and score.combined)
        }
        found = _scores(self.model, needed, x, seed)
        if COMBINATION in wanted:
            found[COMBINATION] = self.combination(found)
        return {kind: found[kind] for kind in wanted}

    def p_value(self, x: Any, kind: str | None = None, *, seed: int = 0) -> Tensor:
        """(N,) probabilities that training data are as novel or more; small is novel."""
        return self.p_value_of(self.score(x, kind, seed=seed), kind)

    def p_value_of(self, scores: Tensor, kind: str | None = None) -> Tensor:
        """p-values of scores computed before: (1 + #{calibration >= score}) / (n + 1)."""
        calibration = self.calibration[self._check(kind)]
        n = len(calibration)
        at_least = n - torch.searchsorted(calibration, scores.contiguous())
        return (1 + at_least) / (n + 1)

    def threshold(self, false_alarm_rate: float, kind: str | None = None) -> float:
        """The score above which p-values are at most this rate.

        Of new inputs like the training data, this share is flagged at most, on average over what
        the calibration inputs might have been.

        Raises:
            ConfigError: the rate is not between 0 and 1, or less than 1 / (n + 1) for n calibration
                inputs, so that nothing could be flagged.
        """
        calibration = self.calibration[self._check(kind)]
        n = len(calibration)
        if not 0 < false_alarm_rate < 1:
            raise ConfigError(
                f"the false-alarm rate should be above 0 and below 1, found {false_alarm_rate:g}"
            )
        # So many have p-values (1 + #{>= score}) / (n + 1) up to the rate; 1e-9 as 0.29 * 100 < 29.
        allowed = int(false_alarm_rate * (n + 1) + 1e-9)
        if not allowed:
            least = ceil(1e4 / (n + 1)) / 1e4  # rounded down, it would be refused too
            raise ConfigError(
                f"a false-alarm rate of {false_alarm_rate:g} needs "
                f"{ceil(1 / false_alarm_rate - 1e-9) - 1} calibration inputs, found {n}; hold out "
                f"more, or allow {least:g}"
            )
        return calibration[n - allowed].item()

    @property
    def parts(self) -> tuple[Mapping[str, Score], Combination, Mapping[str, Tensor]]:
        """What it is made of beside the model."""
        return self.fitted, self.combination, self.calibration

    def save(self, path: str | Path) -> None:
        """Write what was fitted, without the model, to a safetensors file.

        Raises:
            RunError: the file cannot be written.
        """
        write_detector(path, self.model, *self.parts)

    @classmethod
    def load(cls, path: str | Path, model: Model) -> "NoveltyDetector":
        """The detector in a file, for the model it was fitted for.

        Raises:
            RunError: there is no such file, it is damaged, or it belongs to other weights.
        """
        return cls(model, *read_detector(path, model))

    def _check(self, kind: str | None) -> str:
        """The kind, or an error that says what this model lacks for it."""
        kind = kind or COMBINATION
        if kind in self.kinds:
            return kind
        if kind not in SCORES:
            hint = did_you_mean(kind, [COMBINATION, *SCORES])
            raise ConfigError(f"no score of novelty is called {kind!r}{hint}")
        raise UnsupportedError(
            f"{kind} needs {SCORES[kind].requires.what}, which this {self.model.spec.model} has "
            f"not; it has {', '.join(self.kinds)}"
        )


def available(model: Model) -> dict[str, type[Score]]:
    """The scores that the model has what they need for."""
    return {kind: score for kind, score in SCORES.items() if score.requires.met(model)}


@torch.no_grad()
def _scores(model: Model, fitted: Mapping[str, Score], x: Any, seed: int) -> dict[str, Tensor]:
    """The scores of inputs by kind, in batches of bounded memory."""
    check_examples(model, x)
    parts: dict[str, list[Tensor]] = {kind: [] for kind in fitted}
    for span in spans(x.shape[0], _BATCH):
        # Positions, not a slice: a copy, so that nothing done to it reaches the caller's array.
        asked = Answers(model, x[np.asarray(span)], seed=seed)
        with evaluating(model):
            for kind, score in fitted.items():
                scores = score(asked).float()
                parts[kind].append(torch.where(scores.isnan(), torch.inf, scores))
    return {kind: torch.cat(part) for kind, part in parts.items()}
