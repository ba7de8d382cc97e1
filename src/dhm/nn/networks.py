"""The choices of `--network`: each is a module with `hybrid`, `cnn` and `mlp`."""

from dhm.nn import paper, small

NETWORKS = {"small": small, "paper": paper}
