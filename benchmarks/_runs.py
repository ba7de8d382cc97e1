"""What the benchmarks of training runs share: one run, results as they come, cells of tables."""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, stdev
from threading import Lock
from typing import Any

from dhm.config import read_config

Row = dict[str, Any]
FOLDER = Path(__file__).parent / "results"


def trained(folder: Path, options: Row) -> Path:
    """The folder of one run of `dhm train`, in a process of its own, unless it is finished.

    A finished run of other options is replaced.
    """
    finished = (folder / "summary.json").exists()
    if not (finished and read_config(folder / "config.yaml").items() >= options.items()):
        flags = [f"--{name}={value}" for name, value in options.items()]
        where = ["--overwrite", "-l", folder.name, "--run_dir", str(folder.parent)]
        command = [sys.executable, "-m", "dhm", "train", "-q", *where, *flags]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
    return folder


@contextmanager
def run_folder(options: Row) -> Iterator[Path]:
    """The folder of one run that is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        yield trained(Path(folder, "x"), options)


def summary_of(folder: Path) -> Row:
    """The figures of a finished run."""
    summary: Row = json.loads((folder / "summary.json").read_text())
    return summary


def epochs_of(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def train(options: Row) -> Row:
    """A run's summary and its curve.

    The curve holds, for each epoch, the seconds of training up to its end and the validation
    error there.
    """
    with run_folder(options) as folder:
        summary, epochs = summary_of(folder), epochs_of(folder)
    curve, seconds = [], 0.0
    for epoch in epochs:
        seconds += float(epoch["seconds"])
        curve.append([round(seconds, 2), round(float(epoch["val_error"]), 5)])
    return {"summary": summary, "curve": curve}


def read(results: Path) -> list[Row]:
    """The rows measured so far."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def measure(
    results: Path, jobs: Iterable[Row], run: Callable[[Row], Row], workers: int = 2
) -> None:
    """Run the jobs, some at a time, and append a row for each as soon as it ends.

    After an error none is begun any more; those under way still give their rows.
    """
    results.parent.mkdir(exist_ok=True)
    writing = Lock()

    def run_and_keep(job: Row) -> None:
        row = {**job, **run(job)}
        name = " ".join(str(value) for value in job.values() if not isinstance(value, dict))
        with writing:
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(name, f"{row['summary']['test']['error']:.2%}", flush=True)

    pool = ThreadPoolExecutor(workers)
    try:
        for future in as_completed([pool.submit(run_and_keep, job) for job in jobs]):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def spread(values: list[float], sign: bool = False) -> str:
    """Mean and standard deviation over seeds."""
    centre = f"{mean(values):{'+' if sign else ''}.2f}"
    return f"{centre} ± {stdev(values):.2f}" if len(values) > 1 else centre


def markdown(header: list[str], rows: Iterable[list[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(header)}", *lines[1:]])
