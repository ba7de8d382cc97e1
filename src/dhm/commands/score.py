"""`dhm score`."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dhm.commands.common import add_data_dir, add_run
from dhm.config import parse_config
from dhm.errors import ConfigError, DataError, DataNotFoundError
from dhm.files import replacing

if TYPE_CHECKING:
    from dhm.inference.novelty import NoveltyDetector
    from dhm.models.base import Model


def add_options(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="an .npy file of inputs, or the name of a data set, of which the test part is taken",
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
        "-o", "--output", metavar="TABLE", help="write a row for each input: a .csv or .jsonl file"
    )
    command.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the draws [0]")
    add_data_dir(command)


def run(options: argparse.Namespace) -> None:
    """Say which inputs are unlike the training data."""
    if options.n_samples < 0:
        raise ConfigError(f"--n_samples should be at least 0, found {options.n_samples}")
    parse_config({"seed": options.seed})
    import numpy as np

    from dhm.models.build import load_model
    from dhm.training.novelty import FILE, run_detector

    model = load_model(options.run_folder)
    blocks = _stream(options.files, model, options.data_dir)
    with _writing_table(options.output) as write:
        if not (Path(options.run_folder) / FILE).is_file():
            print("dhm: fitting the novelty detector to the run's data, once", file=sys.stderr)
        detector = run_detector(options.run_folder, model, options.data_dir)
        threshold = detector.threshold(options.false_alarm_rate, options.kind)
        novelty = []
        for file, row, x in blocks:
            columns = _columns(model, detector, x, threshold, options)
            write({"file": file, "row": row, **columns})
            novelty.append(columns["novelty"])
    _print_summary(np.concatenate(novelty), threshold, options)


def _columns(
    model: "Model",
    detector: "NoveltyDetector",
    x: Any,
    threshold: float,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What the table says of each input, as far as the model knows it."""
    from math import log, prod

    from dhm.inference.likelihood import log_likelihood
    from dhm.models.base import GenerativeModel

    columns: dict[str, Any] = {}
    if options.n_samples and isinstance(model, GenerativeModel) and model.has_density:
        estimate = log_likelihood(model, x, options.n_samples, seed=options.seed)
        columns["log_px"] = estimate.value.cpu().numpy()
        if model.data_domain() != "real":  # of a density over real numbers there are no bits
            columns["bits_per_dim"] = -columns["log_px"] / (log(2) * prod(model.spec.shape))
    scores = detector.score(x, options.kind, seed=options.seed)
    columns["novelty"] = scores.cpu().numpy()
    columns["novelty_p"] = detector.p_value_of(scores, options.kind).cpu().numpy()
    columns["novel"] = columns["novelty"] > threshold
    return columns


def _print_summary(novelty: Any, threshold: float, options: argparse.Namespace) -> None:
    import numpy as np

    flagged = novelty > threshold
    print(
        f"{flagged.sum()} of {len(novelty)} inputs are novel ({flagged.mean():.1%}): "
        f"{options.kind or 'combination'} above {threshold:.4g}, at a false-alarm rate of "
        f"{options.false_alarm_rate:g}"
    )
    at = (0.05, 0.25, 0.5, 0.75, 0.95)
    quantiles = zip(at, np.quantile(novelty, at), strict=True)
    print("quantiles  " + "  ".join(f"{q:.0%}: {value:.4g}" for q, value in quantiles))
    if options.output:
        print(f"rows in {options.output}")


def _stream(files: list[str], model: "Model", data_dir: str | None) -> Iterator[tuple[Any, ...]]:
    """Of blocks of at most a thousand rows: their files, their numbers there, the inputs."""
    import numpy as np

    from dhm.data import NAMES, check_inputs, load
    from dhm.suggest import did_you_mean

    for name in files:
        if name in NAMES:
            x = load(name, data_dir=data_dir).test.x
        elif not Path(name).is_file():
            hint = did_you_mean(name, NAMES)
            raise DataNotFoundError(f"no data set and no file is called {name!r}{hint}")
        else:
            try:
                x = np.load(name, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise DataError(f"{name} is not an .npy file, or is damaged: {error}") from error
            if not isinstance(x, np.ndarray):
                raise DataError(f"{name}: expected one array, as np.save writes")
            x = check_inputs(x, name)
        if (tuple(x.shape[1:]), str(x.dtype)) != (model.spec.shape, model.spec.dtype):
            raise DataError(
                f"{name}: the model takes {model.spec.dtype} inputs of shape {model.spec.shape}, "
                f"found {x.dtype} of shape {tuple(x.shape[1:])}"
            )
        for rows in np.split(np.arange(x.shape[0]), range(1000, x.shape[0], 1000)):
            yield [name] * len(rows), rows, x[rows]


@contextmanager
def _writing_table(path: str | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that appends rows to a table of this name; without a name they are left out."""
    import csv
    import json

    import numpy as np

    if path is None:
        yield lambda columns: None
        return
    if Path(path).suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"expected a name ending in .csv or .jsonl for the table, found {path}")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        header: list[str] = []

        def write(columns: Mapping[str, Any]) -> None:
            values = (np.asarray(column).tolist() for column in columns.values())
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
            if path.endswith(".jsonl"):
                file.writelines(json.dumps(row) + "\n" for row in rows)
                return
            if not header:
                header.extend(columns)
                csv.writer(file, lineterminator="\n").writerow(header)
            csv.writer(file, lineterminator="\n").writerows(row.values() for row in rows)

        yield write
