"""The names of the models. Importing this does not import torch, so `dhm --help` stays quick."""

from importlib import import_module
from typing import TYPE_CHECKING

from dhm.errors import ConfigError
from dhm.suggest import did_you_mean

if TYPE_CHECKING:
    from dhm.models.base import Model

MODELS = {
    "softmax": "dhm.models.discriminative:Softmax",
    "supervised-mlp": "dhm.models.discriminative:SupervisedMLP",
    "supervised-cnn": "dhm.models.discriminative:SupervisedCNN",
    "semisup-mlp": "dhm.models.discriminative:SemisupMLP",
    "semisup-cnn": "dhm.models.discriminative:SemisupCNN",
    "supervised-hdgm": "dhm.models.explicit:SupervisedHDGM",
    "semisup-hdgm": "dhm.models.explicit:SemisupHDGM",
    "semisup-ali": "dhm.models.implicit:SemisupALI",
}


def model_class(name: str) -> type["Model"]:
    """The class of a model by its name; raises `ConfigError` for one that does not exist."""
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}{did_you_mean(name, MODELS)}")
    module, _, cls = MODELS[name].partition(":")
    return getattr(import_module(module), cls)
