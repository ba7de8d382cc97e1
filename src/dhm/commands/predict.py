"""`dhm predict`."""

import argparse
import sys
from typing import TYPE_CHECKING

from dhm.commands.common import add_data_dir, add_device, add_run, warn_of_incomplete
from dhm.config import parse_config
from dhm.errors import ConfigError, RunError

if TYPE_CHECKING:
    from dhm.inference.novelty import NoveltyDetector
    from dhm.models.base import Model


def add_options(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="images, folders of images, .npy, .npz, .h5, .csv or .parquet files, or names of data "
        "sets, of which the test part is taken",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="TABLE",
        help="a .csv, .jsonl or .parquet file [CSV to standard output]",
    )
    command.add_argument(
        "--n_samples",
        metavar="N",
        type=int,
        default=100,
        help="importance samples for log p(x); 0 leaves it out, which is faster [100]",
    )
    command.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the draws [0]")
    add_data_dir(command)
    add_device(command)


def run(options: argparse.Namespace) -> None:
    """Write label, probabilities, log p(x) and novelty of every row of files."""
    if options.n_samples < 0:
        raise ConfigError(f"--n_samples should be at least 0, found {options.n_samples}")
    parse_config({"seed": options.seed})
    if options.output:
        from dhm.data.stream import check_not_read
        from dhm.tables import check_table

        check_table(options.output)
        check_not_read(options.output, options.files, options.data_dir)
    from tqdm import tqdm

    from dhm.data.checks import count_incomplete
    from dhm.data.stream import Form, stream
    from dhm.inference.predictions import predictions
    from dhm.models.build import load_model
    from dhm.nn.device import find_device
    from dhm.tables import writing_table

    model = load_model(options.run_folder, str(find_device(options.device)))
    detector = _detector(options.run_folder, model)
    form = Form(model.spec.shape, model.spec.dtype, missing=True, features=model.spec.features)
    blocks = stream(options.files, form, data_dir=options.data_dir)
    n = incomplete = 0
    with writing_table(options.output) as write, tqdm(unit=" rows", disable=None) as bar:
        for file, row, x in blocks:
            found = predictions(
                model, x, n_samples=options.n_samples, detector=detector, seed=options.seed
            )
            write({"file": file, "row": row, **found})
            bar.update(len(row))
            n += len(row)
            incomplete += count_incomplete(x)
    if detector is not None:
        warn_of_incomplete(incomplete, n)
    if options.output:
        print(f"{n} rows in {options.output}")


def _detector(run: str, model: "Model") -> "NoveltyDetector | None":
    """The run's novelty detector, if it has one."""
    from dhm.training.novelty import kept_detector

    try:
        return kept_detector(run, model)
    except RunError as error:
        print(f"dhm: no novelty: {error}", file=sys.stderr)
        return None
