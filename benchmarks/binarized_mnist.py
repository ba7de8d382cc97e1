"""log p(x) of binarised MNIST under a hybrid that was trained for one or for over two hours.

The recipe `mnist-binarized` is trained in a process of its own on one thread, for its own 100
epochs and for 300, with a rate that falls in the second half. Then log p(x) of test images, each
pixel drawn once with its grey level as probability, is estimated by 5,000 importance samples. The
images are the first of a seeded permutation, as the file begins with the easier half of MNIST; all
of them would take hours. The classifier's error is that of all test images, drawn alike.

    python benchmarks/binarized_mnist.py           # under four hours on a core
    python benchmarks/binarized_mnist.py --epochs 100
    python benchmarks/binarized_mnist.py --quick   # to see that it runs; nothing is kept
    python benchmarks/binarized_mnist.py --table   # from results/binarized_mnist.jsonl

The row of 100 epochs is of the last weights, before the recipe kept these itself: its summary is of
the best by the classifier's validation error. Both were measured with MALLOC_TRIM_THRESHOLD_ and
MALLOC_MMAP_THRESHOLD_ set to 4000000000: glibc otherwise gives memory back after each step and asks
for it again.

What is in the results is not measured again, nor is a network in runs/binarized_mnist trained
again. Where the files of MNIST are not downloaded, `DHM_DATA` says where they lie.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _runs import FOLDER, Row, markdown, measure, read, summary_of, trained

RESULTS = FOLDER / "binarized_mnist.jsonl"
RECIPE = "mnist-binarized"
EPOCHS = (100, 300)


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    options: dict[str, int]
    """Of training, in the place of the recipe's and of the job's."""
    n_images: int
    n_samples: int
    n_bound: int
    """Samples of the bound, whose spread is that of the images alone from a few dozens on."""


FULL = Size({}, 2000, 5000, 50)
QUICK = Size({"epochs": 1, "n_labeled": 600, "rampdown": 0}, 10, 50, 5)


def figures(seed: int, epochs: int, size: Size, runs: Path) -> Row:
    """log p(x), the bound and the classifier's error on test images."""
    import torch

    import dhm
    from dhm.inference.likelihood import elbo, log_likelihood
    from dhm.training.reevaluate import data_of_run

    torch.set_num_threads(1)
    length = {"epochs": epochs, "rampdown": epochs // 2, **size.options}
    folder = trained(runs / f"{RECIPE}-{seed}-{epochs}", {"recipe": RECIPE, **length, "seed": seed})
    model = dhm.load_model(folder)
    _, data = data_of_run(folder, model)
    assert data.test is not None
    order = np.random.default_rng(seed).permutation(len(data.test))
    x = data.test.take(order[: size.n_images]).x
    start = time.perf_counter()
    log_px = log_likelihood(model, x, size.n_samples, seed=seed)
    seconds = time.perf_counter() - start
    bound = elbo(model, x, size.n_bound, seed=seed)
    classifier = dhm.evaluate(model, data.test, seed=seed)
    return {
        "n_images": len(x),
        "n_samples": size.n_samples,
        "log_px": log_px.value.mean().item(),
        "log_px_standard_error": standard_error(log_px.value.numpy()),
        "estimates_standard_error": log_px.standard_error.mean().item(),
        "bound": bound.value.mean().item(),
        "bound_standard_error": standard_error(bound.value.numpy()),
        "seconds_of_estimates": round(seconds, 1),
        "error": classifier["error"],
        "nll": classifier["nll"],
        "options": {**dhm.load_recipe(RECIPE).options, **length},
        "summary": summary_of(folder),
    }


def standard_error(values: np.ndarray) -> float:
    """Of the mean over images."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def table(rows: list[Row]) -> str:
    """Markdown: a row for each run."""
    header = ["seed", "epochs", "training", "test images", "log p(x), nats", "bound, nats", "error"]
    lines = [
        [
            str(row["seed"]),
            str(row["options"]["epochs"]),
            f"{row['summary']['wall_seconds'] / 60:.0f} min",
            f"{row['n_images']:,}",
            f"{row['log_px']:.2f} ± {row['log_px_standard_error']:.2f}",
            f"{row['bound']:.2f} ± {row['bound_standard_error']:.2f}",
            f"{row['error']:.2%}",
        ]
        for row in rows
    ]
    return markdown(header, lines)


def main(seeds: list[int], lengths: list[int], runs: Path) -> list[Row]:
    """Measure what is not yet measured."""
    done = {(row["seed"], row["options"]["epochs"]) for row in read(RESULTS)}
    jobs = [
        {"recipe": RECIPE, "seed": seed, "epochs": epochs}
        for seed in seeds
        for epochs in lengths
        if (seed, epochs) not in done
    ]
    measure(RESULTS, jobs, lambda job: figures(job["seed"], job["epochs"], FULL, runs), workers=1)
    return read(RESULTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, nargs="+", default=EPOCHS, metavar="N")
    parser.add_argument("--quick", action="store_true", help="one epoch of few images; not kept")
    parser.add_argument("--table", action="store_true", help="print what was measured")
    parser.add_argument("--runs", type=Path, default=Path("runs/binarized_mnist"))
    options = parser.parse_args()
    if options.table:
        print(table(read(RESULTS)))
    elif options.quick:
        with tempfile.TemporaryDirectory() as folder:
            rows = [
                {"seed": seed, **figures(seed, 1, QUICK, Path(folder))} for seed in options.seeds
            ]
        print(table(rows))
    else:
        print(table(main(options.seeds, options.epochs, options.runs)))
