"""scikit-learn's digits with 2, 5 and 10 labels of each class.

    dhm train --recipe digits-50

The figure to halve is that of LabelSpreading on the same splits: `benchmarks/few_labels.py`.
"""

from dhm.recipes.few_labels import few_labels
from dhm.recipes.recipe import Recipe

DIGITS_20, DIGITS_50, DIGITS_100 = (
    Recipe(
        name=f"digits-{n}",
        about=f"digits, {n} labels: a network that agrees with itself on copies of an image",
        options=few_labels("digits", n, epochs=40),
    )
    for n in (20, 50, 100)
)
