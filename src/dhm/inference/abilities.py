"""Whether a model can answer a question at all, and what it can do instead."""

from dhm.errors import UnsupportedError
from dhm.models.base import GenerativeModel, LatentModel, Model


def require_density(model: Model) -> GenerativeModel:
    """The model, if log p(x) means something for it.

    Raises:
        UnsupportedError: it has no p(x), or was trained without it; the message says what it has.

    Example:
        >>> import dhm
        >>> from dhm.models.build import build_model
        >>> softmax = build_model("softmax", "small", dhm.load_data("digits"), {})
        >>> require_density(softmax)
        Traceback (most recent call last):
        ...
        dhm.errors.UnsupportedError: this softmax has no log p(x); train a supervised-hdgm ...
    """
    if isinstance(model, GenerativeModel) and model.has_density:
        return model
    raise UnsupportedError(f"this {model.spec.model} has no log p(x){_why_not(model)}")


def require_samples(model: Model) -> LatentModel:
    """The model, if it can draw x from z.

    Raises:
        UnsupportedError: it has no generative part, or was trained without it.
    """
    return _latent(model, "p(x) to sample from")


def require_encoder(model: Model) -> LatentModel:
    """The model, if it makes z of x.

    Raises:
        UnsupportedError: it has no latent variable, or was trained without it.
    """
    return _latent(model, "trained encoder")


def require_classifier(model: Model) -> Model:
    """The model, if p(y|x) is trained.

    Raises:
        UnsupportedError: it was trained without labels.
    """
    if model.has_classifier:
        return model
    raise UnsupportedError(
        f"this {model.spec.model} has no p(y|x), as --sup_weight was 0: train with more than 0"
    )


def _latent(model: Model, what: str) -> LatentModel:
    if isinstance(model, LatentModel) and model.has_samples:
        return model
    raise UnsupportedError(f"this {model.spec.model} has no {what}{_why_not(model)}")


def _why_not(model: Model) -> str:
    """How to come by a model that can, and what this one can do."""
    if isinstance(model, LatentModel) and not model.has_samples:
        how = ", as --unsup_weight was 0: train with more than 0"
    elif isinstance(model, LatentModel):
        how = ", only samples; train a supervised-hdgm or semisup-hdgm for it"
    else:
        how = "; train a supervised-hdgm or semisup-hdgm for it"
    can = []
    if model.has_samples:
        can += [
            "sample and interpolate (dhm sample)",
            "reconstruct (decode(encode(x)))",
            "score x by its critic (logits(x).logsumexp(1), high for data)",
        ]
    if model.has_classifier:
        can += ["p(y|x) (dhm predict, predict_logits)", "features (predict_features)"]
    return f"{how}. What this one can do: {', '.join(can)}"
