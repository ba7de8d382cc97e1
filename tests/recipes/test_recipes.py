"""Every recipe can be run, says where its figures are from, and gives way to what is typed."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import dhm
from dhm.cli import main
from dhm.config import TrainConfig, read_config
from dhm.errors import ConfigError
from dhm.recipes import RECIPES, Recipe, load
from dhm.recipes.recipe import MEASUREMENTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """The options that `dhm train` would have trained with."""
    given: list[TrainConfig] = []

    def train(config: TrainConfig, **options: object) -> None:
        given.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("dhm.training.train.train", train)
    return given


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_called_what_it_is_listed_as(name: str) -> None:
    assert load(name).name == name


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_one_of_its_model(name: str) -> None:
    recipe = load(name)
    config = recipe.config().for_model()
    assert {option: getattr(config, option) for option in recipe.options} == dict(recipe.options)


@pytest.mark.parametrize("name", RECIPES)
def test_its_command_is_the_same_run(name: str, trained: list[TrainConfig]) -> None:
    assert main(shlex.split(load(name).command)[1:]) == 130
    assert main(["train", "--recipe", name]) == 130
    typed, by_name = trained
    assert typed == by_name == load(name).config() != TrainConfig()


@pytest.mark.parametrize("name", RECIPES)
def test_a_result_says_whose_it_is(name: str) -> None:
    recipe = load(name)
    assert (recipe.expected is None) == (recipe.source is None)
    if recipe.expected is None:
        assert recipe.expectation == "not measured yet"
    elif recipe.measured:
        if not (ROOT / MEASUREMENTS).is_dir():
            pytest.skip("the benchmarks are not part of this copy")
        assert recipe.source is not None and (ROOT / recipe.source).is_file()
        # What the file holds is read from there and not from memory.
        rows = (json.loads(line) for line in (ROOT / recipe.source).read_text().splitlines())
        mine = [row for row in rows if row["recipe"] == name]
        assert mine
        if any("method" in row for row in mine):  # some are of what it is compared with
            mine = [row for row in mine if row["method"] == "recipe"]
            assert all(row["options"].items() >= recipe.options.items() for row in mine) and mine
    else:
        assert "published, not measured here" in recipe.expectation


def test_the_three_kinds_of_expectation() -> None:
    recipe = Recipe("a", "about", {})
    assert recipe.expectation == "not measured yet" and not recipe.measured
    ours = replace(recipe, expected="1 %", source=f"{MEASUREMENTS}few_labels.jsonl")
    assert ours.measured
    assert ours.expectation == "1 % (measured: benchmarks/results/few_labels.jsonl)"
    theirs = replace(recipe, expected="2 %", source="Someone, 2017")
    assert not theirs.measured
    assert theirs.expectation == "2 % (published, not measured here: Someone, 2017)"


def test_what_is_typed_wins(trained: list[TrainConfig]) -> None:
    assert main(["train", "--recipe", "digits-50", "-e", "3", "--fixmatch", "0"]) == 130
    assert trained == [dhm.load_recipe("digits-50").config(epochs=3, fixmatch=0.0)]
    assert trained[0].n_labeled == 50
    assert trained[0].methods() == ["iic", "label_spreading", "mixup"]


@pytest.mark.parametrize(
    ("name", "typed", "gone"),
    [
        ("mnist-100", {"label_spreading": 0.0}, {"spread_every"}),
        ("svhn-1000-original", {"pi_model": 0.0}, {"rampup"}),
        ("svhn-1000-original", {"pi_model": 0.0, "vat": 1.0}, set()),
        ("mnist-original", {"alg": "sgd"}, {"b1", "b2"}),
        ("digits-50", {"count": 3}, {"n_labeled"}),
    ],
)
def test_what_is_typed_takes_its_settings_along(
    name: str, typed: dict[str, object], gone: set[str], trained: list[TrainConfig]
) -> None:
    recipe = load(name)
    words = [word for option, value in typed.items() for word in (f"--{option}", str(value))]
    assert main(["train", "--recipe", name, *words]) == 130
    kept = {k: v for k, v in recipe.options.items() if k not in gone}
    assert trained == [TrainConfig(**{**kept, **typed})] == [recipe.config(**typed)]
    trained[0].for_model()


def test_settings_that_are_typed_themselves_are_refused_where_they_mean_nothing() -> None:
    with pytest.raises(ConfigError, match="--spread_every is a setting of"):
        load("mnist-100").config(label_spreading=0.0, spread_every=3)
    with pytest.raises(ConfigError, match="--count and --n_labeled say the same"):
        load("digits-50").config(count=3, n_labeled=30)
    assert load("digits-50").config(count=None).n_labeled == 50


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'fashion-100'"):
        load("fashion100")


def test_changes_are_checked() -> None:
    with pytest.raises(ConfigError, match="unknown option 'epoch'; did you mean 'epochs'"):
        load("digits-50").config(epoch=3)


def test_the_list_has_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(RECIPES)
    assert lines.count("    expected: not measured yet") == sum(
        load(name).expected is None for name in RECIPES
    )


@pytest.mark.parametrize("name", RECIPES)
def test_one_is_shown_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", name]) == 0
    out = capsys.readouterr().out
    recipe = load(name)
    assert recipe.about in out and recipe.expectation in out
    command = out[out.index("dhm train \\\n") :].replace("\\\n", "")  # as a shell joins lines
    assert shlex.split(command) == shlex.split(recipe.command)


def test_a_run_of_a_recipe_can_be_repeated_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dhm.training.train.learning_curves", lambda *arguments: None)
    words = ["--recipe", "digits-50", "--epochs", "1", "-q"]
    assert main(["train", *words, "-l", "a"]) == 0
    options = read_config("runs/a/config.yaml")
    expected = load("digits-50").config(epochs=1).for_model()
    assert options.items() >= {k: v for k, v in expected.to_dict().items()}.items()
    assert main(["train", "--config", "runs/a/config.yaml", "-l", "b", "-q"]) == 0
    first, second = (json.loads(Path("runs", run, "summary.json").read_text()) for run in "ab")
    assert first["n_labeled"] == first["n_validation"] == 50
    assert first["test"] == second["test"]
