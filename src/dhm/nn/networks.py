"""The choices of `--network`, by what is built."""

from dhm.nn import mlp, paper, paper_implicit, small, small_implicit, strided

NETWORKS = {"small": small, "strided": strided, "paper": paper}
"""Modules with `hybrid`, `cnn` and `mlp`."""

IMPLICIT = {"small": small_implicit, "paper": paper_implicit, "mlp": mlp}
"""Modules with `implicit`."""
