"""What each part adds with few labels: consistency methods, hybrids, and both.

The control is the network of the recipe without consistency. Every variant differs from it in the
options shown and in nothing else: same splits, seeds, batches, schedule and augmentation of
labelled images. (The implicit hybrid also has its own defaults of what an adversarial game needs:
beta 1 of 0.5, a linear schedule, no clipping and, on digits, a learning rate of 0.003.) Compute
is equal too: how many epochs a variant gets is what fits into the same number of seconds of
training, by a short trial of each before its first run. The learning rate falls over the last half
of these epochs, but 50 at most, so that every run is a finished one.

    python benchmarks/methods.py --only digits-50    # 35 variants, 10 splits, 15 seconds each
    python benchmarks/methods.py --only digits-50 --variants control fixmatch --splits 2
    python benchmarks/methods.py --only mnist-100    # 21 variants, 3 splits, 3 minutes each
    python benchmarks/methods.py --only mnist-100-10min       # 18 of these, 10 minutes each
    python benchmarks/methods.py --table             # the tables, from results/methods.jsonl

Runs already in the results are not repeated, and their number of epochs is kept for further splits.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from _runs import FOLDER, Row, epochs_of, markdown, measure, read, run_folder, spread, train
from few_labels import without_consistency

from dhm.consistency.registry import METHODS
from dhm.recipes import load as load_recipe

RESULTS = FOLDER / "methods.jsonl"
CONTROL = "control"

ALONE: dict[str, dict[str, Any]] = {
    "pi_model": {"pi_model": 10.0, "rampup": 5.0},
    "temporal_ensembling": {"temporal_ensembling": 10.0, "rampup": 5.0},
    "mean_teacher": {"mean_teacher": 10.0, "rampup": 5.0},
    "vat": {"vat": 1.0},
    "entropy": {"entropy": 0.1},
    "information": {"information": 1.0},
    "iic": {"iic": 1.0},
    "fixmatch": {"fixmatch": 1.0},
    "label_spreading": {"label_spreading": 1.0, "spread_every": 5},
    "mixup": {"mixup": 10.0, "rampup": 5.0},
}
"""Each consistency method, at the weight it is usually given (docs/few-labels.md)."""
EXPLICIT: dict[str, Any] = {"model": "semisup-hdgm", "prior": "gaussian"}
HYBRIDS: dict[str, dict[str, Any]] = {
    "explicit hybrid": EXPLICIT,
    "explicit hybrid, prior of classes": EXPLICIT | {"prior": "classes"},
    # The implicit family has no strided network: its control is "control, small network".
    "implicit hybrid": {"model": "semisup-ali", "network": "small"},
}
CHANGES: dict[str, dict[str, Any]] = {
    "": {},
    ", weight 0": {"unsup_weight": 0.0},
    **{f", weight {w}": {"unsup_weight": w} for w in (0.0001, 0.01, 0.1, 1.0)},
    ", prior of classes": {"prior": "classes"},
    ", weight 1.0, prior of classes": {"unsup_weight": 1.0, "prior": "classes"},
    ", warm-up": {"warmup": 10.0},
    ", small network": {"network": "small"},
    ", small network, weight 0.01": {"network": "small", "unsup_weight": 0.01},
}
ATTEMPTS: dict[str, dict[str, Any]] = {
    "explicit hybrid, weight 1.0": EXPLICIT | {"unsup_weight": 1.0},
    **{
        f"explicit hybrid, z coupled{name}": EXPLICIT | {"detach_z": False} | changes
        for name, changes in CHANGES.items()
    },
}
"""To find out what keeps the generative side from helping: whether labels train q(z|x) (z coupled),
its weight, its start, what the prior learns from labels, the layers that it shares with the
classifier (the control of the last two is "control, small network")."""
ATTEMPTS_WITH_BEST = ("explicit hybrid, z coupled", "explicit hybrid, z coupled, weight 1.0")
BEST = "the recipe's"


@dataclass(frozen=True)
class Setting:
    """A recipe whose parts are compared."""

    name: str
    recipe: str
    splits: int
    seconds: float
    """Of training, for every run: steps, and label spreading's graphs."""
    trial: int
    """Epochs of the trial that tells how many fit into these seconds, at least."""
    attempts: bool = False
    """Whether the attempts at better hybrids are made here, too."""
    shorter: "Setting | None" = None
    """The same for fewer seconds: its epochs, in proportion, are the epochs here. So runs may be
    made by another kind of machine, where the seconds of a core mean nothing."""
    only: tuple[str, ...] = ()
    """The variants compared, if not all."""

    def base(self) -> dict[str, Any]:
        """The options of the control; epochs are still to be found."""
        options = without_consistency(dict(load_recipe(self.recipe).options))
        del options["epochs"]
        return {**options, "picture_every": 0, "n_eval_samples": 1}

    def variants(self) -> dict[str, dict[str, Any]]:
        """What each variant has beside the control's options."""
        whole, base = load_recipe(self.recipe).options, self.base()
        best = {k: v for k, v in whole.items() if k not in base and k != "epochs"}
        alone = {
            CONTROL: {},
            "control, small network": {"network": "small"},
            **ALONE,
            BEST: best,
            f"{BEST}, small network": {"network": "small", **best},
            **HYBRIDS,
            "explicit hybrid + latent_vat": EXPLICIT | {"latent_vat": 1.0},
        }
        both = HYBRIDS
        if self.attempts:
            alone |= ATTEMPTS
            both = HYBRIDS | {name: ATTEMPTS[name] for name in ATTEMPTS_WITH_BEST}
        every = alone | {f"{name} + {BEST}": {**options, **best} for name, options in both.items()}
        return {name: changes for name, changes in every.items() if name in (self.only or every)}


DIGITS = Setting("digits-50", "digits-50", splits=10, seconds=15.0, trial=5, attempts=True)
MNIST = Setting("mnist-100", "mnist-100", splits=3, seconds=180.0, trial=1)
LONGER = replace(
    MNIST,
    name="mnist-100-10min",
    seconds=600.0,
    shorter=MNIST,
    only=(CONTROL, *ALONE, BEST, *HYBRIDS, *(f"{name} + {BEST}" for name in HYBRIDS)),
)
SETTINGS = (DIGITS, MNIST, LONGER)


def key(row: Row) -> tuple[str, str]:
    """What runs on different splits have in common."""
    return row["setting"], row["variant"]


def current(rows: list[Row]) -> list[Row]:
    """The rows whose options are those of now, whatever their epochs and split."""
    options = {
        (setting.name, name): {**setting.base(), **changes}
        for setting in SETTINGS
        for name, changes in setting.variants().items()
    }
    free = {"epochs", "seed", "seed_data"}
    return [
        row
        for row in rows
        if {k: v for k, v in row["options"].items() if k not in free} == options.get(key(row))
    ]


def find_epochs(setting: Setting, options: dict[str, Any], shorter: int | None) -> int:
    """How many epochs fit into the setting's seconds, by those of `shorter` or a trial's mean."""
    if setting.shorter is not None and shorter is not None:
        return round(shorter * setting.seconds / setting.shorter.seconds)
    # The first epoch of several warms up. After that comes every graph of label spreading's once.
    trial = max(setting.trial, 1 + options.get("spread_every", 0))
    seconds = seconds_of_epochs({**options, "epochs": trial})
    return max(1, int(setting.seconds / mean(seconds[1:] or seconds)))


def seconds_of_epochs(options: dict[str, Any]) -> list[float]:
    """Seconds of training of each epoch of a run."""
    with run_folder(options) as folder:
        return [float(row["seconds"]) for row in epochs_of(folder)]


def run_missing(
    settings: list[Setting], names: list[str], splits: int | None, workers: int
) -> None:
    """Find the epochs of variants that have no run yet, then run what is missing."""
    rows = current(read(RESULTS))
    done = {(*key(row), row["options"]["seed"]) for row in rows}
    epochs = {key(row): row["options"]["epochs"] for row in rows}
    wanted: list[tuple[Setting, str, dict[str, Any], int]] = [
        (setting, name, {**setting.base(), **changes}, seed)
        for setting in settings
        for seed in range(splits or setting.splits)
        for name, changes in setting.variants().items()
        if (not names or name in names) and (setting.name, name, seed) not in done
    ]
    new = {
        (s.name, name): (s, options, s.shorter and epochs.get((s.shorter.name, name)))
        for s, name, options, _ in wanted
        if (s.name, name) not in epochs
    }
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda what: find_epochs(*what), new.values())
        epochs |= dict(zip(new, found, strict=True))
    jobs = [
        {
            "setting": setting.name,
            "variant": name,
            "options": {
                **options,
                "epochs": epochs[setting.name, name],
                "seed": seed,
                "seed_data": seed,
            },
        }
        for setting, name, options, seed in wanted
    ]
    measure(RESULTS, jobs, lambda job: train(job["options"]), workers)


def table(rows: list[Row]) -> str:
    """Markdown, one table a setting, with differences to the control paired by split."""
    rows = current(rows)
    header = [
        *("variant", "beside the control's options", "splits", "epochs", "seconds"),
        *("validation error %", "test error %", "minus the control, paired", "log p(x)"),
    ]
    tables = []
    for setting in SETTINGS:
        lines = []
        errors: dict[str, dict[int, float]] = {}
        for name, changes in setting.variants().items():
            mine = [row for row in rows if key(row) == (setting.name, name)]
            if not mine:
                continue
            errors[name] = {
                row["options"]["seed"]: 100 * row["summary"]["test"]["error"] for row in mine
            }
            both = sorted(errors[name].keys() & errors.get(CONTROL, {}).keys())
            gains = [errors[name][s] - errors[CONTROL][s] for s in both]
            log_px = [row["summary"]["test"]["log_likelihood"] for row in mine]
            lines.append(
                [
                    name,
                    ", ".join(f"`{k} {v}`" for k, v in changes.items()),
                    str(len(mine)),
                    str(mine[0]["options"]["epochs"]),
                    f"{mean(row['curve'][-1][0] for row in mine):.0f}",
                    spread([100 * row["summary"]["validation"]["error"] for row in mine]),
                    spread(list(errors[name].values())),
                    spread(gains, sign=True) if gains and name != CONTROL else "",
                    spread(log_px) if None not in log_px else "",
                ]
            )
        if lines:
            tables.append(f"**{setting.name}**\n\n{markdown(header, lines)}")
    return "\n\n".join(tables) or markdown(header, [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [setting.name for setting in SETTINGS]
    parser.add_argument("--only", metavar="NAME", action="append", choices=names, help="a setting")
    parser.add_argument("--variants", nargs="+", metavar="NAME", default=[], help="only these")
    parser.add_argument("--splits", type=int, metavar="N", help="label splits [10, MNIST 3]")
    parser.add_argument("--table", action="store_true", help="print the tables only")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time [2]")
    arguments = parser.parse_args()
    assert ALONE.keys() <= METHODS.keys()
    if not arguments.table:
        chosen = [s for s in SETTINGS if s.name in (arguments.only or names)]
        run_missing(chosen, arguments.variants, arguments.splits, arguments.workers)
    print(table(read(RESULTS)))
