"""Everything a model says of inputs, as columns of a table."""

from typing import TYPE_CHECKING, Any

import numpy as np

from dhm.errors import UnsupportedError
from dhm.inference.likelihood import log_likelihood
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
        class; `log_px`, nats, and its standard error `log_px_se`; `novelty`, higher is more novel,
        and `novelty_p`, the probability that training data are as novel or more.

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
    if n_samples and model.has_density:
        estimate = log_likelihood(model, x, n_samples, seed=seed)
        columns["log_px"] = estimate.value.cpu().numpy()
        columns["log_px_se"] = estimate.standard_error.cpu().numpy()
    if detector is not None:
        novelty = detector.score(x, seed=seed)
        columns["novelty"] = novelty.cpu().numpy()
        columns["novelty_p"] = detector.p_value_of(novelty).cpu().numpy()
    if not columns:
        raise UnsupportedError(
            f"this {model.spec.model} has neither p(y|x) nor, with these options, log p(x) or "
            f"novelty: there is nothing to say of an input; train with --sup_weight above 0"
        )
    return columns
