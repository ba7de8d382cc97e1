"""The names of the methods, which are those of their weights. Importing this imports no torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dhm.consistency.base import ConsistencyMethod

METHODS = {
    "pi_model": "dhm.consistency.pi_model:PiModel",
    "temporal_ensembling": "dhm.consistency.temporal_ensembling:TemporalEnsembling",
    "mean_teacher": "dhm.consistency.mean_teacher:MeanTeacher",
    "vat": "dhm.consistency.vat:VAT",
    "latent_vat": "dhm.consistency.latent_vat:LatentVAT",
    "entropy": "dhm.consistency.entropy:Entropy",
    "information": "dhm.consistency.information:Information",
    "iic": "dhm.consistency.iic:IIC",
    "fixmatch": "dhm.consistency.fixmatch:FixMatch",
    "label_spreading": "dhm.consistency.label_spreading:LabelSpreading",
    "mixup": "dhm.consistency.mixup:Mixup",
}


def method_class(name: str) -> type["ConsistencyMethod"]:
    """The class of a method by its name."""
    module, _, cls = METHODS[name].partition(":")
    return getattr(import_module(module), cls)
