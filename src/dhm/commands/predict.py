"""`dhm predict`."""

import argparse
import sys
from typing import TYPE_CHECKING

from dhm.commands.questions import add_questions, asked, check_questions, warn_of_incomplete
from dhm.errors import RunError

if TYPE_CHECKING:
    from dhm.inference.novelty import NoveltyDetector
    from dhm.models.base import Model


def add_options(command: argparse.ArgumentParser) -> None:
    add_questions(command)
    command.add_argument(
        "-o",
        "--output",
        metavar="TABLE",
        help="a .csv, .jsonl or .parquet file [CSV to standard output]",
    )


def run(options: argparse.Namespace) -> None:
    """Write label, probabilities, log p(x) and novelty of every row of files."""
    check_questions(options)
    from tqdm import tqdm

    from dhm.data.checks import count_incomplete
    from dhm.inference.predictions import predictions
    from dhm.tables import writing_table

    model, blocks = asked(options)
    detector = _detector(options.run_folder, model)
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
