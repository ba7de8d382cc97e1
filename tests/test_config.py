"""Options: one definition, one conversion, one set of checks for every way to give them."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from dhm import TrainConfig
from dhm.config import changed, from_words, model_options, option_type, parse_config, read_config
from dhm.errors import ConfigError
from dhm.models.registry import MODELS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "softmx"}, "did you mean 'softmax'"),
        ({"network": "papr"}, "did you mean 'paper'"),
        ({"epoch": 3}, "unknown option 'epoch'; did you mean 'epochs'"),
        ({"epochs": 0}, "--epochs should be at least 1, found 0"),
        ({"epochs": 2.5}, "--epochs takes a whole number, found 2.5"),
        ({"epochs": True}, "--epochs takes a whole number, found True"),
        ({"val_size": None}, "--val_size takes a number, found None"),
        ({"lr": 0}, "--lr should be above 0, found 0"),
        ({"lr": float("nan")}, "--lr should be a finite number, found nan"),
        ({"lr": float("inf")}, "--lr should be a finite number, found inf"),
        ({"val_size": float("inf")}, "--val_size should be a finite number"),
        ({"val_size": 1.5}, "--val_size is a share below 1 or a whole number, found 1.5"),
        ({"val_size": 0}, "--val_size should be above 0"),
        ({"b1": 1.0}, "--b1 should be below 1"),
        ({"ema": 1.0}, "--ema should be below 1"),
        ({"seed": -1}, "--seed should be at least 0"),
        ({"seed": 2**40}, "--seed should be at most 2147483647"),
        ({"dataset": ["a"]}, "--dataset takes a word"),
        ({"alg": "sgd", "b1": 0.9}, "--b1 and --b2 are Adam's"),
        ({"sup_weight": 0, "unsup_weight": 0.0}, "both 0"),
        ({"fixmatch": -1}, "--fixmatch should be at least 0"),
        ({"fixmatch": 1, "threshold": 1.1}, "--threshold should be at most 1"),
        ({"vat": 1, "threshold": 0.5}, "--threshold is a setting of --fixmatch"),
        ({"teacher_decay": 0.9}, "--teacher_decay is a setting of --mean_teacher"),
        ({"label_spreading": 1, "spread_every": 0}, "--spread_every should be at least 1"),
        ({"fixmatch": 1, "spread_every": 2}, "--spread_every is a setting of --label_spreading"),
        ({"vat": 1, "vat_epsilon": 0}, "--vat_epsilon should be above 0"),
        ({"rampup": 3}, "--rampup is a setting of --pi_model, --temporal_ensembling,"),
        ({"sup_weight": 0, "iic": 1}, "--iic regularises the classifier"),
        ({"augment": "images"}, "did you mean 'image'"),
        ({"count": 5, "n_labeled": 50}, "--count and --n_labeled say the same"),
        ({"binarize": 1}, "--binarize takes true or false, found 1"),
        ({"logname": "a/b"}, "--logname is the name of one folder"),
    ],
)
def test_what_cannot_be_run_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(values)
    assert message in str(caught.value)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_refuses_what_it_lacks_and_fills_in_the_rest(model: str) -> None:
    config = TrainConfig(model=model).for_model()
    has = {name for name in model_options() if getattr(config, name) is not None}
    hybrid = set(model_options()) - {"n_lbl_batch", "generator_loss"}
    implicit = {"sup_weight", "unsup_weight", "generator_loss", "n_latent", "n_lbl_batch"}
    classifier = {"hide"}
    expected = {
        "semisup-hdgm": {*hybrid, "n_lbl_batch"},
        "supervised-hdgm": hybrid,
        "semisup-ali": implicit,
        "semisup-cnn": {*classifier, "n_lbl_batch"},
        "semisup-mlp": {*classifier, "n_lbl_batch"},
    }
    assert has == expected.get(model, classifier)
    words = {"likelihood": "gaussian", "generator_loss": "adversarial"}
    for name in set(model_options()) - has:
        value: Any = words.get(name, 1)
        with pytest.raises(ConfigError, match=f"--{name} cannot be used with --model {model}"):
            TrainConfig(model=model, **{name: value}).for_model()


def test_settings_of_consistency_methods_appear_with_them() -> None:
    names = ("augment", "rampup", "threshold", "class_prior", "teacher_decay", "vat_epsilon")
    names += ("spread_every",)

    def settings(**options: Any) -> list[Any]:
        config = TrainConfig(**options).for_model()
        assert config.for_model() == config
        return [getattr(config, name) for name in names]

    assert settings() == ["none", *6 * [None]]
    assert settings(augment="auto") == ["auto", *6 * [None]]
    assert settings(fixmatch=1.0) == ["auto", 0.0, 0.95, "labels", *3 * [None]]
    assert settings(label_spreading=1.0) == ["auto", 0.0, None, "labels", None, None, 5]
    latent = settings(latent_vat=1.0, augment="none", rampup=2)
    assert latent == ["none", 2, None, None, None, 0.1, None]
    assert settings(mean_teacher=1.0, teacher_decay=0.9)[4] == 0.9


def test_a_model_may_have_defaults_of_its_own_in_training() -> None:
    names = ("lr", "b1", "b2", "clip_norm", "clip_value", "ema", "schedule")
    usual = TrainConfig(model="softmax").for_model()
    assert [getattr(usual, n) for n in names] == [1e-3, 0.9, 0.999, 5.0, 1.0, 0.0, "gaussian"]
    ali = TrainConfig(model="semisup-ali", network="paper").for_model()
    # Those of the original script, which did not clip.
    assert [getattr(ali, n) for n in names] == [3e-4, 0.5, 0.999, 0.0, 0.0, 0.9999, "linear"]
    assert TrainConfig(model="semisup-ali", network="mlp").for_model().lr == 3e-3
    assert (usual.usual("n_batch"), ali.usual("n_batch")) == (128, 100)
    assert TrainConfig(model="semisup-ali", lr=0.1, ema=0.0).for_model().lr == 0.1
    assert TrainConfig(model="semisup-ali", lr=0.1, ema=0.0).for_model().ema == 0.0


def test_the_prior_is_of_classes_where_labels_teach_z_nothing_else() -> None:
    def prior(**options: Any) -> str | None:
        config = TrainConfig(**{"model": "semisup-hdgm", **options}).for_model()
        assert config.for_model() == config
        return config.prior

    assert prior() == prior(n_samples=1) == prior(detach_z=True) == prior(network="strided")
    assert prior() == "classes" == prior(detach_z=False, prior="classes")
    one = [{"n_samples": 3}, {"sup_weight": 0.0}, {"detach_z": False}, {"network": "paper"}]
    assert {prior(**options) for options in one} == {"gaussian"}
    assert prior(model="supervised-hdgm") == "gaussian" and prior(model="semisup-cnn") is None


def test_a_network_the_model_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="--network mlp cannot be used with --model softmax; it"):
        TrainConfig(model="softmax", network="mlp").for_model()


def test_labels_of_each_class_become_labels() -> None:
    config = TrainConfig(count=5).for_classes(10)
    assert (config.n_labeled, config.count) == (50, None)
    assert TrainConfig(n_labeled=7).for_classes(10).n_labeled == 7


def test_adam_alone_has_betas() -> None:
    adam = TrainConfig(b2=0.5).for_model()
    assert (adam.b1, adam.b2) == (0.9, 0.5)
    sgd = TrainConfig(alg="sgd").for_model()
    assert (sgd.b1, sgd.b2) == (None, None)


def test_the_original_options_are_there_with_their_names() -> None:
    names = {f.name for f in fields(TrainConfig)}
    assert names >= {
        *("dataset", "model", "reload", "epochs", "logname", "alg", "lr", "b1", "b2", "n_batch"),
        *("n_lbl_batch", "n_superbatch", "n_labeled", "unsup_weight", "sup_weight"),
    }


def test_every_option_has_help_and_a_heading() -> None:
    for f in fields(TrainConfig):
        assert f.metadata["help"] and f.metadata["group"], f.name
        kind, choices, _ = option_type(f)
        assert kind in (int, float, str, bool)
        assert not choices or f.default in choices or f.default is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr: 1e-3", {"lr": 0.001}),
        (
            "precision: no\nn_labeled: null\nepochs:\n",
            {"precision": "no", "n_labeled": None, "epochs": None},
        ),
        ("dataset: 2024\nb1: .5", {"dataset": "2024", "b1": 0.5}),
        ("# nothing but {}\n{}", {}),
    ],
)
def test_a_file_is_read_as_it_is_meant(tmp_path: Path, text: str, values: dict[str, Any]) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert read_config(tmp_path / "c.yaml") == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "should hold lines"),
        (b"- a\n- b", "should hold lines"),
        (b"word", "should hold lines"),
        (b"a: [1, 2", "cannot read the config file"),
        (b"\xff\xfe\x00binary", "cannot read the config file"),
        (b"!!python/object/apply:os.system ['touch ran']", "should hold lines"),
        (b"lr: fast", "--lr takes a number, found 'fast'"),
        (b"epochs: [1, 2]", "--epochs takes a whole number"),
        (b"learning_rate: 1", "unknown option 'learning_rate'"),
        (b"1: 2", "unknown option '1'"),
    ],
)
def test_a_file_that_is_none_is_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse_config(read_config(tmp_path / "c.yaml"))
    assert message in str(caught.value)


def test_a_file_that_is_absent_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config file at"):
        read_config(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_config(tmp_path)


def test_what_is_written_reads_back_as_it_was(tmp_path: Path) -> None:
    import yaml

    config = TrainConfig(lr=1e-5, epochs=3, dataset="no", data_dir="1e3", val_size=100).for_model()
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config.to_dict()))
    assert parse_config(read_config(tmp_path / "c.yaml")) == config


def test_unknown_names_pass_words_by() -> None:
    assert from_words({"nonsense": "1"}) == {"nonsense": "1"}


@pytest.mark.parametrize(("word", "value"), [("true", True), ("True", True), ("false", False)])
def test_truth_values_are_words(word: str, value: bool) -> None:
    assert from_words({"binarize": word}) == {"binarize": value}
    with pytest.raises(ConfigError, match="--binarize takes true or false, found 'maybe'"):
        from_words({"binarize": "maybe"})


def test_all_labels_in_the_place_of_a_recipes_few() -> None:
    for values in ({"n_labeled": 20}, {"count": 2}):
        assert changed(values, from_words({"n_labeled": "all"})) == {"n_labeled": None}
    with pytest.raises(ConfigError, match="say the same"):
        changed({}, from_words({"n_labeled": "all", "count": "3"}))
    with pytest.raises(ConfigError, match="takes a whole number, found 'all'"):
        from_words({"epochs": "all"})
