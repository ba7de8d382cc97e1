"""Does joint training help the classifier? Fashion-MNIST, by number of labels and unsup_weight.

The hybrid with unsup_weight 0 is the same classifier alone: same layers, seeds, splits, steps and
learning rates. Every run goes through `dhm train`; weights are chosen on a validation set that is
no larger than the training labels, and the test set is read once, at the end of a run. A seed is
both `--seed` and `--seed_data`, so each draws its own labels, validation set and initial weights.

    python benchmarks/hybrid_gain.py            # 65 runs of 1 to 10 minutes, two at a time
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
from pathlib import Path
from statistics import mean, stdev
from typing import Any

RESULTS = Path(__file__).parent / "results" / "hybrid_gain.jsonl"
WEIGHTS = (0.0, 0.001, 0.01, 0.1, 1.0)


class Size:
    """A number of training images with what goes with it."""

    def __init__(self, n: int, val_size: int, epochs: int, seeds: int, weights: tuple) -> None:
        self.n, self.val_size, self.epochs = n, val_size, epochs
        self.seeds, self.weights = seeds, weights


# At 60,000 the validation images come off the training set, and weight 1 is left out for its time.
SIZES = (
    Size(600, 600, 60, 5, WEIGHTS),
    Size(6000, 1000, 20, 5, WEIGHTS),
    Size(60000, 1000, 8, 3, WEIGHTS[:-1]),
)


def grid() -> Iterator[dict[str, Any]]:
    """Options of every run; a seed's runs lie together, so that pairs are complete early."""
    for size in SIZES:
        for seed in range(size.seeds):
            for weight in size.weights:
                options = {
                    "dataset": "fashion-mnist",
                    "model": "supervised-hdgm",
                    "network": "small",
                    "unsup_weight": weight,
                    "epochs": size.epochs,
                    "val_size": size.val_size,
                    "seed": seed,
                    "seed_data": seed,
                    "n_eval_samples": 20,
                    "picture_every": 0,
                }
                if size.n < 60000:
                    options["n_labeled"] = size.n
                yield {"n": size.n, "unsup_weight": weight, "seed": seed, "options": options}


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
    done = {(row["n"], row["unsup_weight"], row["seed"]) for row in read()}
    jobs = [job for job in grid() if (job["n"], job["unsup_weight"], job["seed"]) not in done]
    RESULTS.parent.mkdir(exist_ok=True)
    with ThreadPoolExecutor(workers) as pool, RESULTS.open("a") as file:
        for job, summary in zip(jobs, pool.map(run, jobs), strict=True):
            row = {**job, "summary": summary}
            file.write(json.dumps(row) + "\n")
            file.flush()
            error = summary["test"]["error"]
            print(f"{job['n']:6} {job['unsup_weight']:6} seed {job['seed']}: {error:.2%}")


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: error by images and weight, with differences to weight 0 paired by seed."""
    lines = [
        "| training images | unsup_weight | seeds | validation error % | test error % | "
        "minus the classifier alone, paired | nll | log p(x) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        runs = {(r["unsup_weight"], r["seed"]): r["summary"] for r in rows if r["n"] == size.n}
        for weight in size.weights:
            seeds = [s for s in range(size.seeds) if (weight, s) in runs and (0.0, s) in runs]
            if not seeds:
                continue
            mine, alone = ([runs[w, s] for s in seeds] for w in (weight, 0.0))
            validation, test = ([100 * r[p]["error"] for r in mine] for p in ("validation", "test"))
            gains = [t - 100 * r["test"]["error"] for t, r in zip(test, alone, strict=True)]
            cells = [
                f"{size.n:,}",
                f"{weight:g}" if weight else "0 (classifier alone)",
                str(len(seeds)),
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
    sd = stdev(values) if len(values) > 1 else 0.0
    return f"{mean(values):{'+' if sign else ''}.2f} ± {sd:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the table only")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time [2]")
    arguments = parser.parse_args()
    if not arguments.table:
        measure(arguments.workers)
    print(table(read()))
