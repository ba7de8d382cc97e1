"""What the recipes for few labels have in common.

The classifier learns from unlabelled images by agreeing with itself on weak and strong copies of
them (FixMatch) and between any two of them (mixup), by telling as much as it can of one copy's
class from the other's (IIC), and from labels spread over a graph of neighbours. No more images
serve for validation than have labels: too few to tell one epoch from another, so that the last
weights are kept.
"""

from typing import Any

from dhm.recipes.recipe import MEASUREMENTS, Recipe


def few_labels(dataset: str, n_labeled: int, epochs: int, **others: Any) -> dict[str, Any]:
    """Options for `n_labeled` labels and as many validation examples."""
    return {
        "dataset": dataset,
        "n_labeled": n_labeled,
        "val_size": n_labeled,
        "model": "semisup-cnn",
        "network": "strided",
        "fixmatch": 1.0,
        "iic": 1.0,
        "label_spreading": 1.0,
        "mixup": 10.0,
        "epochs": epochs,
        "n_batch": 128,
        "n_lbl_batch": 64,
        "ema": 0.99,
        "keep": "last",
        **others,
    }


def of_60_000(
    name: str, about: str, options: dict[str, Any], *, minutes: int, error: str
) -> Recipe:
    """A recipe for 60,000 images, with options of `few_labels` and what was measured of it."""
    shared = {"lr": 0.002, "spread_every": 2, "rampup": 1.0, "precision": "bf16"}
    return Recipe(
        name=name,
        about=about,
        options=options | shared,
        time=f"{minutes} minutes, on one of them while the other was busy",
        expected=f"test error {error} % over 5 splits",
        source=MEASUREMENTS + "few_labels.jsonl",
    )
