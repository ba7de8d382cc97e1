"""Whether the implicit hybrid trains evenly: its curves over five seeds, by the generator's loss.

Digits with 100 labels, as many for validation, `--network small` and its defaults. A seed is both
`--seed` and `--seed_data`. Beside it the small classifier, on labels alone, with about as many
steps, in a quarter of the time. Two players can unsettle each other late, so that what counts is
the second half of training: the worst validation error there, and the terms of the critic's loss,
which have gone to log 2 where it cannot tell data from what is generated, and beyond where it is
wrong.

    python benchmarks/implicit_seeds.py          # 15 runs, two at a time, minutes
    python benchmarks/implicit_seeds.py --table  # from results/implicit_seeds.jsonl

Runs already in the results are not repeated.
"""

import argparse
from statistics import mean
from typing import Any

from _runs import FOLDER, Row, epochs_of, markdown, measure, read, run_folder, spread, summary_of

RESULTS = FOLDER / "implicit_seeds.jsonl"
SEEDS = 5
OPTIONS = {"dataset": "digits", "n_labeled": 100, "val_size": 100, "epochs": 100, "ema": 0.99}
VARIANTS: dict[str, dict[str, Any]] = {
    "feature matching": {"model": "semisup-ali", "generator_loss": "feature-matching"},
    "adversarial": {"model": "semisup-ali", "generator_loss": "adversarial"},
    "labels alone": {"model": "semisup-cnn", "network": "small"},
}


def job(name: str, seed: int) -> Row:
    """What tells a run from others."""
    options = {**OPTIONS, **VARIANTS[name], "keep": "last", "picture_every": 0}
    return {"variant": name, "options": {**options, "seed": seed, "seed_data": seed}}


def run(job: Row) -> Row:
    """A run's summary, and of each epoch the validation error and the terms of the loss."""
    with run_folder(job["options"]) as folder:
        summary, epochs = summary_of(folder), epochs_of(folder)
    names = [n for n in epochs[0] if n.startswith("train_") or n == "val_error"]
    return {
        "summary": summary,
        "curves": {n: [round(float(epoch[n]), 5) for epoch in epochs] for n in names},
    }


def second_half(row: Row, name: str) -> list[float]:
    """What a curve is from half way on; nothing where the run has no such curve."""
    curve = row["curves"].get(name, [])
    return curve[len(curve) // 2 :]


def table(rows: list[Row]) -> str:
    """Markdown: a row for each variant."""
    header = [
        *("variant", "seeds", "epochs", "test error %", "validation error %"),
        *("worst from half way on", "-log D of data, then", "-log(1 - D) of generated, then"),
        "greatest of both, any seed",
    ]
    terms = ("train_nll_data", "train_nll_generated")
    lines = []
    for name in VARIANTS:
        mine = [row for row in rows if row["variant"] == name]
        if not mine:
            continue
        late = [[v for row in mine for v in second_half(row, term)] for term in terms]
        lines.append(
            [
                name,
                str(len(mine)),
                str(mine[0]["options"]["epochs"]),
                spread([100 * row["summary"]["test"]["error"] for row in mine]),
                spread([100 * row["curves"]["val_error"][-1] for row in mine]),
                f"{max(100 * v for row in mine for v in second_half(row, 'val_error')):.1f}",
                *(f"{mean(values):.2f}" if values else "" for values in late),
                f"{max(max(values) for values in late):.2f}" if all(late) else "",
            ]
        )
    return markdown(header, lines)


def main(workers: int) -> list[Row]:
    """Measure what is not yet measured."""
    jobs = [job(name, seed) for seed in range(SEEDS) for name in VARIANTS]
    done = [{"variant": row["variant"], "options": row["options"]} for row in read(RESULTS)]
    measure(RESULTS, [job for job in jobs if job not in done], run, workers)
    return read(RESULTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print what was measured")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time (2)")
    options = parser.parse_args()
    print(table(read(RESULTS) if options.table else main(options.workers)))
