"""Time and memory of `dhm predict`, by the number of rows.

A hybrid of MNIST (all labels, one epoch, which is enough: what is measured does not depend on how
good it is) answers everything for test images: label, probabilities, log p(x) from 100 samples and
novelty by its detector, which combines seven scores. A hybrid of a table of 50 random features (one
epoch as well) gives label and probabilities alone for many rows. Every `dhm predict` is a process
of its own, on one thread, and its peak is the most memory that was resident in it at once, Python
and PyTorch included: what one row takes is what it takes to begin.

    python benchmarks/predictions.py              # some minutes
    python benchmarks/predictions.py --table      # the table, from results/predictions.jsonl

Experiments already in the results, with the options they have now, are not repeated. Where the
files of MNIST are not downloaded, `DHM_DATA` says where they lie.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _runs import FOLDER, Row, markdown, measure, read, run_folder, summary_of
from numpy.typing import NDArray

RESULTS = FOLDER / "predictions.jsonl"
SEED = 0
HYBRID = {
    "model": "supervised-hdgm",
    "network": "small",
    "unsup_weight": 0.01,
    "epochs": 1,
    "seed": SEED,
    "seed_data": SEED,
    "n_eval_samples": 20,
    "picture_every": 0,
}
N_FEATURES = 50
BLOCK = 10_000
"""Rows of a table that are made at a time."""


@dataclass(frozen=True)
class Experiment:
    """A run and how many rows it is asked about."""

    options: dict[str, Any]
    sizes: tuple[int, ...]
    answers: str
    """What is asked, for people."""
    flags: tuple[str, ...]
    """The same, for `dhm predict`."""
    with_novelty: bool


EXPERIMENTS = {
    "mnist": Experiment(
        {"dataset": "mnist", "val_size": 4000},
        (1, 1_000, 10_000, 20_000),
        "label, probabilities, log p(x), novelty",
        (),
        with_novelty=True,
    ),
    "table": Experiment(
        {}, (1, 200_000, 800_000), "label, probabilities", ("--n_samples", "0"), with_novelty=False
    ),
}


def job(name: str) -> Row:
    """What tells an experiment from others."""
    experiment = EXPERIMENTS[name]
    options = {**HYBRID, **experiment.options}
    return {"experiment": name, "options": options, "sizes": list(experiment.sizes)}


def run(job: Row) -> Row:
    """A row's figures: train, fit the detector, predict."""
    experiment = EXPERIMENTS[job["experiment"]]
    with tempfile.TemporaryDirectory() as name:
        folder, options = Path(name), dict(job["options"])
        if job["experiment"] == "table":
            options["dataset"] = str(folder / "table.npz")
            _write_training_table(folder / "table.npz")
        with run_folder(options) as trained:
            # The table lies in a passing folder, whose name says nothing.
            summary = summary_of(trained)
            summary["dataset"] = job["experiment"]
            measured: list[Row] = []
            for n in job["sizes"]:
                path = folder / "rows.npy"
                write = _write_table if job["experiment"] == "table" else _write_images
                write(path, n)
                if experiment.with_novelty and not measured:
                    _dhm("score", trained, path)  # fits the detector, and keeps it
                output = folder / "answers.parquet"
                used = _dhm("predict", trained, path, "-o", output, *experiment.flags)
                measured.append(
                    {
                        "rows": n,
                        "input_bytes": path.stat().st_size,
                        "output_bytes": output.stat().st_size,
                        **used,
                    }
                )
    return {"summary": summary, "answers": experiment.answers, "measured": measured}


MEASURING = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds = time.perf_counter() - start
print(json.dumps([code, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def _dhm(*words: Any) -> Row:
    """What one command took, in a process of its own."""
    # A process counts the memory of the one it was started from until it runs a program of its own,
    # so it is started from one that holds next to nothing.
    command = [sys.executable, "-m", "dhm", *map(str, words)]
    found = subprocess.run(
        [sys.executable, "-c", MEASURING, *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    code, seconds, processor_seconds, peak = json.loads(found.stdout)
    if code:
        raise subprocess.CalledProcessError(code, command)
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor_seconds, 2),
        "peak_bytes": peak * (1 if sys.platform == "darwin" else 1024),
    }


def _write_images(path: Path, n: int) -> None:
    """The first n test images of MNIST, bytes; after the last the first again."""
    from dhm.data import load

    x = load("mnist").test.x
    np.save(path, x[np.arange(n) % len(x)])


def _write_training_table(path: Path) -> None:
    """5,000 rows whose label is the sign of the first feature, and 500 to test."""
    x, y = {}, {}
    for part, n in (("train", 5000), ("test", 500)):
        x[part] = np.concatenate(list(_table(n)))
        y[part] = (x[part][:, 0] > 0).astype(int)
    np.savez(path, x_train=x["train"], y_train=y["train"], x_test=x["test"], y_test=y["test"])


def _write_table(path: Path, n: int) -> None:
    """n rows, never held at once: a child's peak is never below what its parent holds."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n, N_FEATURES)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in _table(n):
            file.write(block.astype("<f4").tobytes())


def _table(n: int) -> Iterator[NDArray[np.float32]]:
    """Blocks of n rows of normal numbers."""
    rng = np.random.default_rng(SEED)
    for start in range(0, n, BLOCK):
        yield rng.standard_normal((min(BLOCK, n - start), N_FEATURES), dtype=np.float32)


def table(rows: list[Row]) -> str:
    """Markdown: time and peak by number of rows."""
    header = [
        *("hybrid of", "answers", "rows", "file, MB", "seconds", "of the processor"),
        "peak memory, MB",
    ]
    return markdown(
        header,
        [
            [
                row["experiment"],
                row["answers"],
                f"{measured['rows']:,}",
                f"{measured['input_bytes'] / 1e6:.1f}",
                f"{measured['seconds']:.1f}",
                f"{measured['processor_seconds']:.1f}",
                f"{measured['peak_bytes'] / 1e6:.0f}",
            ]
            for row in rows
            for measured in row["measured"]
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=EXPERIMENTS, help="an experiment")
    parser.add_argument("--table", action="store_true", help="print the table only")
    arguments = parser.parse_args()
    if not arguments.table:
        jobs = [job(name) for name in arguments.only or EXPERIMENTS]
        done = [{key: row[key] for key in jobs[0]} for row in read(RESULTS)]
        measure(RESULTS, [j for j in jobs if j not in done], run, workers=1)
    print(table(read(RESULTS)))
