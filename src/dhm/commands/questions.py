"""What `dhm predict` and `dhm score` have in common: questions about the rows of files."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dhm.commands.common import add_data_dir, add_device, add_run, add_seed, model_of
from dhm.config import parse_config
from dhm.errors import ConfigError

if TYPE_CHECKING:
    from dhm.data.stream import Rows
    from dhm.models.base import Model


def add_questions(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="images, folders of images, .npy, .npz, .h5, .csv or .parquet files, or names of data "
        "sets, of which the test part is taken",
    )
    command.add_argument(
        "--n_samples",
        metavar="N",
        type=int,
        default=100,
        help="importance samples for log p(x); 0 leaves it out, which is faster [100]",
    )
    add_seed(command)
    add_data_dir(command)
    add_device(command)


def check_questions(options: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is loaded."""
    if options.n_samples < 0:
        raise ConfigError(f"--n_samples should be at least 0, found {options.n_samples}")
    parse_config({"seed": options.seed})
    if options.output:
        from dhm.data.stream import check_not_read
        from dhm.tables import check_table

        check_table(options.output)
        check_not_read(options.output, options.files, options.data_dir)


def asked(options: argparse.Namespace) -> "tuple[Model, Iterator[Rows]]":
    """The model, and the rows of the files a block at a time."""
    from dhm.data.stream import Form, stream

    model = model_of(options.run_folder, options.device)
    form = Form(model.spec.shape, model.spec.dtype, missing=True, features=model.spec.features)
    return model, stream(options.files, form, data_dir=options.data_dir)


def warn_of_incomplete(n: int, total: int) -> None:
    """Say that p-values of inputs with missing entries may not be what they seem."""
    if n:
        print(
            f"dhm: warning: {n} of {total} rows have missing entries: their novelty_p is right "
            f"only if the data that it is calibrated on misses the same, and too small if that is "
            f"whole; docs/novelty.md shows how to calibrate for gaps",
            file=sys.stderr,
        )
