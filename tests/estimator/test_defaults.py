"""What is chosen for which data; what the user gave stands."""

from typing import Any

import pytest

from dhm.config import parse_config
from dhm.errors import ConfigError
from dhm.estimator.defaults import Facts, choose
from dhm.models.registry import MODELS
from dhm.recipes import load as load_recipe

IMAGES, VECTORS = (1, 28, 28), (50,)


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
@pytest.mark.parametrize("n_labeled", [20, 600, 1000])
@pytest.mark.parametrize("model", ["auto", *MODELS])
@pytest.mark.parametrize("consistency", ["auto", None, {"pi_model": 1.0}])
def test_every_choice_can_be_trained(
    shape: tuple[int, ...], n_labeled: int, model: str, consistency: Any
) -> None:
    facts = Facts(shape, 1000, n_labeled)
    choice = choose(facts, {} if model == "auto" else {"model": model}, consistency)
    config = parse_config(choice.options).for_model()
    assert choice.options.keys() == choice.reasons.keys()
    assert config.model == model or model == "auto"
    if consistency is None:
        assert config.methods() == []


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
def test_without_a_classifier_there_is_nothing_to_be_consistent(shape: tuple[int, ...]) -> None:
    config = parse_config(choose(Facts(shape, 1000, 20), {"sup_weight": 0.0}).options).for_model()
    assert (config.sup_weight, config.methods()) == (0.0, [])
    with pytest.raises(ConfigError, match="--vat regularises the classifier"):
        parse_config(choose(Facts(shape, 1000, 20), {"sup_weight": 0.0}, {"vat": 1.0}).options)


def test_few_labels_get_the_methods_of_the_recipes() -> None:
    few = choose(Facts(IMAGES, 10_000, 100), {})
    recipe = parse_config(few.options)
    assert (recipe.model, recipe.network) == ("semisup-hdgm", "strided")
    assert recipe.methods() == load_recipe("digits-50").config().methods()
    table = parse_config(choose(Facts(VECTORS, 10_000, 100), {}).options)
    assert (table.network, table.methods()) == ("small", ["vat", "information"])
    assert table.warmup == table.epochs / 2 and recipe.warmup is None
    assert (table.for_model().prior, recipe.for_model().prior) == ("gaussian", "classes")
    most = parse_config(choose(Facts(IMAGES, 10_000, 9000), {}).options)
    assert (most.model, most.methods()) == ("semisup-hdgm", [])
    # Few labels are learnt by heart through z, many are not.
    assert (recipe.for_model().detach_z, most.for_model().detach_z) == (True, False)
    assert (recipe.unsup_weight, most.unsup_weight) == (None, 0.01)
    given = choose(Facts(IMAGES, 10_000, 9000), {"detach_z": True})
    assert given.options["detach_z"] is True
    every = parse_config(choose(Facts(IMAGES, 10_000, 10_000), {}).options)
    assert (every.model, every.network, every.methods()) == ("supervised-hdgm", "small", [])


def test_epochs_are_as_many_as_make_so_many_steps() -> None:
    for n, shape, epochs in ((1797, IMAGES, 30), (10_000, IMAGES, 26), (60_000, IMAGES, 10)):
        assert choose(Facts(shape, n, n), {}).options["epochs"] == epochs
    few = choose(Facts(IMAGES, 600, 60), {})
    assert few.options["epochs"] == 80 and few.reasons["epochs"].endswith("400 at least: 400")
    assert choose(Facts(VECTORS, 100, 100), {}).options["epochs"] == 100
    assert choose(Facts(VECTORS, 100, 100), {"epochs": 3}).options["epochs"] == 3
