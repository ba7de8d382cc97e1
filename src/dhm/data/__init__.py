"""Names and paths to arrays: loading, checking and splitting data sets."""

from dhm.data.assemble import from_arrays
from dhm.data.binarize import binarized
from dhm.data.checks import check_inputs
from dhm.data.dataset import UNLABELED, Dataset, Examples
from dhm.data.describe import describe
from dhm.data.registry import NAMES, load, load_test
from dhm.data.splits import hide_labels, labeled_subset, split_validation

__all__ = [
    "NAMES",
    "UNLABELED",
    "Dataset",
    "Examples",
    "binarized",
    "check_inputs",
    "describe",
    "from_arrays",
    "hide_labels",
    "labeled_subset",
    "load",
    "load_test",
    "split_validation",
]
