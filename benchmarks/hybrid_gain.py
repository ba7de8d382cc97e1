"""Does joint training help the classifier? By data, number of images and unsup_weight.

The hybrid with unsup_weight 0 is the same classifier alone: same layers, seeds, splits, steps and
learning rates. `supervised-cnn` has its layers but for those of z. Every run goes through `dhm
train`; weights are chosen on a validation set that is no larger than the training labels, and the
test set is read once, at the end of a run. A seed is both `--seed` and `--seed_data`, so each draws
its own labels, validation set and initial weights.

    python benchmarks/hybrid_gain.py            # 71 runs of half a minute to 8, two at a time
    python benchmarks/hybrid_gain.py --table    # the table, from results/hybrid_gain.jsonl

Runs already in the results are not repeated.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean
from typing import Any

from _runs import FOLDER, Row, markdown, measure, read, spread, train

RESULTS = FOLDER / "hybrid_gain.jsonl"
WITHOUT_Z = None
"""In place of a weight: `supervised-cnn`."""
NAMES = {WITHOUT_Z: "no z (supervised-cnn)", 0.0: "0 (classifier alone)"}
WEIGHTS = (WITHOUT_Z, 0.0, 0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Size:
    """A number of training images of a data set, with what goes with it."""

    dataset: str
    n: int
    """Images, those for validation not counted but at 60,000, where they come off these."""
    flags: dict[str, Any]
    seeds: int
    weights: tuple[float | None, ...]

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Options of every run; a seed's runs lie together, so that pairs are complete early."""
        for seed in range(self.seeds):
            for weight in self.weights:
                model: Row = {"model": "supervised-hdgm", "unsup_weight": weight}
                if weight is WITHOUT_Z:
                    model = {"model": "supervised-cnn"}
                options = {
                    "dataset": self.dataset,
                    "network": "small",
                    **model,
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
    Size("digits", 1213, {"epochs": 100}, 3, WEIGHTS[:4]),
    Size("fashion-mnist", 600, {"n_labeled": 600, "val_size": 600, "epochs": 60}, 5, WEIGHTS),
    Size(
        "fashion-mnist", 6000, {"n_labeled": 6000, "val_size": 1000, "epochs": 20}, 5, WEIGHTS[:4]
    ),
    Size("fashion-mnist", 60000, {"val_size": 1000, "epochs": 3}, 3, WEIGHTS[:3]),
)


def key(job: dict[str, Any]) -> tuple[Any, ...]:
    """What tells one run from another."""
    return job["dataset"], job["n"], job["unsup_weight"], job["seed"]


def run(job: Row) -> Row:
    """A row's figures."""
    return {"summary": train(job["options"])["summary"]}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: error by images and weight, with differences to weight 0 paired by seed."""
    header = [
        *("data", "training images", "unsup_weight", "seeds", "validation error %"),
        *("test error %", "minus the classifier alone, paired", "nll", "log p(x)"),
    ]
    lines = []
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
            lines.append(
                [
                    size.dataset,
                    f"{size.n:,}",
                    NAMES.get(weight) or f"{weight:g}",
                    str(len(pairs)),
                    spread(validation),
                    spread(test),
                    "" if weight == 0 else spread(gains, sign=True),
                    f"{mean(r['test']['nll'] for r in mine):.3f}",
                    f"{mean(r['test']['log_likelihood'] for r in mine):.1f}" if weight else "",
                ]
            )
    return markdown(header, lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the table only")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time [2]")
    arguments = parser.parse_args()
    if not arguments.table:
        done = {key(row) for row in read(RESULTS)}
        wanted = [job for size in SIZES for job in size.jobs() if key(job) not in done]
        measure(RESULTS, wanted, run, arguments.workers)
    print(table(read(RESULTS)))
