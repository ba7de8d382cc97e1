"""The command line: reads options, calls the library, prints."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from dhm.config import TrainConfig, from_words, option_type, parse_config, read_config
from dhm.errors import ConfigError, DHMError, RunError
from dhm.suggest import did_you_mean

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130
# What may change when a run goes on: how long and where, not what it computes.
FREE_ON_RESUME = {
    *("epochs", "patience", "logname", "run_dir", "data_dir", "device"),
    *("picture_every", "checkpoint_every"),
}
METAVARS = {int: "N", float: "X", str: "NAME"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for an error, 130 when interrupted."""
    # PyTorch's own remarks, about how it shares work between processes, are not for our users.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    words = [_with_underscores(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    try:
        parser = make_parser()
        if not words:
            parser.print_help(sys.stderr)
            return EXIT_ERROR
        options = parser.parse_args(words)
        options.run(options)
    except DHMError as error:
        return _stop(f"error: {error}", EXIT_ERROR)
    except KeyboardInterrupt as error:
        print(file=sys.stderr)  # below the bar and the terminal's ^C
        return _stop(f"interrupted; {error}".rstrip("; "), EXIT_INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        # torch tells that memory is full by a RuntimeError of many lines.
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        reason = "out of memory; use a smaller --n_batch, network or number of samples"
        return _stop(f"error: {reason}", EXIT_ERROR)
    except BrokenPipeError:  # the reader of our output left, as in `dhm data digits | head -1`
        # What is still buffered has nowhere to go, and Python would complain when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = _Parser(
        prog="dhm",
        description="Deep hybrid models: train one, and ask it what a classifier cannot answer.",
        epilog="`dhm COMMAND --help` lists the options of a command.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, add, run in (
        ("train", _train_options, _train),
        ("evaluate", _evaluate_options, _evaluate),
        ("sample", _sample_options, _sample),
        ("data", _data_options, _data),
        ("recipes", _recipes_options, _recipes),
    ):
        summary = (run.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(run=run)
        command.add_options = add
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with the name that was perhaps meant."""

    add_options: Callable[[argparse.ArgumentParser], None] | None = None
    """Adds the options of a command, once it is the one that was typed: some need imports."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.add_options is not None:
            self.add_options(self)
            self.add_options = None
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            near = get_close_matches(unknown[0].partition("=")[0], flags, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            self.error(f"unknown option {unknown[0]}; {hint}".rstrip("; "))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}{'' if message[-1] == '?' else ';'} see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise ConfigError(f"unknown command {value!r}{did_you_mean(value, action.choices)}")


class _Formatter(argparse.HelpFormatter):
    """Help with wide columns, where an option with a short name states its value once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, action.dest.upper())
        return f"{', '.join(action.option_strings)} {value}"


def _with_underscores(word: str) -> str:
    """An option in the one spelling that is defined: --n-batch=5 is --n_batch=5."""
    name, equals, value = word.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if word[:2] == "--" else word


def _stop(message: str, code: int) -> int:
    """Say why the command ends, in one line, from one of a machine's processes."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"dhm: {' '.join(message.split())}", file=sys.stderr)
    return code


def _train_options(command: argparse.ArgumentParser) -> None:
    command.usage = "dhm train [OPTION ...]"
    command.epilog = (
        "Every name may be spelled with - or _: --n-batch is --n_batch. The models' own options "
        "have defaults that depend on model and network, and semisup-ali has its own in training, "
        "too; a run's config.yaml shows them."
    )
    groups: dict[str, Any] = {}
    for f in fields(TrainConfig):
        kind, choices, _ = option_type(f)
        text, metavar = f.metadata["help"], f.metadata["metavar"] or METAVARS[kind]
        if choices:
            text += f" ({', '.join(choices)})"
        if f.default is not None:
            text += f" [{f.default}]"
        if f.metadata["usual"] is not None:
            # The settings of consistency methods do not depend on the model.
            of = "" if f.metadata["used_by"] else " for most models"
            text += f" [{f.metadata['usual']}{of}]"
        short = f.metadata["short"]
        names = (f.name, *f.metadata["aliases"])
        flags = [f"-{short}"] * bool(short) + [f"--{name}" for name in names]
        heading = f.metadata["group"]
        group = groups.setdefault(heading, None) or command.add_argument_group(heading)
        groups[heading] = group
        # Only what was typed is kept: the rest may come from a file.
        group.add_argument(
            *flags,
            dest=f.name,
            help=text.replace("%", "%%"),
            default=argparse.SUPPRESS,
            metavar=metavar,
        )
    run = groups["run"]
    run.add_argument(
        "--recipe", metavar="NAME", help="options of an experiment that `dhm recipes` lists"
    )
    run.add_argument("--config", metavar="FILE", help="options from a file, as a run's config.yaml")
    run.add_argument(
        "--resume", action="store_true", help="go on with the run --logname from its checkpoint"
    )
    run.add_argument("--overwrite", action="store_true", help="replace the run --logname")
    run.add_argument("-q", "--quiet", action="store_true", help="print the final table only")


def _train(options: argparse.Namespace) -> None:
    """Train a model and write its run folder."""
    names = {f.name for f in fields(TrainConfig)}
    given = from_words({name: word for name, word in vars(options).items() if name in names})
    values = _resumed_options(options, given) if options.resume else _prepared_options(options)
    # Two names of one thing: what is typed takes the other's place, too.
    for name, other in (("count", "n_labeled"), ("n_labeled", "count")):
        if name in given:
            values.pop(other, None)
    config = parse_config(values | given)
    from dhm.training.train import train

    summary = train(
        config,
        resume=options.resume,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    if os.environ.get("RANK", "0") != "0":
        return
    if summary.get("finished_before"):
        print(
            f"dhm: this run was finished after {summary['epochs']} epochs; a larger --epochs "
            f"makes it go on",
            file=sys.stderr,
        )
    _print_summary(summary)


def _prepared_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a recipe or a file gives."""
    if options.recipe and options.config:
        raise ConfigError(
            "--recipe and --config contradict each other: both give options; leave one out"
        )
    if options.recipe:
        from dhm.recipes import load as load_recipe

        return dict(load_recipe(options.recipe).options)
    return read_config(options.config) if options.config else {}


def _resumed_options(options: argparse.Namespace, given: dict[str, Any]) -> dict[str, Any]:
    """The options a run was started with; those typed again must agree, but for its length."""
    if options.overwrite:
        raise ConfigError("--resume and --overwrite contradict each other")
    for name in ("config", "recipe"):
        if getattr(options, name):
            raise ConfigError(f"--resume takes the run's own options: leave out --{name}")
    if "logname" not in given:
        raise ConfigError("--resume needs --logname: the name of the run to go on with")
    folder = Path(given.get("run_dir", TrainConfig.run_dir)) / given["logname"]
    if not (folder / "config.yaml").is_file():
        raise RunError(f"no run at {folder} to resume")
    values = read_config(folder / "config.yaml")
    for name in given.keys() - FREE_ON_RESUME:
        if given[name] != values.get(name):
            started = f"with {values[name]}" if name in values else "without"
            raise ConfigError(f"--{name} {given[name]}: the run {folder} was started {started}")
    return values


def _evaluate_options(command: argparse.ArgumentParser) -> None:
    _add_run(command)
    command.add_argument(
        "--dataset", metavar="DATA", help="another data set, of the same shape and classes"
    )
    _add_data_dir(command)
    command.add_argument(
        "--n_eval_samples",
        metavar="N",
        type=int,
        help="importance samples for log p(x) [as the run]",
    )
    command.add_argument("--json", metavar="FILE", help="write the figures to a JSON file too")


def _evaluate(options: argparse.Namespace) -> None:
    """Print the figures of a trained model on validation and test data."""
    from dhm.training.reevaluate import evaluate_run

    summary = evaluate_run(
        options.run_folder, options.dataset, options.data_dir, options.n_eval_samples
    )
    _print_summary(summary)
    if options.json:
        import json

        from dhm.training.run_folder import write_text

        write_text(options.json, json.dumps(summary, indent=2) + "\n")


def _sample_options(command: argparse.ArgumentParser) -> None:
    _add_run(command)
    command.add_argument("-n", metavar="N", type=int, default=64, help="how many [64]")
    command.add_argument(
        "-o", "--output", required=True, metavar="FILE.png", help="the picture (required)"
    )
    command.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the draws [0]")


def _sample(options: argparse.Namespace) -> None:
    """Draw new examples from a trained model into a picture."""
    if options.n < 1:
        raise ConfigError(f"-n should be at least 1, found {options.n}")
    parse_config({"seed": options.seed})
    output = _png(options.output)
    from dhm.evaluation.pictures import image_grid, save_image
    from dhm.models.base import LatentModel
    from dhm.models.build import load_model
    from dhm.training.pictures import has_pictures, sample_images

    model = load_model(options.run_folder)
    if not isinstance(model, LatentModel) or not model.has_samples:
        raise ConfigError(f"this {model.spec.model} has no p(x) to sample from; train a hybrid")
    if not has_pictures(model):
        raise ConfigError(
            f"sample draws images of one channel or three; this model's inputs have shape "
            f"{model.spec.shape}"
        )
    save_image(image_grid(sample_images(model, options.n, options.seed)), output)
    print(f"{options.n} samples in {output}")


def _data_options(command: argparse.ArgumentParser) -> None:
    from dhm.data import NAMES

    command.add_argument(
        "dataset", metavar="NAME", help=f"{', '.join(NAMES)}, or the path of a file or folder"
    )
    _add_data_dir(command)
    command.add_argument(
        "--seed_data", metavar="N", type=int, default=0, help="seed of the test split [0]"
    )
    command.add_argument("-o", "--output", metavar="FILE.png", help="the picture [NAME.png]")


def _data(options: argparse.Namespace) -> None:
    """Say what a data set holds and draw a picture of some of it."""
    parse_config({"seed_data": options.seed_data})
    default = f"{Path(options.dataset).resolve().stem}.png"
    output = _png(options.output or default)
    if options.output is None and output.exists():
        raise ConfigError(f"{output} exists: name the picture by --output, that one to replace it")
    from dhm.data import describe, load
    from dhm.evaluation.pictures import dataset_picture

    dataset = load(
        options.dataset,
        data_dir=options.data_dir,
        seed_data=options.seed_data,
        progress=sys.stderr.isatty(),
    )
    description = {**describe(dataset), "picture": output}
    width = max(map(len, description))
    for name, value in description.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {v}" for k, v in value.items())
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        print(f"{name:<{width}}  {value}")
    dataset_picture(dataset.train.x, dataset.train.y, dataset.classes, output)


def _recipes_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", nargs="?", help="show this one whole")


def _recipes(options: argparse.Namespace) -> None:
    """List the recipes, or show one with all of its options."""
    from dhm.recipes import RECIPES, load

    if options.name is None:
        for name in RECIPES:
            recipe = load(name)
            print(f"{name}\n    {recipe.about}")
            print(f"    time on 2 cores: {recipe.time or 'not measured yet'}")
            print(f"    expected: {recipe.expectation}")
        return
    recipe = load(options.name)
    print(f"{recipe.name}: {recipe.about}\n")
    print(f"time on 2 cores  {recipe.time or 'not measured yet'}")
    print(f"expected         {recipe.expectation}")
    print(f"run it           dhm train --recipe {recipe.name}\n\nThe same without the recipe:\n")
    print(recipe.command.replace(" --", " \\\n    --"))


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_folder", metavar="RUN", help="a run folder, or a .safetensors file")


def _add_data_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data_dir", metavar="DIR", help="folder to look for data in first")


def _png(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"the picture is a PNG: expected a name ending in .png, found {name}")
    return path


def _cell(value: float | None, form: str) -> str:
    """A figure in its column; empty where the model has none."""
    return " " * int(form[1:].partition(".")[0]) if value is None else format(value, form)


def _print_summary(summary: dict[str, Any]) -> None:
    """A table of the figures on validation and test data."""
    print(
        f"{summary['dataset']}, {summary['model']} ({summary['network']} network, "
        f"{summary['parameters']:,} weights)"
    )
    has_density = summary["test"]["log_likelihood"] is not None
    print(f"{'':12}{'error':>8}{'nll':>9}{'ece':>9}{'log p(x)' * has_density:>12}".rstrip())
    for part in ("validation", "test"):
        figures = summary[part]
        columns = (
            ("error", ">8.2%"),
            ("nll", ">9.4f"),
            ("ece", ">9.4f"),
            ("log_likelihood", ">12.2f"),
        )
        cells = [_cell(figures.get(name), form) for name, form in columns]
        print(f"{part:12}{''.join(cells)}".rstrip())
    if "run" in summary:
        print(f"run folder: {summary['run']}")
