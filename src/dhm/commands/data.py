"""`dhm data`."""

import argparse
import os
import sys
from pathlib import Path

from dhm.commands.common import add_data_dir, png
from dhm.config import parse_config
from dhm.errors import ConfigError


def add_options(command: argparse.ArgumentParser) -> None:
    from dhm.data import NAMES

    command.add_argument(
        "dataset", metavar="NAME", help=f"{', '.join(NAMES)}, or the path of a file or folder"
    )
    add_data_dir(command)
    command.add_argument(
        "--seed_data", metavar="N", type=int, default=0, help="seed of the test split [0]"
    )
    command.add_argument("-o", "--output", metavar="FILE.png", help="the picture [NAME.png]")


def run(options: argparse.Namespace) -> None:
    """Say what a data set holds and draw a picture of some of it."""
    parse_config({"seed_data": options.seed_data})
    default = f"{Path(options.dataset).resolve().stem}.png"
    output = png(options.output or default)
    if options.output is None and os.path.exists(output):
        raise ConfigError(f"{output} exists: name the picture by --output, that one to replace it")
    from dhm.data import describe, load
    from dhm.evaluation.pictures import dataset_picture

    dataset = load(
        options.dataset,
        data_dir=options.data_dir,
        seed_data=options.seed_data,
        progress=sys.stderr.isatty(),
    )
    description = {**describe(dataset), "picture": output}
    width = max(map(len, description))
    for name, value in description.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {v}" for k, v in value.items())
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        print(f"{name:<{width}}  {value}")
    dataset_picture(dataset.train.x, dataset.train.y, dataset.classes, output)
