"""`dhm score`."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dhm.commands.common import add_data_dir, add_device, add_run, warn_of_incomplete
from dhm.config import parse_config
from dhm.errors import ConfigError


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
        "--n_samples",
        metavar="N",
        type=int,
        default=100,
        help="importance samples for log p(x); 0 leaves it out, which is faster [100]",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="TABLE",
        help="write a row for each input: .csv, .jsonl or .parquet",
    )
    command.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the draws [0]")
    add_data_dir(command)
    add_device(command)


def run(options: argparse.Namespace) -> None:
    """Say which inputs are unlike the training data."""
    if options.n_samples < 0:
        raise ConfigError(f"--n_samples should be at least 0, found {options.n_samples}")
    parse_config({"seed": options.seed})
    if options.output:
        from dhm.data.stream import check_not_read
        from dhm.tables import check_table

        check_table(options.output)
        check_not_read(options.output, options.files, options.data_dir)
    import numpy as np

    from dhm.data.checks import count_incomplete
    from dhm.data.stream import Form, stream
    from dhm.inference.predictions import density, novelty
    from dhm.models.build import load_model
    from dhm.nn.device import find_device
    from dhm.training.novelty import run_detector

    model = load_model(options.run_folder, str(find_device(options.device)))
    form = Form(model.spec.shape, model.spec.dtype, missing=True, features=model.spec.features)
    blocks = stream(options.files, form, data_dir=options.data_dir)
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
