"""The page of results is what its script makes of the results, and the tables add up."""

import importlib
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts find each other as they do when they are run."""
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not part of this copy")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


def cells(table: str) -> list[list[str]]:
    lines = table.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_is_made_from_the_results() -> None:
    tables = script("tables")
    assert tables.PAGE.read_text(encoding="utf-8") == tables.page(), (
        "run python benchmarks/tables.py"
    )
    for section in tables.SECTIONS:
        assert (f"## {section.title}\n" in tables.page()) == (
            tables.FOLDER / section.results
        ).exists()


def row(few: ModuleType, method: str, seed: int, error: float, **others: Any) -> dict[str, Any]:
    options = few.options("digits-50", method) | {"seed": seed, "seed_data": seed}
    summary = {"n_labeled": 50, "n_validation": 50, "wall_seconds": 120.0}
    summary |= {"validation": {"error": 0.02}, "test": {"error": error}}
    return {
        "recipe": "digits-50",
        "method": method,
        "options": options,
        "summary": summary,
        **others,
    }


def test_few_labels_compares_on_common_splits() -> None:
    few = script("few_labels")
    rows = [
        *(row(few, few.RECIPE, seed, error) for seed, error in enumerate((0.02, 0.04))),
        *(row(few, few.REFEREE, seed, error) for seed, error in enumerate((0.05, 0.07, 0.9))),
    ]
    referee, recipe = cells(few.table(rows))
    assert recipe == [
        "digits-50",
        "recipe",
        "2",
        "50",
        "50",
        "2.00 ± 0.00",
        "3.00 ± 1.41",
        "0.50",
        "",
        "2.0",
    ]
    assert referee[1:3] == ["LabelSpreading", "3"] and referee[7] == "1.00"


def test_the_hybrid_of_a_recipe_is_the_recipe_with_another_model() -> None:
    few = script("few_labels")
    recipe, hybrid = few.options("digits-50", few.RECIPE), few.options("digits-50", few.HYBRID)
    assert hybrid == recipe | {"model": "semisup-hdgm"} != recipe
    measured = row(few, few.HYBRID, 0, 0.02)
    measured["summary"]["test"]["log_likelihood"] = -27.0
    (cells_of_it,) = cells(few.table([measured]))
    assert cells_of_it[1] == few.HYBRID and cells_of_it[8] == "-27.00"


def test_few_labels_leaves_out_what_was_run_with_other_options() -> None:
    few = script("few_labels")
    old = row(few, few.RECIPE, 0, 0.5)
    old["options"]["epochs"] += 1
    assert few.current([old]) == []
    assert len(few.current([old, row(few, few.RECIPE, 0, 0.1)])) == 1


def test_few_labels_curves() -> None:
    few = script("few_labels")
    curves = [[[15.0, 0.2], [30.0, 0.1], [61.0, 0.05]], [[10.0, 0.4], [29.0, 0.3], [61.0, 0.07]]]
    rows = [row(few, few.RECIPE, seed, 0.1, curve=curve) for seed, curve in enumerate(curves)]
    ((name, *errors),) = cells(few.curves(rows))
    assert name == "digits-50"
    assert errors[:5] == ["", "30.00 ± 14.14", "20.00 ± 14.14", "20.00 ± 14.14", ""]


def test_label_spreading_has_the_split_of_the_run() -> None:
    few = script("few_labels")
    (job, *_) = few.jobs("digits-50", (few.REFEREE,))
    summary = few.run(job)["summary"]
    # 1348 training images, of which 50 are the run's validation set.
    assert (summary["n_train"], summary["n_labeled"]) == (1298, 50)
    assert 0.01 < summary["test"]["error"] < 0.2


def test_the_control_lacks_consistency_only() -> None:
    from dhm.config import parse_config
    from dhm.recipes import load

    few = script("few_labels")
    control = parse_config(few.options("digits-50", few.CONTROL))
    recipe = load("digits-50").config(picture_every=0)
    assert recipe.methods() and not control.methods()
    differences = {
        name
        for name, value in vars(recipe.for_model()).items()
        if value != getattr(control.for_model(), name)
    }
    settings = {"threshold", "class_prior", "rampup", "spread_every"}
    assert differences - settings == set(recipe.methods())


def test_methods_differ_from_the_control_by_what_is_shown() -> None:
    from dhm.config import parse_config

    methods = script("methods")
    for setting in methods.SETTINGS:
        variants = setting.variants()
        assert variants[methods.CONTROL] == {} != variants[methods.BEST]
        for changes in variants.values():
            parse_config({**setting.base(), **changes}).for_model()


def test_methods_pairs_by_split() -> None:
    methods = script("methods")
    setting = methods.SETTINGS[0]

    def measured(
        variant: str, seed: int, error: float, log_px: float | None = None
    ) -> dict[str, Any]:
        options = {**setting.base(), **setting.variants()[variant], "epochs": 7}
        options |= {"seed": seed, "seed_data": seed}
        test = {"error": error, "log_likelihood": log_px}
        summary = {"validation": {"error": 0.0}, "test": test}
        curve = [[20.0, 0.5], [40.0, 0.0]]
        row = {"setting": setting.name, "variant": variant, "options": options}
        return {**row, "summary": summary, "curve": curve}

    rows = [measured("control", 0, 0.1), measured("control", 1, 0.2), measured("control", 2, 0.9)]
    rows += [measured("iic", 0, 0.08), measured("iic", 1, 0.16)]
    rows += [measured("explicit hybrid", 0, 0.1, -20.0), measured("explicit hybrid", 1, 0.2, -22.0)]
    text = methods.table(rows)
    assert text.startswith("**digits-50**\n\n")
    control, iic, hybrid = cells(text.partition("\n\n")[2])
    assert control[2:5] == ["3", "7", "40"] and control[7] == ""
    assert iic[:3] == ["iic", "`iic 1.0`", "2"]
    assert iic[6:] == ["12.00 ± 5.66", "-3.00 ± 1.41", ""]
    assert hybrid[6:] == ["15.00 ± 7.07", "+0.00 ± 0.00", "-21.00 ± 1.41"]


def test_rows_are_kept_as_runs_end_and_an_error_stops_the_rest(tmp_path: Path) -> None:
    runs = script("_runs")

    def run(job: dict[str, Any]) -> dict[str, Any]:
        if job["seed"] == 1:
            raise RuntimeError("run 1 failed")
        return {"summary": {"test": {"error": 0.25}}}

    results = tmp_path / "results" / "some.jsonl"
    with pytest.raises(RuntimeError, match="run 1 failed"):
        runs.measure(results, [{"seed": seed} for seed in range(3)], run, workers=1)
    # The third may have begun before the second's error was seen; then its row is kept too.
    assert [row["seed"] for row in runs.read(results)] in ([0], [0, 2])


def test_novelty_measures() -> None:
    novelty = script("novelty")
    known, new = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 4.0, np.inf])
    assert novelty.auroc(known, new) == pytest.approx((2.5 + 4 + 4) / 12)
    assert novelty.fpr95(known, new) == 0.5, "2 and 3, where all of the new is flagged"


def test_novelty_tables() -> None:
    novelty = script("novelty")

    def measured(name: str, **new: float) -> dict[str, Any]:
        figures = {what: {"combination": value} for what, value in new.items()}
        return {"experiment": name, "auroc": figures, "fpr95": figures}

    far = [measured("mnist-far", noise=0.5, mnist=0.25)]
    text = novelty.far_table(far)
    assert "| mnist: mnist | mnist: noise |" in text, "plain anomalies come last"
    assert cells(text) == [["combination", "25.0 (25)", "50.0 (50)"]]
    near = [measured("mnist-near-01", new=0.5), measured("mnist-near-23", new=1.0)]
    text = novelty.near_table(near + far)
    assert "| mnist: 0 and 1 | mnist: 2 and 3 | mnist: mean of 2 |" in text
    assert cells(text) == [["combination", "50.0 (50)", "100.0 (100)", "75.0 (75)"]]


def test_every_class_is_left_out_once() -> None:
    from dhm.config import parse_config

    novelty = script("novelty")
    assert sorted(c for pair in novelty.PAIRS for c in pair) == list(range(10))
    for name, experiment in (novelty.EXPERIMENTS | novelty.QUICK).items():
        parse_config(experiment.job(name)["options"]).for_model()


def test_predictions_are_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    predictions = script("predictions")
    predictions._write_table(tmp_path / "x.npy", 20_003)
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (20_003, predictions.N_FEATURES) and x.dtype == np.float32
    assert abs(x.mean()) < 0.01 and len(np.unique(x[:, 0])) > 20_000, "no block comes twice"
    used = predictions._dhm("--help")
    assert used["processor_seconds"] > 0 and 5e6 < used["peak_bytes"] < 5e8
    with pytest.raises(subprocess.CalledProcessError):
        predictions._dhm("predict", tmp_path)


def test_implicit_seeds_table() -> None:
    from dhm.config import parse_config

    seeds = script("implicit_seeds")
    for name in seeds.VARIANTS:
        parse_config(seeds.job(name, 0)["options"]).for_model()
    rows = [
        {
            **seeds.job("adversarial", seed),
            "summary": {"test": {"error": error}},
            "curves": {
                "val_error": [0.9, 0.8, error, 0.02],
                "train_nll_data": [9.0, 9.0, 0.5, 0.7],
                "train_nll_generated": [9.0, 9.0, 0.3, 1.2],
            },
        }
        for seed, error in enumerate((0.04, 0.06))
    ]
    rows.append(
        {
            **seeds.job("labels alone", 0),
            "summary": {"test": {"error": 0.1}},
            "curves": {"val_error": [0.9, 0.2]},
        }
    )
    assert cells(seeds.table(rows)) == [
        ["adversarial", "2", "100", "5.00 ± 1.41", "2.00 ± 0.00", "6.0", "0.60", "0.75", "1.20"],
        ["labels alone", "1", "100", "10.00", "20.00", "20.0", "", "", ""],
    ]


def test_predictions_table() -> None:
    from dhm.config import parse_config

    predictions = script("predictions")
    for name in predictions.EXPERIMENTS:
        parse_config(predictions.job(name)["options"]).for_model()
    used = {"seconds": 2.5, "processor_seconds": 2.0, "peak_bytes": 4e8, "input_bytes": 2e6}
    row = {"experiment": "table", "answers": "label", "measured": [{"rows": 1000, **used}]}
    assert cells(predictions.table([row])) == [
        ["table", "label", "1,000", "2.0", "2.5", "2.0", "400"]
    ]


def test_the_page_on_predictions_says_what_was_measured() -> None:
    predictions = script("predictions")
    page = (ROOT / "docs" / "predict-and-export.md").read_text(encoding="utf-8")
    page = page.replace("\n", " ")
    for row in predictions.read(predictions.RESULTS):
        for measured in row["measured"]:
            peak = f"{measured['peak_bytes'] / 1e6:.0f}"
            assert f"{peak} MB" in page or f"{peak} to " in page
            if measured["rows"] == 10_000:
                assert f"took {measured['processor_seconds']:.0f} seconds of the processor" in page
