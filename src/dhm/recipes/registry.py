"""The names of the recipes. Importing one imports no torch."""

from importlib import import_module

from dhm.errors import ConfigError
from dhm.recipes.recipe import Recipe
from dhm.suggest import did_you_mean

RECIPES = {
    "mnist-original": "dhm.recipes.mnist_original:MNIST_ORIGINAL",
    "svhn-1000-original": "dhm.recipes.svhn_original:SVHN_1000_ORIGINAL",
    "digits-20": "dhm.recipes.digits:DIGITS_20",
    "digits-50": "dhm.recipes.digits:DIGITS_50",
    "digits-100": "dhm.recipes.digits:DIGITS_100",
    "mnist-100": "dhm.recipes.mnist:MNIST_100",
    "mnist-100-long": "dhm.recipes.mnist:MNIST_100_LONG",
    "mnist-binarized": "dhm.recipes.mnist_binarized:MNIST_BINARIZED",
    "fashion-100": "dhm.recipes.fashion:FASHION_100",
    "fashion-1000": "dhm.recipes.fashion:FASHION_1000",
}


def load(name: str) -> Recipe:
    """The recipe of a name; raises `ConfigError` for one that does not exist.

    Example:
        >>> load("digits-50").config(epochs=1).n_labeled
        50
    """
    if name not in RECIPES:
        raise ConfigError(f"unknown recipe {name!r}{did_you_mean(name, RECIPES)}")
    module, _, constant = RECIPES[name].partition(":")
    recipe: Recipe = getattr(import_module(module), constant)
    return recipe
