"""The choices of `--network`: modules with some of `hybrid`, `implicit`, `cnn` and `mlp`."""

from dhm.nn import mlp, paper, small

NETWORKS = {"small": small, "paper": paper, "mlp": mlp}
