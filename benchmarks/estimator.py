"""`HybridClassifier` with its defaults beside what a user of scikit-learn would reach for.

Data are scikit-learn's own: 20,000 rows of 50 generated features, and the sets that come with it.
A quarter is for testing; of the rest, a stratified choice of 50, 500 or 5,000 rows keeps its label,
and the others have none (sets that have too few rows are left out of that number). Supervised
methods see the labelled rows only, semi-supervised ones all of them. A seed is split, labels and
random state; everyone gets standardised features, and none is tuned to a set. But the defaults of
`HybridClassifier` with few labels (its prior, its warm-up, the least number of steps) were chosen
by errors on test parts of these same sets and seeds, so that its rows there are a little too good.

    python benchmarks/estimator.py --only digits    # minutes
    python benchmarks/estimator.py                  # all, hours
    python benchmarks/estimator.py --timing         # seconds of a default fit, on all cores
    python benchmarks/estimator.py --table          # the tables, from results/estimator.jsonl

Measurements already in the results are not repeated.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from statistics import mean
from typing import Any

from _runs import FOLDER, Row, markdown, measure, read, spread

RESULTS = FOLDER / "estimator.jsonl"
SEEDS = 3
LABELS = (50, 500, 5000)
TIMED = {
    "digits, all labels": ("digits", None),
    "digits, 50 labels": ("digits", 50),
    "10,000 of Fashion-MNIST, all labels": ("fashion-mnist", None),
    "10,000 of Fashion-MNIST, 500 labels": ("fashion-mnist", 500),
}
"""Data, and how many of the first 10,000 training images keep their label."""


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def _breast_cancer() -> tuple[Any, Any]:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True)


def _wine() -> tuple[Any, Any]:
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True)


def _generated() -> tuple[Any, Any]:
    from sklearn.datasets import make_classification

    return make_classification(
        20_000,
        50,
        n_informative=15,
        n_redundant=10,
        n_classes=4,
        n_clusters_per_class=2,
        random_state=0,
    )


DATA: dict[str, Callable[[], tuple[Any, Any]]] = {
    "generated": _generated,
    "digits": _digits,
    "breast_cancer": _breast_cancer,
    "wine": _wine,
}
SUPERVISED = ("HistGradientBoosting", "SVC", "ExtraTrees", "HybridClassifier, labelled rows")
SEMISUPERVISED = ("LabelSpreading", "SelfTraining", "HybridClassifier")
OURS = "HybridClassifier as images"
"""Of digits alone: the same pixels with `image_shape`."""


def jobs(name: str) -> Iterator[Row]:
    """Every measurement on a data set; those of a split lie together."""
    n_train = len(DATA[name]()[1]) * 3 // 4
    methods = [*SUPERVISED, *SEMISUPERVISED, *([OURS] if name == "digits" else [])]
    for n_labels in LABELS:
        if n_labels >= n_train:
            continue
        for seed in range(SEEDS):
            for method in methods:
                yield {"data": name, "labels": n_labels, "seed": seed, "method": method}


def _method(name: str, seed: int) -> Any:
    """The estimator of a name, with its defaults."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
    from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
    from sklearn.svm import SVC

    from dhm import HybridClassifier

    if name == "LabelSpreading":
        return LabelSpreading(kernel="knn")  # the rbf kernel needs N x N numbers, and a scale
    if name == "SVC":
        return SVC(random_state=seed)
    if name == "ExtraTrees":
        return ExtraTreesClassifier(random_state=seed)
    boosting = HistGradientBoostingClassifier(random_state=seed)
    if name == "HistGradientBoosting":
        return boosting
    if name == "SelfTraining":
        return SelfTrainingClassifier(boosting)
    return HybridClassifier(image_shape=(8, 8) if name == OURS else None, random_state=seed)


def run(job: Row) -> Row:
    """The test error of one method on one split, with its seconds and the seconds it worked."""
    import numpy as np
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = DATA[job["data"]]()
    seed = job["seed"]
    split = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y)
    x_train, x_test, y_train, y_test = split
    if job["method"] != OURS:  # images are scaled by their range
        scaler = StandardScaler().fit(x_train)
        x_train, x_test = scaler.transform(x_train), scaler.transform(x_test)
    n = job["labels"]
    rows, _ = train_test_split(
        np.arange(len(y_train)), train_size=n, random_state=seed, stratify=y_train
    )
    if job["method"] in SUPERVISED:
        x_fit, y_fit = x_train[rows], y_train[rows]
    else:
        x_fit, y_fit = x_train, np.full(len(y_train), -1)
        y_fit[rows] = y_train[rows]
    method = _method(job["method"], seed)
    clock, work = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        # Rows whose neighbours lead to no label get no distribution from LabelSpreading.
        warnings.simplefilter("ignore", RuntimeWarning)
        method.fit(x_fit, y_fit)
        error = float((method.predict(x_test) != y_test).mean())
    times = time.perf_counter() - clock, time.process_time() - work
    return _row(error, times, len(x_fit), n)


def timing(job: Row) -> Row:
    """Seconds of a fit with the defaults, as a user would run it."""
    import numpy as np

    from dhm import HybridClassifier, load_data

    name, labels = TIMED[job["timing"]]
    data = load_data(name)
    x, y = data.train.x[:10_000], data.train.y[:10_000]
    if name == "digits":  # all 1,797, as a user has them
        x, y = np.concatenate([x, data.test.x]), np.concatenate([y, data.test.y])
    if labels is not None:
        y = np.where(np.arange(len(y)) < labels, y, -1)
    clock, work = time.perf_counter(), time.process_time()
    model = HybridClassifier(random_state=0).fit(x, y)
    times = time.perf_counter() - clock, time.process_time() - work
    row = _row(1 - model.score(data.test.x, data.test.y), times, len(x), labels or len(x))
    row["summary"]["epochs"] = model.n_iter_
    return row


def _row(error: float, times: tuple[float, float], n_train: int, n_labeled: int) -> Row:
    from dhm.training.environment import versions

    summary = {
        "n_train": n_train,
        "n_labeled": n_labeled,
        "wall_seconds": round(times[0], 2),
        "cpu_seconds": round(times[1], 2),
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "versions": versions(),
        "test": {"error": error},
    }
    return {"summary": summary}


def in_process(job: Row) -> Row:
    """The row of a job, measured in a process of its own; one thread, unless it is timed."""
    import json

    threads = {} if "timing" in job else {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    done = subprocess.run(command, check=True, env=os.environ | threads, stdout=subprocess.PIPE)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def table(rows: list[Row]) -> str:
    """Markdown: test error by data, labels and method, and seconds of processor time."""
    header = ["data", "labels", "method", "splits", "test error %", "CPU seconds"]
    lines = []
    for name in DATA:
        for labels in LABELS:
            for method in (*SUPERVISED, *SEMISUPERVISED, OURS):
                job = {"data": name, "labels": labels, "method": method}
                mine = [r["summary"] for r in rows if r.items() >= job.items()]
                if mine:
                    errors = [100 * s["test"]["error"] for s in mine]
                    seconds = mean(s["cpu_seconds"] for s in mine)
                    cells = [name, f"{labels:,}", method, str(len(mine)), spread(errors)]
                    lines.append([*cells, f"{seconds:.1f}"])
    return markdown(header, lines)


def timings(rows: list[Row]) -> str:
    """Markdown: how long a fit with the defaults takes."""
    header = ["fit", "examples", "epochs", "seconds", "CPU seconds", "threads", "test error %"]
    lines = []
    for row in rows:
        if "timing" not in row:
            continue
        s = row["summary"]
        # The digits for testing are among those that were fitted.
        error = "" if row["timing"].startswith("digits") else f"{100 * s['test']['error']:.2f}"
        cells = [row["timing"], f"{s['n_train']:,}", str(s["epochs"]), f"{s['wall_seconds']:.0f}"]
        lines.append([*cells, f"{s['cpu_seconds']:.0f}", str(s["threads"]), error])
    return markdown(header, lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=DATA, help="a data set")
    parser.add_argument("--timing", action="store_true", help="time fits with the defaults instead")
    parser.add_argument("--table", action="store_true", help="print the tables only")
    parser.add_argument("--workers", type=int, default=2, help="measurements at a time [2]")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        import json

        one = json.loads(arguments.job)
        print(json.dumps(timing(one) if "timing" in one else run(one)))
        raise SystemExit
    if not arguments.table:
        done = [{k: v for k, v in row.items() if k != "summary"} for row in read(RESULTS)]
        if arguments.timing:
            wanted = [{"timing": name} for name in TIMED]
        else:
            wanted = [job for name in arguments.only or DATA for job in jobs(name)]
        wanted = [job for job in wanted if job not in done]
        measure(RESULTS, wanted, in_process, 1 if arguments.timing else arguments.workers)
    print(table(read(RESULTS)), timings(read(RESULTS)), sep="\n\n")
