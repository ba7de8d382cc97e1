"""The choices of `--network`: modules with some of `hybrid`, `implicit`, `cnn` and `mlp`."""

from dhm.nn import mlp, paper, small, strided

NETWORKS = {"small": small, "strided": strided, "paper": paper, "mlp": mlp}
