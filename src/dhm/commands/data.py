"""`dhm data`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from dhm.commands.common import add_data_dir, png
from dhm.config import parse_config


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
    path = Path(options.dataset).resolve()
    output = png(options.output or f"{path.stem}.png")
    from dhm.data import describe, load
    from dhm.data.stream import check_not_read
    from dhm.evaluation.pictures import dataset_picture

    dataset = load(
        options.dataset,
        data_dir=options.data_dir,
        seed_data=options.seed_data,
        progress=sys.stderr.isatty(),
    )
    _print_description(describe(dataset))
    # Images lie in folders of their classes: a picture beside those is none of them.
    if output.resolve().parent != path:
        check_not_read(output, [options.dataset], options.data_dir)
    dataset_picture(dataset.train.x, dataset.train.y, dataset.classes, output)
    print(f"picture in {output}")


def _print_description(found: dict[str, Any]) -> None:
    """What `describe` found, and a table with a row for each class."""
    share = found["missing"]
    print(f"name     {found['name']}")
    print(f"shape    {'x'.join(map(str, found['shape']))}")
    print(f"type     {found['dtype']}")
    print(f"range    {found['min']:g} to {found['max']:g}")
    print(f"missing  {'less than 0.01%' if 0 < share < 1e-4 else f'{share:.2%}'}\n")
    train, test = found["counts"]["train"], found["counts"]["test"]
    rows = [(name, train[name], test[name]) for name in found["classes"]]
    rows.append(("unlabelled", found["n_unlabeled"], found["n_test"] - sum(test.values())))
    rows.append(("all", found["n_train"], found["n_test"]))
    width = max(len(name) for name, _, _ in rows)
    print(f"{'class':<{width}} {'train':>10} {'test':>10}")
    for name, n_train, n_test in rows:
        print(f"{name:<{width}} {n_train:>10,} {n_test:>10,}")
