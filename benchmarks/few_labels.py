"""The recipes for few labels over label splits, beside what a user would reach for today.

A seed is both `--seed` and `--seed_data`: each draws its own labels, validation set, initial
weights and, for digits, test set. The last weights are kept; the recipes were tuned on other
splits, and the validation error is that of as many labels as training has. The test set is read
once, at the end of a run. On the same splits of digits scikit-learn's LabelSpreading is fitted to
the same training images with the same labels hidden, and predicts the same test images.

    python benchmarks/few_labels.py --only digits-50    # 10 runs, two at a time
    python benchmarks/few_labels.py                     # all recipes, hours
    python benchmarks/few_labels.py --control           # also the same networks without consistency
    python benchmarks/few_labels.py --hybrid            # also the recipes with --model semisup-hdgm
    python benchmarks/few_labels.py --table             # the table, from results/few_labels.jsonl

Runs already in the results, with the options the recipe has now, are not repeated. Those of a
recipe as it was before stay in the file under another method's name, and out of the table. Where
the files of MNIST are not downloaded, `DHM_DATA` says where they lie. Seconds of the rows so far
are without label spreading's graphs, which those of runs from now on count.
"""

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import fields
from statistics import mean
from typing import Any

from _runs import FOLDER, Row, markdown, measure, read, spread, train

from dhm.config import TrainConfig
from dhm.consistency.registry import METHODS
from dhm.recipes import load as load_recipe

RESULTS = FOLDER / "few_labels.jsonl"
SPLITS = {
    "digits-20": 10,
    "digits-50": 10,
    "digits-100": 10,
    "mnist-100": 5,
    "mnist-100-long": 5,
    "fashion-100": 5,
    "fashion-1000": 5,
}
RECIPE, HYBRID = "recipe", "recipe, explicit hybrid"
CONTROL, REFEREE = "control", "LabelSpreading"
NEIGHBOURS, ALPHA = 7, 0.2
MINUTES = (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 25)
"""Of the curves of error against time."""


def jobs(recipe: str, methods: tuple[str, ...]) -> Iterator[Row]:
    """Every run for a recipe; a split's runs lie together, so that pairs are complete early."""
    for seed in range(SPLITS[recipe]):
        for method in methods:
            split = {"seed": seed, "seed_data": seed}
            yield {"recipe": recipe, "method": method, "options": options(recipe, method) | split}


def options(recipe: str, method: str) -> dict[str, Any]:
    """What a method is run with, but for the split."""
    whole = {**load_recipe(recipe).options, "picture_every": 0}
    if method == HYBRID:
        return whole | {"model": "semisup-hdgm"}
    if method == CONTROL:
        return without_consistency(whole)
    if method == REFEREE:
        data = {name: whole[name] for name in ("dataset", "n_labeled", "val_size")}
        return {**data, "n_neighbors": NEIGHBOURS, "alpha": ALPHA}
    return whole


def without_consistency(options: dict[str, Any]) -> dict[str, Any]:
    """The same network, steps and augmentation of labelled images, without consistency methods."""
    settings = {f.name for f in fields(TrainConfig) if f.metadata["used_by"]}
    kept = {k: v for k, v in options.items() if k not in settings and k not in METHODS}
    return {"augment": "auto", **kept}


def run(job: Row) -> Row:
    """A row's figures."""
    return label_spreading(job["options"]) if job["method"] == REFEREE else train(job["options"])


def label_spreading(options: dict[str, Any]) -> Row:
    """LabelSpreading on the split that a run with these options has."""
    import sklearn
    from sklearn.semi_supervised import LabelSpreading

    from dhm.data import hide_labels, load, split_validation

    seed = options["seed_data"]
    data = load(options["dataset"], seed_data=seed)
    training, validation = split_validation(data.train, options["val_size"], seed)
    training = hide_labels(training, options["n_labeled"], seed)
    model = LabelSpreading(kernel="knn", n_neighbors=options["n_neighbors"], alpha=options["alpha"])
    # Images whose neighbours lead to no label get no distribution; sklearn takes class 0 for them.
    warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)
    model.fit(training.x.reshape(len(training), -1) / 255, training.y)
    summary = {
        "n_train": len(training),
        "n_labeled": int(training.labeled.sum()),
        "n_validation": 0,
        "versions": {"scikit-learn": sklearn.__version__},
    }
    for name, part in (("validation", validation), ("test", data.test)):
        score = model.score(part.x.reshape(len(part), -1) / 255, part.y)
        summary[name] = {"error": 1 - score}
    return {"summary": summary}


def current(rows: list[Row]) -> list[Row]:
    """The rows of the options that the recipes have now."""
    return [
        row
        for row in rows
        if row["options"].items() >= options(row["recipe"], row["method"]).items()
    ]


def table(rows: list[Row]) -> str:
    """Markdown: error by recipe and method; the ratio to LabelSpreading's is that of the means."""
    rows = current(rows)
    header = [
        *("recipe", "method", "splits", "training labels", "validation labels"),
        *("validation error %", "test error %", "of LabelSpreading's", "log p(x)", "minutes"),
    ]
    lines = []
    for recipe in SPLITS:
        errors: dict[str, dict[int, float]] = {}
        for method in (REFEREE, CONTROL, RECIPE, HYBRID):
            mine = [r for r in rows if (r["recipe"], r["method"]) == (recipe, method)]
            if not mine:
                continue
            summaries = [row["summary"] for row in mine]
            errors[method] = {
                row["options"]["seed_data"]: 100 * row["summary"]["test"]["error"] for row in mine
            }
            densities = [s["test"].get("log_likelihood") for s in summaries]
            minutes = [s["wall_seconds"] / 60 for s in summaries if "wall_seconds" in s]
            lines.append(
                [
                    recipe,
                    method,
                    str(len(mine)),
                    str(summaries[0]["n_labeled"]),
                    str(summaries[0]["n_validation"]),
                    spread([100 * s["validation"]["error"] for s in summaries]),
                    spread(list(errors[method].values())),
                    _ratio(errors[method], errors.get(REFEREE, {})),
                    spread(densities) if all(densities) else "",
                    f"{mean(minutes):.1f}" if minutes else "",
                ]
            )
    return markdown(header, lines)


def curves(rows: list[Row]) -> str:
    """Markdown: the recipes' validation error after so many minutes of training steps."""
    header = ["recipe", *(f"{minutes:g} min" for minutes in MINUTES)]
    lines = []
    for recipe in SPLITS:
        mine = [r["curve"] for r in current(rows) if (r["recipe"], r["method"]) == (recipe, RECIPE)]
        cells = []
        for minutes in MINUTES:
            # Empty where some of the runs ended earlier, or had no whole epoch by then.
            reached = [curve for curve in mine if curve[0][0] <= 60 * minutes <= curve[-1][0]]
            errors = [
                100 * [error for seconds, error in curve if seconds <= 60 * minutes][-1]
                for curve in reached
            ]
            cells.append(spread(errors) if errors and len(errors) == len(mine) else "")
        if mine:
            lines.append([recipe, *cells])
    return markdown(header, lines)


def _ratio(errors: dict[int, float], referee: dict[int, float]) -> str:
    """The mean error as a share of the referee's, over the splits that both have."""
    both = sorted(errors.keys() & referee.keys())
    return f"{mean(errors[s] for s in both) / mean(referee[s] for s in both):.2f}" if both else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", action="append", choices=SPLITS, help="a recipe")
    parser.add_argument("--control", action="store_true", help="run the controls too")
    parser.add_argument("--hybrid", action="store_true", help="run the recipes as hybrids too")
    parser.add_argument("--table", action="store_true", help="print the table only")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time [2]")
    arguments = parser.parse_args()
    if not arguments.table:
        done = [row["options"] for row in read(RESULTS)]
        wanted = []
        for name in arguments.only or SPLITS:
            methods = [RECIPE]
            methods += [HYBRID] * arguments.hybrid + [CONTROL] * arguments.control
            methods += [REFEREE] * name.startswith("digits")
            wanted += [j for j in jobs(name, tuple(methods)) if j["options"] not in done]
        measure(RESULTS, wanted, run, arguments.workers)
    print(table(read(RESULTS)), curves(read(RESULTS)), sep="\n\n")
