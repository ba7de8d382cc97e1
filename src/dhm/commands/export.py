"""`dhm export`."""

import argparse
from pathlib import Path

from dhm.commands.common import add_run, model_of
from dhm.errors import ConfigError


def add_options(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument(
        "-o", "--output", required=True, metavar="FILE.onnx", help="the ONNX file (required)"
    )
    command.add_argument(
        "--encoder", action="store_true", help="x -> z, the mean of q(z|x), instead of p(y|x)"
    )


def run(options: argparse.Namespace) -> None:
    """Write a trained model as an ONNX file, checked against it."""
    if Path(options.output).suffix.lower() != ".onnx":
        raise ConfigError(f"expected a name ending in .onnx, found {options.output}")
    from dhm.inference.onnx import export_onnx

    export_onnx(model_of(options.run_folder), options.output, encoder=options.encoder)
    print(f"{'z' if options.encoder else 'p(y|x)'} in {options.output}, checked with onnxruntime")
