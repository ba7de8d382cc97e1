"""The choices of `--network`: each is a module with `hybrid`, `cnn` and `mlp`."""

from dhm.nn import paper, small, strided

NETWORKS = {"small": small, "strided": strided, "paper": paper}
