"""How well each score of novelty tells what a hybrid was not trained on from new data of its kind.

Far: a hybrid of MNIST is shown Fashion-MNIST, and the other way round, and both are shown uniform
noise, constant images and inverted ones. Near: a hybrid of eight of a data set's ten classes, of
20,000 images, is shown the other two; five pairs make every class new once. AUROC is the chance
that something new scores above something known, FPR95 the share of the known that is flagged where
95 % of the new is. Detectors are fitted to the training and validation examples of their run; what
is known is test images. Scores and combination were chosen on digits, with pairs of classes left
out; nothing was chosen by what is measured here.

    python benchmarks/novelty.py                          # 17 runs, one at a time, an hour or two
    python benchmarks/novelty.py --only mnist-far         # one of them
    python benchmarks/novelty.py --quick                  # two short runs of digits, not kept
    python benchmarks/novelty.py --table                  # the tables, from results/novelty.jsonl

Runs already in the results, with the options they have now, are not repeated. Where the files of
MNIST are not downloaded, `DHM_DATA` says where they lie.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import numpy as np
from _runs import FOLDER, Row, markdown, measure, read, run_folder
from numpy.typing import NDArray

RESULTS = FOLDER / "novelty.jsonl"
PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
SEED = 0
HYBRID = {
    "model": "supervised-hdgm",
    "network": "small",
    "unsup_weight": 0.01,
    "seed": SEED,
    "seed_data": SEED,
    "n_eval_samples": 20,
    "picture_every": 0,
}
PLAIN = ("noise", "constant", "inverted")
N_SHOWN = 5000
"""Images of a kind that are scored at most."""


@dataclass(frozen=True)
class Experiment:
    """A training run and what it is shown."""

    dataset: str
    options: dict[str, Any]
    other: str | None = None
    """The data set whose test images are new."""
    pair: tuple[int, int] | None = None
    """The classes that are left out of training, and new."""
    n_train: int | None = None
    """Images of the other classes, with those for validation."""

    def job(self, name: str) -> Row:
        """What tells this run from others."""
        return {"experiment": name, "options": {**HYBRID, **self.options}}


FAR = {"epochs": 7, "val_size": 4000}
NEAR = {"epochs": 6, "val_size": 2000}
DATA = {"mnist": "fashion-mnist", "fashion-mnist": "mnist"}
EXPERIMENTS = {
    **{f"{a}-far": Experiment(a, {"dataset": a, **FAR}, other=b) for a, b in DATA.items()},
    **{
        f"{data}-near-{a}{b}": Experiment(data, NEAR, pair=(a, b), n_train=20_000)
        for data in DATA
        for a, b in PAIRS
    },
    # What the combination was chosen on.
    **{
        f"digits-near-{a}{b}": Experiment("digits", {"epochs": 60, "val_size": 250}, pair=(a, b))
        for a, b in PAIRS
    },
}
QUICK = {
    "quick-far": Experiment("digits", {"dataset": "digits", "epochs": 2, "val_size": 200}),
    "quick-near-01": Experiment("digits", {"epochs": 2, "val_size": 200}, pair=(0, 1)),
}


def run(job: Row) -> Row:
    """A row's figures: train, fit the run's detector, score."""
    import torch

    from dhm.data import load
    from dhm.inference.novelty import FILE
    from dhm.models.build import load_model
    from dhm.training.novelty import run_detector

    torch.set_num_threads(1)
    experiment = (EXPERIMENTS | QUICK)[job["experiment"]]
    data = load(experiment.dataset)
    known, new = data.test.x, {}
    with tempfile.TemporaryDirectory() as folder:
        options = dict(job["options"])
        if experiment.pair:
            known, new[str(experiment.pair)] = _leave_out(experiment, data, Path(folder))
            options["dataset"] = str(Path(folder, "known.npz"))
        else:
            new = dict(zip(PLAIN, _plain(known), strict=True))
        if experiment.other:
            new[experiment.other] = load(experiment.other).test.x
        with run_folder(options) as path:
            # The data of a near run lie in a passing folder, whose name says nothing.
            read_back = json.loads((path / "summary.json").read_text())
            summary = {**read_back, "dataset": experiment.dataset}
            model = load_model(path)
            start = perf_counter()
            detector = run_detector(path, model)
            fitted = perf_counter()
            size = (path / FILE).stat().st_size
    of_known = _scores(detector, known)
    scored = perf_counter()
    figures: dict[str, dict[str, Any]] = {"auroc": {}, "fpr95": {}}
    for name, x in new.items():
        of_new = _scores(detector, x)
        for kind in detector.kinds:
            pair = of_known[kind], of_new[kind]
            figures["auroc"].setdefault(name, {})[kind] = round(auroc(*pair), 5)
            figures["fpr95"].setdefault(name, {})[kind] = round(fpr95(*pair), 5)
    alarms = (detector.p_value_of(torch.from_numpy(of_known["combination"])) <= 0.05).float().mean()
    return {
        "summary": summary,
        **figures,
        "false_alarms_at_0.05": round(alarms.item(), 5),
        "fit_seconds": round(fitted - start, 2),
        "score_seconds_per_1000": round(1000 * (scored - fitted) / len(of_known["combination"]), 2),
        "file_bytes": size,
    }


def _leave_out(experiment: Experiment, data: Any, folder: Path) -> tuple[Any, Any]:
    """Test images of the known classes and of the new ones; the data of the former is written."""
    assert experiment.pair is not None
    (x, y), (x_test, y_test) = ((part.x, part.y) for part in (data.train, data.test))
    rng = np.random.default_rng(SEED)
    rows = rng.permutation(np.flatnonzero(~np.isin(y, experiment.pair)))[: experiment.n_train]
    new = np.isin(y_test, experiment.pair)
    known = {"x_test": x_test[~new], "y_test": y_test[~new]}
    np.savez(folder / "known.npz", x_train=x[rows], y_train=y[rows], **known)
    return x_test[~new], x_test[new]


def _plain(known: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Uniform noise, an image of every constant grey, and inverted images."""
    shape = known.shape[1:]
    yield np.random.default_rng(SEED).integers(0, 256, (2000, *shape)).astype(np.uint8)
    yield np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None, None], (256, *shape)).copy()
    yield 255 - known


def _scores(detector: Any, x: Any) -> dict[str, NDArray[np.float32]]:
    """Every score of images by kind, of a choice of them where they are many."""
    rows = np.random.default_rng(SEED).permutation(len(x))[:N_SHOWN]
    found = detector.scores(x[np.sort(rows)])
    return {kind: scores.numpy() for kind, scores in found.items()}


def auroc(known: NDArray[np.float32], new: NDArray[np.float32]) -> float:
    """The chance that something new scores above something known; ties count half."""
    from sklearn.metrics import roc_auc_score

    scores = np.nan_to_num(np.concatenate([known, new]), posinf=float(np.finfo(np.float32).max))
    return float(roc_auc_score(np.arange(len(scores)) >= len(known), scores))


def fpr95(known: NDArray[np.float32], new: NDArray[np.float32]) -> float:
    """The share of the known that is flagged where 95 % of the new is."""
    return float((known >= np.quantile(new, 0.05, method="lower")).mean())


def far_table(rows: list[Row]) -> str:
    """Markdown: every score by what is new."""
    shown = {
        (row["experiment"].removesuffix("-far"), new): row
        for row in rows
        if row["experiment"].endswith("-far")
        for new in sorted(row["auroc"], key=lambda name: name in PLAIN)
    }
    return _table(
        [f"{known}: {new}" for known, new in shown],
        [(row["auroc"][new], row["fpr95"][new]) for (_, new), row in shown.items()],
    )


def near_table(rows: list[Row]) -> str:
    """Markdown: every score by the classes left out, and the mean over a data set's pairs."""
    names, columns = [], []
    near = [row for row in rows if "-near-" in row["experiment"]]
    for data in dict.fromkeys(row["experiment"].partition("-near-")[0] for row in near):
        found = []
        for row in near:
            if row["experiment"].startswith(f"{data}-near-"):
                (auroc,), (fpr95,) = row["auroc"].values(), row["fpr95"].values()
                found.append((auroc, fpr95))
                names.append(f"{data}: {' and '.join(row['experiment'][-2:])}")
        columns += found
        if len(found) > 1:
            names.append(f"{data}: mean of {len(found)}")
            columns.append(
                (_means([auroc for auroc, _ in found]), _means([fpr95 for _, fpr95 in found]))
            )
    return _table(names, columns)


def _means(figures: list[dict[str, float]]) -> dict[str, float]:
    return {kind: mean(each[kind] for each in figures) for kind in figures[0]}


def _table(names: list[str], columns: list[tuple[dict[str, float], dict[str, float]]]) -> str:
    """AUROC with FPR95 behind it, both in %, by score and column."""
    if not columns:
        return "Not measured yet."
    kinds = list(columns[0][0])
    return markdown(
        ["AUROC (FPR95), %", *names],
        [
            [kind, *(f"{100 * auroc[kind]:.1f} ({100 * fpr[kind]:.0f})" for auroc, fpr in columns)]
            for kind in kinds
        ],
    )


def cost_table(rows: list[Row]) -> str:
    """Markdown: time and false alarms of every run."""
    header = [
        *("run", "test error %", "log p(x)", "minutes of training", "seconds to fit"),
        *("seconds for 1,000 images, all scores", "false alarms % at 5 %", "file, MB"),
    ]
    return markdown(
        header,
        [
            [
                row["experiment"],
                f"{100 * row['summary']['test']['error']:.2f}",
                f"{row['summary']['test']['log_likelihood']:.1f}",
                f"{row['summary']['wall_seconds'] / 60:.1f}",
                f"{row['fit_seconds']:.0f}",
                f"{row['score_seconds_per_1000']:.1f}",
                f"{100 * row['false_alarms_at_0.05']:.1f}",
                f"{row['file_bytes'] / 1e6:.1f}",
            ]
            for row in rows
        ],
    )


def tables(rows: list[Row]) -> str:
    """All of them."""
    return "\n\n".join([far_table(rows), near_table(rows), cost_table(rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=EXPERIMENTS, help="an experiment"
    )
    parser.add_argument("--quick", action="store_true", help="digits; nothing is kept")
    parser.add_argument("--table", action="store_true", help="print the tables only")
    arguments = parser.parse_args()
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder, "novelty.jsonl")
            measure(results, [e.job(name) for name, e in QUICK.items()], run, workers=1)
            print(tables(read(results)))
    else:
        if not arguments.table:
            done = [(row["experiment"], row["options"]) for row in read(RESULTS)]
            wanted = [EXPERIMENTS[name].job(name) for name in arguments.only or EXPERIMENTS]
            wanted = [j for j in wanted if (j["experiment"], j["options"]) not in done]
            measure(RESULTS, wanted, run, workers=1)
        print(tables(read(RESULTS)))
