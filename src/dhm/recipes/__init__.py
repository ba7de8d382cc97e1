"""Experiments by name: their options, how long they take and what to expect."""

from dhm.recipes.recipe import Recipe
from dhm.recipes.registry import RECIPES, load

__all__ = ["RECIPES", "Recipe", "load"]
