"""What is trained, chosen by the data: each choice comes with its reason."""

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple


class Facts(NamedTuple):
    """What the choices depend on."""

    shape: tuple[int, ...]
    """Shape of one example, (C, H, W) or (D,)."""
    n: int
    """Examples in all."""
    n_labeled: int
    """Those with a label."""

    @property
    def images(self) -> bool:
        """Whether examples are images."""
        return len(self.shape) == 3

    @property
    def few_labels(self) -> bool:
        """Whether most examples have no label."""
        return self.n > 2 * self.n_labeled


class Choice(NamedTuple):
    """Options of `TrainConfig`, and why they are what they are."""

    options: dict[str, Any]
    reasons: dict[str, str]


IMAGES: dict[str, Any] = {
    "fixmatch": 1.0,
    "iic": 1.0,
    "label_spreading": 1.0,
    "mixup": 10.0,
    "rampup": 5.0,
}
"""Consistency methods of the recipes for few labels (`dhm.recipes.few_labels`)."""
TABLES: dict[str, Any] = {"vat": 1.0, "information": 1.0}
"""For vectors, where no copy is known to keep its label, small changes of any kind.

With a handful of labels one class for all the rest is a way to change nowhere, which the second
method takes away.
"""
BOUND = 0.1
"""Weight of the bound where consistency trains a hybrid of vectors.

With the models' own, 0.001, the bound was seen to diverge where labels train z (`detach_z` false).
Where they do not, log p(x) was lower (breast_cancer, standardised, 50 labels: by 4 to 6 nats).
"""
HOLDING = 0.01
"""Weight of the bound where many labels train z. With the models' own, 0.001, log p(x) was lower by
4 nats for digits with 1,000 labels and by 2 for breast_cancer with 300 (3 splits), and the error
by 0.2 points."""
STEADY: dict[str, Any] = {"n_lbl_batch": 64, "ema": 0.99}
STEPS = {True: 2000, False: 4000}
"""Steps aimed at, of images and of tables."""
MAX_EPOCHS = {True: 30, False: 100}
LEAST_STEPS = {True: 400, False: 0}
"""Of so few images that the epochs would have fewer: 60 labels of 600 digits give an error of 3.7 %
after 150 steps and of 2.9 % after 400 (3 splits)."""


INSTEAD = {
    **dict.fromkeys(("dataset", "data_dir"), "its data are X and y"),
    **dict.fromkeys(("n_labeled", "count"), "mark examples without a label by -1 in y"),
    "val_size": "give validation_fraction or validation_data",
    **dict.fromkeys(("seed", "seed_data"), "give random_state"),
    "device": "it is an argument of its own",
    "reload": "give warm_start",
    "n_eval_samples": "give n_samples, the argument",
    **dict.fromkeys(
        ("logname", "run_dir", "picture_every", "checkpoint_every"), "it leaves nothing on disk"
    ),
}
"""Options of runs that a fit has no use for, and what to do instead."""


def choose(
    facts: Facts, given: Mapping[str, Any], consistency: Any = "auto", *, fades: bool = True
) -> Choice:
    """The options for data with these facts; what the user gave stands.

    Arguments:
        facts: of the data.
        given: options of `TrainConfig` that the user set.
        consistency: "auto", None for no method, or the weights of methods by name.
        fades: whether the bound may be faded in: there is an end to do so before.

    Example:
        >>> digits = Facts((1, 8, 8), n=1797, n_labeled=50)
        >>> choice = choose(digits, {})
        >>> choice.options["model"], choice.options["network"], choice.options["fixmatch"]
        ('semisup-hdgm', 'strided', 1.0)
        >>> choice.reasons["network"]
        'few labels: many passes, so the quick network'
    """
    from dhm.models.registry import model_class

    options: dict[str, Any] = dict(given)
    reasons = dict.fromkeys(given, "as given")

    def take(why: str, **values: Any) -> None:
        for name, value in values.items():
            if name not in options:
                options[name], reasons[name] = value, why

    unlabeled = facts.n - facts.n_labeled
    kind = "images" if facts.images else "vectors"
    if unlabeled:
        take(f"{facts.n_labeled} of {facts.n} examples have a label", model="semisup-hdgm")
    else:
        take("all examples have a label", model="supervised-hdgm")
    model = model_class(options["model"])
    methods: Mapping[str, Any] = consistency if isinstance(consistency, Mapping) else {}
    if methods:
        options |= methods
        reasons |= dict.fromkeys(methods, "as given")
    classifies = options.get("sup_weight") != 0  # or there is nothing to be consistent
    trains_vectors = False
    if consistency == "auto" and facts.few_labels and model.uses_unlabeled and classifies:
        methods = IMAGES if facts.images else TABLES
        own = model.options["small"]
        take(f"few labels, {kind}", **methods)
        take("few labels", **{k: v for k, v in STEADY.items() if k != "ema" or k not in own})
        if not facts.images and "likelihood" in own:
            take("few labels, vectors: a better p(x)", unsup_weight=BOUND)
            # At this weight a p(z) of classes has z learn few labels by heart: 500 of the generated
            # rows of `benchmarks/estimator.py` erred on 18.3 %, with this one on 15.7 (3 splits).
            take("few labels, vectors: the lower error", prior="gaussian")
            trains_vectors = True
    if methods and facts.images and "strided" in model.options:
        take("few labels: many passes, so the quick network", network="strided")
    take("the default", network="small")
    usual = model.options.get(options["network"], {})  # of no network it knows: refused later
    if usual.get("detach_z") and not facts.few_labels and classifies:
        take("half or more have a label: they train z, too", detach_z=False)
        if options["detach_z"] is False:
            take("for the bound to hold z beside them", unsup_weight=HOLDING)
            if options.get("n_samples", 1) == 1:
                take("half or more have a label", prior="classes")
    if "epochs" not in options:
        n = facts.n if model.uses_unlabeled else facts.n_labeled
        n_batch = options.get("n_batch") or usual.get("n_batch", 128)
        steps = ceil(n / min(n_batch, n))
        aim, most = STEPS[facts.images], MAX_EPOCHS[facts.images]
        least = LEAST_STEPS[facts.images]
        epochs = max(min(most, max(10, ceil(aim / steps))), ceil(least / steps))
        why = f"{aim} steps if 10 to {most} epochs have them" + f", {least} at least" * bool(least)
        take(f"{why}: {epochs * steps}", epochs=epochs)
    if fades and trains_vectors and isinstance(options["epochs"], int) and options["epochs"] > 0:
        take("few labels, vectors: or p(x|z) leaves z alone", warmup=options["epochs"] / 2)
    return Choice(options, reasons)
