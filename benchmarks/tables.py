"""Makes docs/results.md: every benchmark's table, from the results that lie beside the scripts.

    python benchmarks/tables.py

No number on that page is typed. Results that do not exist yet have no section.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import binarized_mnist
import few_labels
import first_runs
import hybrid_gain
import implicit_seeds
import implicit_step
import methods
import missing_data
import novelty
import predictions
import step_overhead
from _runs import FOLDER, Row, read

import estimator

PRECISIONS = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
INTRODUCTION = """# Results

What the scripts in [`benchmarks/`](../benchmarks) measured, made from their raw results by `python
benchmarks/tables.py`: no number on this page is typed. Errors are means and standard deviations
over seeds; each seed has its own labels, validation set and initial weights. Weights are the last,
or chosen on validation examples; test examples are read once, at the end of a run. What is not here
has not been measured.
"""


@dataclass(frozen=True)
class Section:
    """A table on the page."""

    title: str
    script: str
    results: str
    about: str
    tables: tuple[Callable[[list[Row]], str], ...]

    def rows(self) -> list[Row]:
        """What was measured."""
        path = FOLDER / self.results
        if path.suffix == ".json":
            return json.loads(path.read_text()) if path.exists() else []
        return read(path)

    def text(self) -> str:
        """The section, with where its numbers are from."""
        rows = self.rows()
        return "\n\n".join(
            [
                f"## {self.title}",
                self.about,
                *(table(rows) for table in self.tables),
                f"[`{self.script}`](../benchmarks/{self.script}), "
                f"[`{self.results}`](../benchmarks/results/{self.results}): {provenance(rows)}",
            ]
        )


SECTIONS = (
    Section(
        "Few labels",
        "few_labels.py",
        "few_labels.jsonl",
        "The [recipes](few-labels.md#recipes) and scikit-learn's LabelSpreading on the same splits "
        "of digits; the same networks without consistency are in the next table. (It takes class 0 "
        "for images whose neighbours lead to no label, which counts against it where labels are "
        "fewest.) The second table is the validation error of the recipes after so many minutes of "
        "training steps. Minutes here are without label spreading's graphs, which training did not "
        "count when these runs were made; `dhm recipes` says how long whole runs take.",
        (few_labels.table, few_labels.curves),
    ),
    Section(
        "What each part adds with few labels",
        "methods.py",
        "methods.jsonl",
        "Every variant differs from the control in the options shown (the implicit hybrid also in "
        "its defaults of Adam's rate and beta 1, schedule and clipping) and gets as many epochs as "
        "fit into the same seconds of training of one core: 15 for digits-50, 180 for mnist-100, "
        "600 for mnist-100-10min, which has 10/3 the epochs of mnist-100. (The seconds shown are "
        "of the runs, some by a faster machine than the one that found the epochs.) log p(x) is "
        "the bound of one sample, in nats. "
        "Variants of different numbers of splits do not compare: the splits differ, and so do the "
        "differences to the control.",
        (methods.table,),
    ),
    Section(
        "The implicit hybrid over five seeds",
        "implicit_seeds.py",
        "implicit_seeds.jsonl",
        "Digits with 100 labels, the small network with its defaults, by the generator's loss. The "
        "classifier on labels alone takes about as many steps (1,000 and not 1,300), in a quarter "
        "of the time. The critic's terms are nats; both are log 2 = 0.69 where it cannot tell data "
        "from what is generated.",
        (implicit_seeds.table,),
    ),
    Section(
        "What joint training adds with all labels",
        "hybrid_gain.py",
        "hybrid_gain.jsonl",
        "The hybrid by the weight of its generative term; at weight 0 it is the classifier alone, "
        "which keeps its way through z. `supervised-cnn` has the same trunk and no z.",
        (hybrid_gain.table,),
    ),
    Section(
        "Images with parts missing",
        "missing_data.py",
        "missing_data.jsonl",
        "Networks of the same layers and epochs, trained on all labels. The hybrid has seen "
        "training images with holes, and so has the CNN trained with holes; the CNN of the other "
        "rows gets images filled in by an imputer. 1,000 test images; all 10,000 where a quarter "
        "is missing at random. RMSE is that of missing pixels in [0, 1].",
        (missing_data.tables,),
    ),
    Section(
        "log p(x) of binarised MNIST",
        "binarized_mnist.py",
        "binarized_mnist.jsonl",
        "The recipe `mnist-binarized`, a hybrid with all labels. Pixels of test images are drawn "
        "once, white with their grey level as probability; log p(x) is the mean of estimates by "
        "5,000 importance samples each, ± the standard error of the mean over images. The error is "
        "the classifier's on all test images.",
        (binarized_mnist.table,),
    ),
    Section(
        "Novelty",
        "novelty.py",
        "novelty.jsonl",
        "Hybrids are shown what they were not trained on; higher AUROC is better, and lower FPR95, "
        "the share of known images flagged where 95 % of the new ones are. [Novelty](novelty.md) "
        "describes the scores. Far novelty first, then classes left out of training, then what it "
        "took. The scores of the combination were chosen on digits.",
        (novelty.far_table, novelty.near_table, novelty.cost_table),
    ),
    Section(
        "Time and memory of predictions",
        "predictions.py",
        "predictions.jsonl",
        "`dhm predict` on one thread, each time in a process of its own, with Python and PyTorch "
        "in its memory: a hybrid of MNIST says everything of test images, with log p(x) from 100 "
        "samples and the combination of seven scores of novelty, and a hybrid of 50 features says "
        "label and probabilities. The machine had other work as well, so the processor's seconds "
        "say more than those that passed.",
        (predictions.table,),
    ),
    Section(
        "The estimator with its defaults",
        "estimator.py",
        "estimator.jsonl",
        "`HybridClassifier` beside what scikit-learn offers, all with their defaults (but "
        "LabelSpreading, whose graph is of nearest neighbours: the other one is too large), on the "
        "same splits and labels. The defaults of `HybridClassifier` with few labels were chosen on "
        "test parts of these same sets and seeds, so that its rows there are a little too good. "
        "The second table is the time of a default fit.",
        (estimator.table, estimator.timings),
    ),
    Section(
        "First runs",
        "first_runs.py",
        "first_runs.json",
        "`dhm train` with its defaults.",
        (first_runs.table,),
    ),
    Section(
        "A step of the paper's implicit networks",
        "implicit_step.py",
        "implicit_step.json",
        "Both players' turns, beside a product of two large float32 matrices in the same process.",
        (implicit_step.table,),
    ),
    Section(
        "The loop's share of a step",
        "step_overhead.py",
        "step_overhead.json",
        "Seconds a training step of the paper's network takes in the loop, and bare: forward, "
        "backward and Adam on a batch in memory.",
        (step_overhead.table,),
    ),
    Section(
        "The loop's share of a step, coarse",
        "step_overhead.py",
        "step_overhead_coarse.json",
        "An earlier run of the same script, with fewer rounds.",
        (step_overhead.table,),
    ),
)


def page() -> str:
    """The whole page."""
    sections = [section.text() for section in SECTIONS if section.rows()]
    return "\n\n".join([INTRODUCTION.rstrip(), *sections]) + "\n"


def provenance(rows: list[Row]) -> str:
    """Runs, seeds, time, versions and machines of rows."""
    summaries = [row.get("summary", row) for row in rows]
    facts = [f"{len(rows)} measurements"]
    seeds = sorted({summary["seed"] for summary in summaries if "seed" in summary})
    if seeds:
        facts.append(f"seeds {seeds[0]} to {seeds[-1]}")
    hours = sum(summary.get("wall_seconds", 0) for summary in summaries) / 3600
    if hours:
        facts.append(f"{hours:.1f} hours of runs")
    machines = distinct(summary["hardware"] for summary in summaries if "hardware" in summary)
    facts += [
        f"{machine['name']} ({machine['device']}), {machine['threads']} of {machine['cores']} "
        f"cores, {PRECISIONS[machine['precision']]}"
        for machine in machines
    ]
    versions = distinct(summary["versions"] for summary in summaries if "hardware" in summary)
    facts += [", ".join(f"{name} {version}" for name, version in v.items()) for v in versions]
    return "; ".join(facts) + "."


def distinct(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each value once, in the order they come."""
    found: list[dict[str, Any]] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    PAGE.write_text(page(), encoding="utf-8")
