"""The names of the models. Importing this does not import torch, so `dhm --help` stays quick."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


BEFORE: dict[str, Any] = {"detach_z": False, "prior": "gaussian"}
"""What was done before there were these options, where that is not their default now."""


def model_class(name: str) -> type["Model"]:
    """The class of a model by its name; raises `ConfigError` for one that does not exist."""
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}{did_you_mean(name, MODELS)}")
    module, _, cls = MODELS[name].partition(":")
    return getattr(import_module(module), cls)


def options_before(model: str, network: str) -> dict[str, Any]:
    """What the options of a model were in a file from before they were made.

    Example:
        >>> options_before("semisup-hdgm", "small"), options_before("softmax", "small")
        ({'detach_z': False, 'prior': 'gaussian'}, {})
    """
    own = model_class(model).options.get(network, {})
    return {name: value for name, value in BEFORE.items() if name in own}
