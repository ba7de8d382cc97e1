"""The choices of `--network`, by what is built."""

from dhm.nn import halving, mlp, paper, paper_implicit, patches, small, small_implicit, strided

NETWORKS = {
    "small": small,
    "strided": strided,
    "halving": halving,
    "patches": patches,
    "paper": paper,
}
"""Modules with `hybrid`, and for classifiers with `cnn` and `mlp`."""

IMPLICIT = {"small": small_implicit, "paper": paper_implicit, "mlp": mlp}
"""Modules with `implicit`."""
