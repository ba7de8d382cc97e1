"""`dhm score`."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dhm.commands.questions import add_questions, asked, check_questions, warn_of_incomplete


def add_options(command: argparse.ArgumentParser) -> None:
    add_questions(command)
    command.add_argument(
        "--kind", metavar="NAME", help="the score of novelty, see docs/novelty.md [combination]"
    )
    command.add_argument(
        "--false_alarm_rate",
        metavar="X",
        type=float,
        default=0.05,
        help="share of inputs like the training data that may be flagged [0.05]",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="TABLE",
        help="write a row for each input: .csv, .jsonl or .parquet",
    )


def run(options: argparse.Namespace) -> None:
    """Say which inputs are unlike the training data."""
    check_questions(options)
    import numpy as np

    from dhm.data.checks import count_incomplete
    from dhm.inference.predictions import density, novelty
    from dhm.training.novelty import run_detector

    model, blocks = asked(options)
    detector = run_detector(options.run_folder, model, options.data_dir, progress=True)
    threshold = detector.threshold(options.false_alarm_rate, options.kind)
    n_samples = options.n_samples if options.output else 0  # only the table has log p(x)
    scores, incomplete = [], 0
    with _writing(options.output) as write:
        for file, row, x in blocks:
            columns = density(model, x, n_samples, seed=options.seed)
            columns |= novelty(detector, x, options.kind, seed=options.seed)
            columns["novel"] = columns["novelty"] > threshold
            write({"file": file, "row": row, **columns})
            scores.append(columns["novelty"])
            incomplete += count_incomplete(x)
    found = np.concatenate(scores)
    warn_of_incomplete(incomplete, len(found))
    _print_summary(found, threshold, options)


def _writing(output: str | None) -> AbstractContextManager[Callable[[Any], None]]:
    """What appends rows to the table, if there is to be one."""
    from dhm.tables import writing_table

    return nullcontext(lambda columns: None) if output is None else writing_table(output)


def _print_summary(novelty: Any, threshold: float, options: argparse.Namespace) -> None:
    import numpy as np

    flagged = novelty > threshold
    print(
        f"{flagged.sum()} of {len(novelty)} inputs are novel ({flagged.mean():.1%}): "
        f"{options.kind or 'combination'} above {threshold:.4g}, at a false-alarm rate of "
        f"{options.false_alarm_rate:g}"
    )
    at = (0.05, 0.25, 0.5, 0.75, 0.95)
    # Of values found, none between two: infinity, of inputs far out, has no neighbours.
    quantiles = zip(at, np.quantile(novelty, at, method="inverted_cdf"), strict=True)
    print("quantiles  " + "  ".join(f"{q:.0%}: {value:.4g}" for q, value in quantiles))
    if options.output:
        print(f"rows in {options.output}")
