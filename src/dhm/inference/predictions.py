"""Everything a model says of inputs, as columns of a table."""

from typing import TYPE_CHECKING, Any

import numpy as np

from dhm.errors import UnsupportedError
from dhm.inference.likelihood import bits_per_dimension, log_likelihood
from dhm.inference.missing import predict_proba
from dhm.models.base import Model

if TYPE_CHECKING:
    from dhm.inference.novelty import NoveltyDetector


def predictions(
    model: Model,
    x: Any,
    *,
    n_samples: int = 100,
    detector: "NoveltyDetector | None" = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Label, probabilities, log p(x) and novelty of each input, as far as the model knows them.

    Arguments:
        model: the model; what it was not trained for is left out.
        x: (N, *shape) as stored, NaN where missing.
        n_samples: importance samples for log p(x) and for what is missing; 0 leaves log p(x) out,
            and is 100 for what is missing.
        detector: what scores novelty; None leaves it out.
        seed: of the draws.

    Returns:
        Columns of N values: `label`, the name of the most probable class; `p_CLASS` for every
        class; those of `density`; those of `novelty`.

    Raises `UnsupportedError` where nothing is left, `DataError` for another shape.

    Example:
        >>> import dhm, tempfile
        >>> config = dhm.TrainConfig(model="softmax", epochs=1, run_dir=tempfile.mkdtemp())
        >>> model = dhm.load_model(dhm.train(config, progress=False)["run"])
        >>> columns = predictions(model, dhm.load_data("digits").test.x[:3])
        >>> list(columns)[:3], len(columns), len(columns["label"])
        (['label', 'p_0', 'p_1'], 11, 3)
    """
    columns: dict[str, Any] = {}
    if model.has_classifier:
        p_y = predict_proba(model, x, n_samples=n_samples or 100, seed=seed).cpu().numpy()
        columns["label"] = np.array(model.spec.classes)[p_y.argmax(1)]
        columns |= {f"p_{c}": p for c, p in zip(model.spec.classes, p_y.T, strict=True)}
    columns |= density(model, x, n_samples, seed=seed)
    if detector is not None:
        columns |= novelty(detector, x, seed=seed)
    if not columns:
        raise UnsupportedError(
            f"this {model.spec.model} has neither p(y|x) nor, with these options, log p(x) or "
            f"novelty: there is nothing to say of an input; train with --sup_weight above 0"
        )
    return columns


def density(model: Model, x: Any, n_samples: int, *, seed: int = 0) -> dict[str, Any]:
    """Columns of log p(x), none where the model has no density or `n_samples` is 0.

    `log_px`, nats, its standard error `log_px_se`, and `bits_per_dim` where p(x) is of 8-bit
    pixels: of a density over real numbers, or of what is neither black nor white under a Bernoulli
    distribution, there are no bits.
    """
    if not n_samples or not model.has_density:
        return {}
    estimate = log_likelihood(model, x, n_samples, seed=seed)
    columns = {
        "log_px": estimate.value.cpu().numpy(),
        "log_px_se": estimate.standard_error.cpu().numpy(),
    }
    if model.data_domain() == "bytes":
        bits = bits_per_dimension(estimate.value, model.spec.shape)
        columns["bits_per_dim"] = bits.cpu().numpy()
    return columns


def novelty(
    detector: "NoveltyDetector", x: Any, kind: str | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """Columns of one kind of score, by default the combination.

    `novelty`, higher is more novel, and `novelty_p`, the probability that training data are as
    novel or more.
    """
    scores = detector.score(x, kind, seed=seed)
    p = detector.p_value_of(scores, kind)
    return {"novelty": scores.cpu().numpy(), "novelty_p": p.cpu().numpy()}
