"""Every option of training, defined once: flag, config key, Python argument, help and range.

Importing this does not import torch. `None` stands for a default that depends on the model, the
network or the data; what it became is written into the run's `config.yaml`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import cache
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dhm.consistency.registry import METHODS
from dhm.errors import ConfigError
from dhm.models.registry import MODELS
from dhm.suggest import did_you_mean

Network = Literal["small", "strided", "halving", "patches", "paper", "mlp"]
Likelihood = Literal["auto", "bernoulli", "gaussian", "discretized-logistic"]
Prior = Literal["gaussian", "classes"]
GeneratorLoss = Literal["feature-matching", "adversarial"]
Schedule = Literal["gaussian", "linear"]
Keep = Literal["best", "last"]
Algorithm = Literal["adam", "sgd"]
Precision = Literal["no", "bf16", "fp16"]
Augment = Literal["auto", "none", "image", "mirrored-image", "table"]
ClassPrior = Literal["labels", "uniform", "none"]

SAME = "--count and --n_labeled say the same: give one of them"
MAX_SEED = 2**31 - 1
"""Every generator takes seeds up to this, and one more for each process."""


def option(
    default: Any,
    help: str,
    *,
    group: str = "",
    short: str | None = None,
    metavar: str | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Iterable[str] | None = None,
    usual: Any = None,
    aliases: tuple[str, ...] = (),
    model: bool = False,
    used_by: Iterable[str] = (),
    place: bool = False,
    none: str | None = None,
) -> Any:
    """A field of `TrainConfig`.

    Arguments:
        default: its default.
        help: one line for `--help`; the default is added to it.
        group: the heading of `--help` it stands under.
        short: a one-letter flag.
        metavar: what `--help` calls its value, where the type does not say.
        low: smallest value allowed; `above`, its exclusive twin.
        high: largest value allowed; `below`, its exclusive twin.
        choices: the values allowed, where the type does not say.
        usual: the default of an option that all models have, where a model's table has no other.
        aliases: its names in the original's scripts, good on the command line only.
        model: an option some models do not have; its default is then the model's.
        used_by: the weights of which one must be above 0 for it to mean anything.
        place: says where a run lies, not what it computes: left out of `config.yaml`.
        none: the word for None, where a recipe's own value may have to give way to it.
    """
    return field(default=default, metadata={k: v for k, v in locals().items() if k != "default"})


def consistency(help: str) -> Any:
    """The field of `TrainConfig` for the weight of a consistency method."""
    return option(0.0, f"weight: {help}; 0 is off", group="consistency", low=0)


@dataclass(frozen=True)
class TrainConfig:
    """The options of one training run.

    Example:
        >>> TrainConfig(dataset="digits", epochs=5).for_model().lr
        0.001
    """

    dataset: str = option(
        "digits",
        "name of a data set (see `dhm data --help`), or the path of a file or folder of your own",
        group="data",
        metavar="DATA",
    )
    data_dir: str | None = option(
        None, "folder to look for data in first", group="data", metavar="DIR"
    )
    n_labeled: int | None = option(
        None,
        "use the labels of only this many examples, balanced over the classes, or `all` [all]",
        group="data",
        low=1,
        none="all",
    )
    count: int | None = option(
        None, "the same as a number of labels of each class", group="data", low=1
    )
    val_size: float = option(
        0.1,
        "validation examples split off: a share of the labelled ones below 1, or a number",
        group="data",
        above=0,
    )
    seed_data: int = option(
        0, "seed of the validation, test and label splits", group="data", low=0, high=MAX_SEED
    )

    model: str = option("supervised-hdgm", "the model", group="model", choices=MODELS)
    network: Network = option(
        "small",
        "its layers: a laptop's; the same with strides and batch normalisation, and with half as "
        "long strides; strided with a better p(x|z) of images (explicit hybrids); the original "
        "paper's; or dense ones only (semisup-ali)",
        group="model",
    )
    sup_weight: float | None = option(
        None, "weight of log p(y|x,z)", group="model", low=0, model=True
    )
    unsup_weight: float | None = option(
        None,
        "weight of the generative term, the bound of log p(x) or the critic's loss",
        group="model",
        aliases=("unlabeled_weight",),
        low=0,
        model=True,
    )
    generator_loss: GeneratorLoss | None = option(
        None, "what generator and encoder minimise", group="model", model=True
    )
    likelihood: Likelihood | None = option(
        None,
        "p(x|z); auto chooses by the shape and type of the data",
        group="model",
        model=True,
    )
    n_samples: int | None = option(
        None, "samples K of the importance-weighted bound", group="model", low=1, model=True
    )
    warmup: float | None = option(
        None,
        "epochs over which the latent terms of the bound are faded in",
        group="model",
        low=0,
        model=True,
    )
    prior: Prior | None = option(
        None,
        "p(z): one Gaussian, or one for each class, so that the generative part learns from labels "
        "(the default of semisup-hdgm, but not of the original's network, of --sup_weight 0, "
        "--detach_z false or more --n_samples than 1)",
        group="model",
        model=True,
    )
    detach_z: bool | None = option(
        None,
        "log p(y|x,z) does not train the encoder of z: for few labels (the default of "
        "semisup-hdgm, but not of the original's network)",
        group="model",
        model=True,
    )
    n_latent: int | None = option(None, "dimensions of z", group="model", low=1, model=True)
    n_aux: int | None = option(
        None, "dimensions of the auxiliary variable a", group="model", low=0, model=True
    )
    n_hidden: int | None = option(None, "units in a hidden layer", group="model", low=1, model=True)
    hide: float | None = option(
        None,
        "train for missing parts: of half of the inputs a random share, up to this, is hidden",
        group="model",
        low=0,
        high=1,
        model=True,
    )
    binarize: bool | None = option(
        None,
        "pixels are black or white: of training images drawn anew each time they are seen, white "
        "with the grey level as probability; of validation and test images drawn once",
        group="model",
        model=True,
    )
    reload: str | None = option(
        None,
        "start from the weights of this run folder or weights file",
        group="model",
        metavar="RUN",
    )

    pi_model: float = consistency("agreement of two random passes over an input")
    temporal_ensembling: float = consistency("agreement with the mean of earlier epochs")
    mean_teacher: float = consistency("agreement with a model of averaged weights")
    vat: float = consistency("agreement under the worst small change of the input")
    latent_vat: float = consistency("the same where z is changed, in what is generated from it")
    entropy: float = consistency("certainty: the entropy of each prediction")
    information: float = consistency("certainty, and shares of the classes: information of y on x")
    iic: float = consistency("minus the information of two copies' classes on each other")
    fixmatch: float = consistency("confident predictions as labels of strong copies")
    label_spreading: float = consistency("labels spread over neighbours in inputs, then features")
    mixup: float = consistency("linearity between two inputs")
    augment: Augment | None = option(
        None,
        "random copies of inputs, also of labelled ones; auto chooses by the data [auto with any "
        "of the above, else none]",
        group="consistency",
    )
    rampup: float | None = option(
        None,
        "epochs over which these weights rise to their values; 0 is at once",
        group="consistency",
        low=0,
        used_by=METHODS,
        usual=0.0,
    )
    threshold: float | None = option(
        None,
        "confidence from which a prediction serves as a label",
        group="consistency",
        low=0,
        high=1,
        used_by=("fixmatch",),
        usual=0.95,
    )
    class_prior: ClassPrior | None = option(
        None,
        "shares of the classes that predictions are aligned with; --n_labeled draws even ones",
        group="consistency",
        used_by=("fixmatch", "label_spreading", "information"),
        usual="labels",
    )
    teacher_decay: float | None = option(
        None,
        "decay of the teacher's average",
        group="consistency",
        low=0,
        below=1,
        used_by=("mean_teacher",),
        usual=0.99,
    )
    spread_every: int | None = option(
        None,
        "epochs after which labels are spread anew",
        group="consistency",
        low=1,
        used_by=("label_spreading",),
        usual=5,
    )
    vat_epsilon: float | None = option(
        None,
        "size of the change: root mean square over pixels, standardised features or entries of z",
        group="consistency",
        above=0,
        used_by=("vat", "latent_vat"),
        usual=0.1,
    )

    epochs: int | None = option(
        None,
        "passes over the training set [as many as make 4000 steps, 10 to 100]",
        group="training",
        short="e",
        low=1,
    )
    n_batch: int | None = option(
        None,
        "examples in a step, over all processes; all where there are fewer",
        group="training",
        usual=128,
        aliases=("batch_size",),
        low=1,
    )
    n_lbl_batch: int | None = option(
        None,
        "labelled examples in a step, beside --n_batch unlabelled ones [100]",
        group="training",
        low=1,
        model=True,
    )
    n_superbatch: int | None = option(
        None,
        "examples on the device at a time; changes no number [as many as fit in 256 MiB]",
        group="training",
        low=1,
    )
    alg: Algorithm = option("adam", "optimiser", group="training")
    lr: float | None = option(
        None,
        "learning rate",
        group="training",
        usual=1e-3,
        aliases=("learning_rate",),
        above=0,
    )
    b1: float | None = option(None, "Adam's beta 1", group="training", usual=0.9, low=0, below=1)
    b2: float | None = option(None, "Adam's beta 2", group="training", usual=0.999, low=0, below=1)
    schedule: Schedule | None = option(
        None,
        "how the learning rate falls in the end, as exp(-12.5 t^2) or as 1 - t",
        group="training",
        usual="gaussian",
    )
    rampdown: int | None = option(
        None,
        "epochs at the end over which it falls [50, at most half of all; linear: a third]",
        group="training",
        low=0,
    )
    clip_norm: float | None = option(
        None, "clip the norm of the gradient to this; 0 is off", group="training", usual=5.0, low=0
    )
    clip_value: float | None = option(
        None, "then clip each of its entries to this; 0 is off", group="training", usual=1.0, low=0
    )
    ema: float | None = option(
        None,
        "decay of a moving average of the weights, which is then what is evaluated; 0 is off",
        group="training",
        usual=0.0,
        low=0,
        below=1,
    )
    patience: int | None = option(
        None,
        "stop after this many epochs without better weights by validation [never]",
        group="training",
        low=1,
    )
    keep: Keep = option(
        "best",
        "the weights that the run has in the end: best by validation, or last",
        group="training",
    )
    seed: int = option(
        0,
        "seed of weights, noise and the order of examples",
        group="training",
        low=0,
        high=MAX_SEED,
    )

    logname: str | None = option(
        None,
        "name of the run [DATASET-MODEL, numbered when taken]",
        group="run",
        short="l",
        metavar="NAME",
        place=True,
    )
    run_dir: str = option(
        "runs", "folder of the run folders", group="run", metavar="DIR", place=True
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps ...", group="run", metavar="NAME")
    precision: Precision = option("no", "mixed precision; no is float32 throughout", group="run")
    picture_every: int = option(
        10,
        "epochs between pictures of samples and reconstructions; 0 is never",
        group="run",
        low=0,
    )
    checkpoint_every: int = option(
        0,
        "steps between checkpoints within an epoch, beside the one at its end; 0 is none",
        group="run",
        low=0,
    )
    n_eval_samples: int = option(
        100, "importance samples K for the test set's log p(x)", group="run", low=1
    )

    def check(self) -> "TrainConfig":
        """Return self if every option has an allowed type and value; else raise `ConfigError`."""
        for f in fields(self):
            _check_value(f, getattr(self, f.name))
        if self.logname is not None:
            _check_name(self.logname)
        if 1 < self.val_size != int(self.val_size):
            raise ConfigError(
                f"--val_size is a share below 1 or a whole number, found {self.val_size}"
            )
        if self.sup_weight == 0 and self.unsup_weight == 0:
            raise ConfigError("--sup_weight and --unsup_weight are both 0: nothing to train")
        if self.sup_weight == 0 and (on := self.methods()):
            raise ConfigError(
                f"--{on[0]} regularises the classifier, which --sup_weight 0 leaves out"
            )
        for f in fields(self):
            users = f.metadata["used_by"]
            if users and getattr(self, f.name) is not None and not self._uses(f):
                raise ConfigError(
                    f"--{f.name} is a setting of --{', --'.join(users)}, and of these none is "
                    f"above 0: give one a weight, or leave --{f.name} out"
                )
        if self.count is not None and self.n_labeled is not None:
            raise ConfigError(SAME)
        if self.prior == "classes" and self.n_samples not in (None, 1):
            raise ConfigError("--prior classes bounds log p(x, y) by one sample: use --n_samples 1")
        if self.alg == "sgd" and (self.b1 is not None or self.b2 is not None):
            raise ConfigError("--b1 and --b2 are Adam's: they cannot be used with --alg sgd")
        return self

    def for_model(self) -> "TrainConfig":
        """The same with each default of the model filled in, refusing options the model lacks.

        Imports the model, and so torch.
        """
        from dhm.models.registry import model_class

        tables = model_class(self.model).options
        if self.network not in tables:
            raise ConfigError(
                f"--network {self.network} cannot be used with --model {self.model}; it has "
                f"{', '.join(tables)}"
            )
        for name in model_options():
            if getattr(self, name) is not None and name not in tables[self.network]:
                raise ConfigError(f"--{name} cannot be used with --model {self.model}")
        # The usual batch may be larger than the data: `fill_in` of a run decides.
        absent = {"n_batch"} | ({"b1", "b2"} if self.alg == "sgd" else set())
        defaults = {
            f.name: self.usual(f.name)
            for f in fields(self)
            if getattr(self, f.name) is None and f.name not in absent
        }
        defaults["augment"] = self.augment or ("auto" if self.methods() else "none")
        return replace(self, **defaults).check()

    def usual(self, name: str) -> Any:
        """The default of an option for this model, network and methods; None without one."""
        from dhm.models.registry import model_class

        f = TrainConfig.__dataclass_fields__[name]
        if f.metadata["used_by"] and not self._uses(f):
            return None
        value = model_class(self.model).options[self.network].get(name, f.metadata["usual"])
        if value == "classes" and not self._labels_may_shape_z():
            return "gaussian"
        return value

    def _labels_may_shape_z(self) -> bool:
        """Whether a p(z) of classes is the better default where it is one.

        Not for a generative part alone, which is one of x; nor for more samples, which bound log
        p(x), see `check`; nor where log p(y|x,z) trains z, too: the error was the higher for it.
        """
        return self.sup_weight != 0 and self.n_samples in (None, 1) and self.detach_z is not False

    def for_classes(self, n_classes: int) -> "TrainConfig":
        """The same with `count` labels of each class as a number of labels."""
        if self.count is None:
            return self
        return replace(self, n_labeled=self.count * n_classes, count=None)

    def methods(self) -> list[str]:
        """The consistency methods that are on."""
        return [name for name in METHODS if getattr(self, name)]

    def _uses(self, f: "Field[Any]") -> bool:
        """Whether an option is a setting of a consistency method that is on."""
        return not set(self.methods()).isdisjoint(f.metadata["used_by"])

    def own_options(self) -> dict[str, Any]:
        """The options that only some models have, where this run's model has them."""
        values = {name: getattr(self, name) for name in model_options()}
        return {k: v for k, v in values.items() if v is not None and k != "n_lbl_batch"}

    def to_dict(self) -> dict[str, Any]:
        """What `config.yaml` holds: every option that has a value, but for the run's place."""
        places = {f.name for f in fields(self) if f.metadata["place"]}
        return {k: v for k, v in asdict(self).items() if v is not None and k not in places}


def model_options() -> list[str]:
    """Names of the options that only some models have."""
    return [f.name for f in fields(TrainConfig) if f.metadata["model"]]


def option_type(f: "Field[Any]") -> tuple[type, tuple[str, ...] | None, bool]:
    """The plain type of a field, the values it is limited to, and whether None is one too."""
    hint = _hints()[f.name]
    optional = False
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (a for a in get_args(hint) if a is not type(None))
        optional = True
    choices = f.metadata["choices"]
    if get_origin(hint) is Literal:
        choices, hint = get_args(hint), str
    return hint, tuple(choices) if choices else None, optional


@cache
def _hints() -> dict[str, Any]:
    # Worked out anew for each option they would take a tenth of a second for a set of options.
    return get_type_hints(TrainConfig)


def parse_config(values: Mapping[str, Any]) -> TrainConfig:
    """A checked `TrainConfig` from names and values; unknown names raise `ConfigError`."""
    names = [f.name for f in fields(TrainConfig)]
    for name in values:
        if name not in names:
            raise ConfigError(f"unknown option {name!r}{did_you_mean(str(name), names)}")
    return TrainConfig(**values).check()


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a recipe or a file with others in their place.

    Those that the changes leave without a meaning go, since nobody could leave them out: the
    settings of methods that are switched off, Adam's of another optimiser, and the number of labels
    under its other name.

    Example:
        >>> changed({"vat": 1.0, "vat_epsilon": 0.2, "lr": 0.1}, {"vat": 0.0})
        {'vat': 0.0, 'lr': 0.1}
    """
    merged = {**values, **changes}
    twins = {"count": "n_labeled", "n_labeled": "count"}
    gone = {twin for name, twin in twins.items() if changes.get(name) is not None}
    if "n_labeled" in changes:  # all of them, too
        if changes.get("count") is not None:
            raise ConfigError(SAME)
        gone.add("count")
    if changes.get("alg") == "sgd":
        gone |= {"b1", "b2"}
    for f in fields(TrainConfig):
        users = set(f.metadata["used_by"])
        if not users.isdisjoint(changes) and not any(merged.get(user) for user in users):
            gone.add(f.name)
    return {name: value for name, value in merged.items() if name in changes or name not in gone}


def from_words(words: Mapping[str, Any]) -> dict[str, Any]:
    """Values of options from the words of a command line or a config file.

    Example:
        >>> from_words({"epochs": "3", "lr": "1e-3", "precision": "no"})
        {'epochs': 3, 'lr': 0.001, 'precision': 'no'}
        >>> from_words({"n_labeled": "all"})
        {'n_labeled': None}
    """
    by_name = {f.name: f for f in fields(TrainConfig)}
    values: dict[str, Any] = {}
    for name, word in words.items():
        kind = option_type(by_name[name])[0] if name in by_name else str
        if name in by_name and word is not None and word == by_name[name].metadata["none"]:
            values[name] = None
            continue
        try:
            convert = _truth if kind is bool else kind
            values[name] = convert(word) if isinstance(word, str) else word
        except ValueError:
            raise _wrong_type(name, kind, word) from None
    return values


def read_config(path: str | Path) -> dict[str, Any]:
    """The options in a config file; raises `ConfigError` where it is absent or not a mapping."""
    import yaml

    try:
        # Plain words, converted as those of the command line are: by YAML's own rules 1e-3 would
        # be text and `precision: no` a truth value.
        words = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except FileNotFoundError:
        raise ConfigError(f"no config file at {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the config file {path}: {reason}") from error
    if not isinstance(words, dict):
        raise ConfigError(f"the config file {path} should hold lines `option: value`")
    return from_words({k: None if v in ("", "null", "~") else v for k, v in words.items()})


def _check_value(f: "Field[Any]", value: Any) -> None:
    kind, choices, optional = option_type(f)
    if value is None and optional:
        return
    # An int is a good float; a bool is never a good number.
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _wrong_type(f.name, kind, value)
    if isinstance(value, float) and not isfinite(value):
        raise ConfigError(f"--{f.name} should be a finite number, found {value}")
    if choices and value not in choices:
        raise ConfigError(f"--{f.name} is {value!r}{did_you_mean(str(value), choices)}")
    if kind in (int, float):
        limits = [
            ("low", "at least", lambda limit: value >= limit),
            ("high", "at most", lambda limit: value <= limit),
            ("above", "above", lambda limit: value > limit),
            ("below", "below", lambda limit: value < limit),
        ]
        for name, words, holds in limits:
            limit = f.metadata[name]
            if limit is not None and not holds(limit):
                raise ConfigError(f"--{f.name} should be {words} {limit}, found {value}")


def _truth(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise ValueError(word)
    return word.lower() == "true"


def _wrong_type(name: str, kind: type, value: Any) -> ConfigError:
    names = {int: "a whole number", float: "a number", bool: "true or false"}
    expected = names.get(kind, "a word")
    return ConfigError(f"--{name} takes {expected}, found {value!r}")


def _check_name(name: str) -> None:
    if not name or name[0] == "." or "/" in name or "\\" in name or not name.isprintable():
        raise ConfigError(
            f"--logname is the name of one folder, found {name!r}; where it lies is --run_dir"
        )
