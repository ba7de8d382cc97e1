"""Deep hybrid models: a discriminative and a generative network that share a latent variable.

The names below are imported when first used, so that `import dhm` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dhm.config import TrainConfig
    from dhm.data import load as load_data
    from dhm.estimator import HybridClassifier
    from dhm.evaluation.evaluate import evaluate
    from dhm.models.build import load_model
    from dhm.recipes import load as load_recipe
    from dhm.training.train import train

_HOMES = {
    "HybridClassifier": "dhm.estimator:HybridClassifier",
    "TrainConfig": "dhm.config:TrainConfig",
    "evaluate": "dhm.evaluation.evaluate:evaluate",
    "load_data": "dhm.data:load",
    "load_model": "dhm.models.build:load_model",
    "load_recipe": "dhm.recipes:load",
    "train": "dhm.training.train:train",
}

__all__ = [
    "HybridClassifier",
    "TrainConfig",
    "evaluate",
    "load_data",
    "load_model",
    "load_recipe",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dhm' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
