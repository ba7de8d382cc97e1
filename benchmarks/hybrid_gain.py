"""Does joint training help the classifier? By data, number of images and unsup_weight.

The hybrid with unsup_weight 0 is the same classifier alone: same layers, seeds, splits, steps and
learning rates. Every run goes through `dhm train`; weights are chosen on a validation set that is
no larger than the training labels, and the test set is read once, at the end of a run. A seed is
both `--seed` and `--seed_data`, so each draws its own labels, validation set and initial weights.

    python benchmarks/hybrid_gain.py            # 71 runs of half a minute to 8, two at a time
    python benchmarks/hybrid_gain.py --table    # the table, from results/hybrid_gain.jsonl

Runs already in the results are not repeated.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

RESULTS = Path(__file__).parent / "results" / "hybrid_gain.jsonl"
WEIGHTS = (0.0, 0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Size:
    """A number of training images of a data set, with what goes with it."""

    dataset: str
    n: int
    """Images, those for validation not counted but at 60,000, where they come off these."""
    flags: dict[str, Any]
    seeds: int
    weights: tuple[float, ...]

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Options of every run; a seed's runs lie together, so that pairs are complete early."""
        for seed in range(self.seeds):
            for weight in self.weights:
                options = {
                    "dataset": self.dataset,
                    "model": "supervised-hdgm",
                    "network": "small",
                    "unsup_weight": weight,
                    "seed": seed,
                    "seed_data": seed,
                    "n_eval_samples": 20,
                    "picture_every": 0,
                    **self.flags,
                }
                key = {"dataset": self.dataset, "n": self.n, "unsup_weight": weight, "seed": seed}
                yield {**key, "options": options}


# Fewer weights where a run is longer.
SIZES = (
    Size("digits", 1213, {"epochs": 100}, 3, WEIGHTS[:3]),
    Size("fashion-mnist", 600, {"n_labeled": 600, "val_size": 600, "epochs": 60}, 5, WEIGHTS),
    Size(
        "fashion-mnist", 6000, {"n_labeled": 6000, "val_size": 1000, "epochs": 20}, 5, WEIGHTS[:3]
    ),
    Size("fashion-mnist", 60000, {"val_size": 1000, "epochs": 3}, 3, WEIGHTS[:2]),
)


def key(job: dict[str, Any]) -> tuple[Any, ...]:
    """What tells one run from another."""
    return job["dataset"], job["n"], job["unsup_weight"], job["seed"]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """One training run in a process of its own, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--{name}={value}" for name, value in job["options"].items()]
        command = [sys.executable, "-m", "dhm", "train", "-q", "-l", "x", "--run_dir", folder]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*command, *flags], check=True, env=env, stdout=subprocess.DEVNULL)
        return json.loads((Path(folder) / "x" / "summary.json").read_text())


def read() -> list[dict[str, Any]]:
    """The rows measured so far."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def measure(workers: int) -> None:
    """Run what is missing and append a row for each."""
    done = {key(row) for row in read()}
    jobs = [job for size in SIZES for job in size.jobs() if key(job) not in done]
    RESULTS.parent.mkdir(exist_ok=True)
    with ThreadPoolExecutor(workers) as pool, RESULTS.open("a") as file:
        for job, summary in zip(jobs, pool.map(run, jobs), strict=True):
            row = {**job, "summary": summary}
            file.write(json.dumps(row) + "\n")
            file.flush()
            error = summary["test"]["error"]
            print(*key(job), f"{error:.2%}", flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: error by images and weight, with differences to weight 0 paired by seed."""
    lines = [
        "| data | training images | unsup_weight | seeds | validation error % | test error % | "
        "minus the classifier alone, paired | nll | log p(x) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        runs = {key(row): row["summary"] for row in rows}
        for weight in size.weights:
            pairs = [
                (runs[size.dataset, size.n, weight, s], runs[size.dataset, size.n, 0.0, s])
                for s in range(size.seeds)
                if {(size.dataset, size.n, w, s) for w in (weight, 0.0)} <= runs.keys()
            ]
            if not pairs:
                continue
            mine, alone = zip(*pairs, strict=True)
            validation, test = ([100 * r[p]["error"] for r in mine] for p in ("validation", "test"))
            gains = [t - 100 * r["test"]["error"] for t, r in zip(test, alone, strict=True)]
            cells = [
                size.dataset,
                f"{size.n:,}",
                f"{weight:g}" if weight else "0 (classifier alone)",
                str(len(pairs)),
                spread(validation),
                spread(test),
                spread(gains, sign=True) if weight else "",
                f"{mean(r['test']['nll'] for r in mine):.3f}",
                f"{mean(r['test']['log_likelihood'] for r in mine):.1f}" if weight else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float], sign: bool = False) -> str:
    """Mean and standard deviation over seeds."""
    centre = f"{mean(values):{'+' if sign else ''}.2f}"
    return f"{centre} ± {stdev(values):.2f}" if len(values) > 1 else centre


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the table only")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time [2]")
    arguments = parser.parse_args()
    if not arguments.table:
        measure(arguments.workers)
    print(table(read()))
