"""Images with parts missing: the hybrid beside a classifier of images filled in beforehand.

Per data set three networks of the same layers and epochs are trained on all labels: the hybrid and
a CNN with parts of their training images hidden (`--hide`), and the CNN on whole images. Test
images then lose pixels at random, a quadrant or a half, each image its own. The hybrid predicts
and fills in what it is given. The CNN of whole images is given them filled in by the training mean
or by scikit-learn's KNNImputer and IterativeImputer. The CNN that has seen holes is a control: how
much of the hybrid's classification comes from hiding alone; it fills nothing in.

The imputers are fitted to 2,000 training images (KNN to whole ones, as donors; the iterative one,
a chain of Bayesian ridge regressions on 20 pixels each, to images with the same kind of holes). All
methods are compared on the same 1,000 test images, for more would take long; on all 10,000 where
a quarter is missing at random, as there they differ by less than 1,000 images can tell.

    python benchmarks/missing_data.py --only mnist   # half an hour on a core
    python benchmarks/missing_data.py                # both data sets
    python benchmarks/missing_data.py --quick        # to see that it runs; nothing is kept
    python benchmarks/missing_data.py --table        # from results/missing_data.jsonl

Rows already in the results are not measured again, nor are networks in runs/missing_data trained
again. Where the files of MNIST are not downloaded, `DHM_DATA` says where they lie.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from _runs import FOLDER, Row, markdown, read, summary_of, trained

RESULTS = FOLDER / "missing_data.jsonl"
DATASETS = ("mnist", "fashion-mnist")
CASES = (
    *(("random", rate) for rate in (0.25, 0.5, 0.75, 0.9)),
    ("quadrant", 0.25),
    ("half", 0.5),
)
"""Patterns of missing pixels, and the share that is missing."""
CLOSE = ("random", 0.25)
HIDE = 0.95
NETWORK = {"network": "strided", "picture_every": 0}
HYBRID = {
    "model": "supervised-hdgm",
    **{"n_latent": 64, "n_hidden": 512, "unsup_weight": 0.03},
}
CNN = {"model": "supervised-cnn"}
NETWORKS: dict[str, dict[str, Any]] = {
    "hybrid": {**HYBRID, **NETWORK, "hide": HIDE},
    "cnn": {**CNN, **NETWORK},
    "cnn-hide": {**CNN, **NETWORK, "hide": HIDE},
}
METHODS = {
    "hybrid": "hybrid",
    "CNN + mean": "cnn",
    "CNN + KNNImputer": "cnn",
    "CNN + IterativeImputer": "cnn",
    "CNN trained with holes": "cnn-hide",
}
"""By name in the tables, the network that predicts."""
NEIGHBOURS, REGRESSORS, DRAWS = 10, 20, 200


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    options: dict[str, Any]
    """Of training."""
    n_fit: int
    """Training images that imputers are fitted to."""
    n_test: int
    """Test images."""
    n_close: int
    """Test images in the case where methods are close."""
    rounds: int
    """Of the iterative imputer."""

    def of_test(self, pattern: str, rate: float) -> int:
        """How many test images a case is measured on."""
        return self.n_close if (pattern, rate) == CLOSE else self.n_test


FULL = Size({"epochs": 25, "val_size": 1000}, 2000, 1000, 10_000, 5)
QUICK = Size({"epochs": 1, "val_size": 100, "n_labeled": 600}, 50, 40, 60, 1)


def jobs(datasets: tuple[str, ...], seed: int) -> Iterator[Row]:
    """Every row to measure."""
    for dataset in datasets:
        for method in METHODS:
            for pattern, rate in CASES:
                key = {"dataset": dataset, "method": method, "pattern": pattern, "rate": rate}
                yield {**key, "seed": seed}


def network_of(name: str, dataset: str, seed: int, size: Size, runs: Path) -> tuple[Any, Row]:
    """A network, trained unless it is there, and the summary of its run.

    The weights of the last epoch: the best by validation are so by whole images.
    """
    from dhm.models.build import load_model

    options = {**NETWORKS[name], **size.options, "dataset": dataset, "seed": seed}
    folder = trained(runs / f"{dataset}-{name}-{seed}", options)
    return load_model(folder / "last.safetensors"), summary_of(folder)


def measure(job: Row, size: Size, runs: Path) -> Row:
    """Error, and where pixels, in [0, 1], are filled in the root mean square error of those."""
    import sklearn

    from dhm.data import load
    from dhm.data.patterns import missing_entries, with_holes
    from dhm.inference.missing import impute, predict_proba

    method, dataset, seed = job["method"], job["dataset"], job["seed"]
    network = METHODS[method]
    model, summary = network_of(network, dataset, seed, size, runs)
    data = load(dataset)
    # Shuffled, as the file begins with the easier half of MNIST.
    order = np.random.default_rng(seed).permutation(len(data.test))
    order = order[: size.of_test(job["pattern"], job["rate"])]
    test = data.test.take(order)
    hidden = missing_entries(job["pattern"], data.shape, len(order), rate=job["rate"], seed=seed)
    x = with_holes(test.x, hidden)
    start = time.perf_counter()
    filled = None
    if method == "hybrid":
        filled = impute(model, x, n_samples=DRAWS, seed=seed).mean.numpy()
        p_y = predict_proba(model, x, n_samples=DRAWS, seed=seed)
    elif network == "cnn-hide":
        p_y = predict_proba(model, x)
    else:
        filled = fill_in(method, x, data.train, job, size)
        p_y = predict_proba(model, filled)
    seconds = time.perf_counter() - start
    wrong = p_y.argmax(1).numpy() != test.y
    error = None if filled is None else np.square((filled - test.x) / 255.0)
    return {
        "n_test": len(order),
        "error": float(wrong.mean()),
        "rmse": None if error is None else float(error[hidden].mean() ** 0.5),
        "seconds": round(seconds, 1),
        "test_error_of_whole_images": summary["test"]["error"],
        "options": {**NETWORKS[network], **size.options},
        "training_seconds": summary["wall_seconds"],
        "parameters": summary["parameters"],
        "versions": {**summary["versions"], "scikit-learn": sklearn.__version__},
        "hardware": summary["hardware"],
    }


def fill_in(method: str, x: Any, train: Any, job: Row, size: Size) -> Any:
    """Images with their holes filled in by an imputer that has seen training images."""
    if method == "CNN + mean":
        return np.where(np.isnan(x), train.x.mean(0, dtype=np.float64), x).astype(np.float32)
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer

    from dhm.data.patterns import missing_entries, with_holes

    few = train.take(np.random.default_rng(job["seed"]).permutation(len(train))[: size.n_fit]).x
    shape = few.shape[1:]
    if method == "CNN + KNNImputer":
        imputer = KNNImputer(n_neighbors=NEIGHBOURS, weights="distance")
        imputer.fit(few.reshape(len(few), -1) / 255.0)
    else:
        holes = missing_entries(
            job["pattern"], shape, len(few), rate=job["rate"], seed=job["seed"] + 1
        )
        imputer = IterativeImputer(
            n_nearest_features=REGRESSORS,
            max_iter=size.rounds,
            min_value=0,
            max_value=1,
            keep_empty_features=True,
            random_state=job["seed"],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged after these rounds
            imputer.fit(with_holes(few, holes).reshape(len(few), -1) / 255.0)
    filled = imputer.transform(x.reshape(len(x), -1) / 255.0)
    return np.where(np.isnan(x), 255 * filled.reshape(x.shape), x).astype(np.float32)


def table(rows: list[Row], figure: str) -> str:
    """Markdown: error or RMSE by data set, method and pattern; means over seeds."""
    header = ["data", "method", *(f"{name} {rate:.0%}" for name, rate in CASES)]
    lines = []
    for dataset in DATASETS:
        for method in METHODS:
            cells = []
            for case in CASES:
                found = [
                    row[figure]
                    for row in rows
                    if (row["dataset"], row["method"]) == (dataset, method)
                    and (row["pattern"], row["rate"]) == case
                ]
                known = [value for value in found if value is not None]
                form = "{:.2%}" if figure == "error" else "{:.4f}"
                cells.append(form.format(mean(known)) if known else "")
            if any(cells):
                lines.append([dataset, method, *cells])
    return markdown(header, lines)


def tables(rows: list[Row]) -> str:
    """Markdown of all figures."""
    return f"Error:\n\n{table(rows, 'error')}\n\nRMSE:\n\n{table(rows, 'rmse')}"


def key(row: Row) -> tuple[Any, ...]:
    """What tells one row from another."""
    return tuple(row[name] for name in ("dataset", "method", "pattern", "rate", "seed"))


def main(datasets: tuple[str, ...], seed: int, quick: bool, runs: Path) -> list[Row]:
    """Measure what is not yet measured; of a quick look nothing is kept."""
    rows = [] if quick else read(RESULTS)
    done = {key(row) for row in rows}
    for job in jobs(datasets, seed):
        if key(job) in done:
            continue
        row = {**job, **measure(job, QUICK if quick else FULL, runs)}
        rows.append(row)
        if not quick:
            RESULTS.parent.mkdir(exist_ok=True)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
        rmse = row["rmse"]
        told = f"error {row['error']:.2%}" + (f" RMSE {rmse:.4f}" if rmse else "")
        print(*key(job), told, f"{row['seconds']} s", flush=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", action="append", choices=DATASETS, help="data")
    parser.add_argument("--seed", type=int, default=0, help="of training and holes [0]")
    parser.add_argument("--quick", action="store_true", help="few images and steps")
    parser.add_argument("--table", action="store_true", help="print the tables only")
    arguments = parser.parse_args()
    if arguments.table:
        found = read(RESULTS)
    else:
        chosen = tuple(arguments.only or DATASETS)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) if arguments.quick else Path("runs", "missing_data")
            found = main(chosen, arguments.seed, arguments.quick, place)
    print(tables(found))
