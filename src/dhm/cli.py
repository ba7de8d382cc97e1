"""The command line: reads options, calls the library, prints."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from dhm.config import TrainConfig, option_type, parse_config, read_yaml
from dhm.errors import ConfigError, DHMError, RunError

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for an error, 130 when interrupted."""
    try:
        options = make_parser().parse_args(arguments)
        options.run(options)
    except DHMError as error:
        print(f"dhm: error: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt as error:
        print(f"\ndhm: interrupted{f'; {error}' if str(error) else ''}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output left, as in `dhm data digits | head -1`
        sys.stderr.close()
        return 1
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = Parser(prog="dhm", description=__doc__, allow_abbrev=False)
    parser.description = (
        "Deep hybrid models: train one, and ask it what a classifier cannot answer."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, add, run in (
        ("train", _train_options, _train),
        ("evaluate", _evaluate_options, _evaluate),
        ("sample", _sample_options, _sample),
        ("data", _data_options, _data),
    ):
        summary = run.__doc__.splitlines()[0] if run.__doc__ else ""
        command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        command.set_defaults(run=run)
        add(command)
    return parser


def _train_options(command: argparse.ArgumentParser) -> None:
    from dhm.models.registry import MODELS

    for f in fields(TrainConfig):
        kind, choices, _ = option_type(f)
        # Both spellings of every name, and only what was typed is kept.
        flags = dict.fromkeys([f"--{f.name}", f"--{f.name.replace('_', '-')}"])
        if f.metadata["short"]:
            flags = {f"-{f.metadata['short']}": None, **flags}
        text = f.metadata["help"].replace("%", "%%")
        if choices:
            text += f" ({', '.join(choices)})"
        if f.default is not None:
            text += f" [{f.default}]"
        command.add_argument(
            *flags, type=kind, help=text, default=argparse.SUPPRESS, metavar=kind.__name__.upper()
        )
    command.add_argument(
        "--config", metavar="FILE", help="options from a file such as a run's config.yaml"
    )
    command.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run --logname from its last checkpoint",
    )
    command.add_argument("--overwrite", action="store_true", help="replace the run --logname")
    command.add_argument("-q", "--quiet", action="store_true", help="print the final table only")
    command.epilog = f"models: {', '.join(MODELS)}"


def _train(options: argparse.Namespace) -> None:
    """Train a model and write its run folder."""
    names = {f.name for f in fields(TrainConfig)}
    given = {name: value for name, value in vars(options).items() if name in names}
    values = read_yaml(options.config) if options.config else {}
    if options.resume:
        values = _resumed_options(options, given)
    config = parse_config(values | given)
    from dhm.training.train import train

    summary = train(
        config,
        resume=options.resume,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    _print_summary(summary)


def _resumed_options(options: argparse.Namespace, given: dict[str, Any]) -> dict[str, Any]:
    """The options a run was started with; those typed again must agree, but for its length."""
    if options.overwrite:
        raise ConfigError("--resume and --overwrite contradict each other")
    if options.config:
        raise ConfigError("--resume takes the run's own options: leave out --config")
    if "logname" not in given:
        raise ConfigError("--resume needs --logname: the name of the run to go on with")
    folder = Path(given.get("run_dir", TrainConfig.run_dir)) / given["logname"]
    if not (folder / "config.yaml").is_file():
        raise RunError(f"no run at {folder} to resume")
    values = read_yaml(folder / "config.yaml")
    free = {"epochs", "patience", "device", "data_dir", "picture_every", "checkpoint_every"}
    for name, value in given.items():
        if name in values.keys() - free and values[name] != value:
            raise ConfigError(
                f"--{name} {value} contradicts the run {folder}, started with {values[name]}"
            )
    return values


def _evaluate_options(command: argparse.ArgumentParser) -> None:
    _add_run(command)
    command.add_argument("--dataset", help="another data set, of the same shape and classes")
    command.add_argument("--data_dir", "--data-dir", help="folder to look for data in first")
    command.add_argument(
        "--n_eval_samples", "--n-eval-samples", type=int, help="importance samples for log p(x)"
    )
    command.add_argument("--json", metavar="FILE", help="write the figures to a JSON file too")


def _evaluate(options: argparse.Namespace) -> None:
    """Print the figures of a trained model on validation and test data."""
    from dhm.training.reevaluate import evaluate_run

    summary = evaluate_run(
        options.run_folder, options.dataset, options.data_dir, options.n_eval_samples
    )
    if options.json:
        import json

        from dhm.training.run_folder import write_text

        write_text(Path(options.json), json.dumps(summary, indent=2) + "\n")
    _print_summary(summary)


def _sample_options(command: argparse.ArgumentParser) -> None:
    _add_run(command)
    command.add_argument("-n", type=int, default=64, help="how many [64]")
    command.add_argument("-o", "--output", required=True, metavar="FILE.png", help="the picture")
    command.add_argument("--seed", type=int, default=0, help="seed of the draws [0]")


def _sample(options: argparse.Namespace) -> None:
    """Draw new examples from a trained model into a picture."""
    from dhm.evaluation.pictures import image_grid, save_image
    from dhm.models.base import GenerativeModel
    from dhm.models.build import load_model
    from dhm.training.pictures import sample_images
    from dhm.training.run_folder import writing

    if options.n < 1:
        raise ConfigError(f"-n should be at least 1, found {options.n}")
    output = _png(options.output)
    model = load_model(options.run_folder)
    if not isinstance(model, GenerativeModel):
        raise ConfigError(f"a {model.spec.model} has no p(x) to sample from; train a hybrid")
    if len(model.spec.shape) != 3:
        raise ConfigError(
            f"sample draws images; this model's inputs are vectors {model.spec.shape}"
        )
    with writing(str(output)):
        save_image(image_grid(sample_images(model, options.n, options.seed)), output)
    print(f"{options.n} samples in {output}")


def _data_options(command: argparse.ArgumentParser) -> None:
    from dhm.data import NAMES

    command.add_argument(
        "dataset", metavar="NAME", help=f"{', '.join(NAMES)}, or the path of a file or folder"
    )
    command.add_argument("--data_dir", "--data-dir", help="folder to look for data in first")
    command.add_argument(
        "--seed_data", "--seed-data", type=int, default=0, help="seed of the test split"
    )
    command.add_argument("-o", "--output", metavar="FILE.png", help="the picture [NAME.png]")


def _data(options: argparse.Namespace) -> None:
    """Say what a data set holds and draw a picture of some of it."""
    from dhm.data import describe, load
    from dhm.evaluation.pictures import dataset_picture
    from dhm.training.run_folder import writing

    output = _png(options.output or f"{Path(options.dataset).stem}.png")
    dataset = load(
        options.dataset,
        data_dir=options.data_dir,
        seed_data=options.seed_data,
        progress=sys.stderr.isatty(),
    )
    description = describe(dataset)
    width = max(map(len, description))
    for name, value in description.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {v}" for k, v in value.items())
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        print(f"{name:<{width}}  {value}")
    with writing(str(output)):
        dataset_picture(dataset.train.x, dataset.train.y, dataset.classes, output)
    print(f"{'picture':<{width}}  {output}")


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_folder", metavar="RUN", help="a run folder, or a .safetensors file")


def _png(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"the picture is a PNG: expected a name ending in .png, found {name}")
    return path


def _print_summary(summary: dict[str, Any]) -> None:
    """A table of the figures on validation and test data."""
    print(
        f"{summary['dataset']}, {summary['model']} ({summary['network']} network, "
        f"{summary['parameters']:,} weights)"
    )
    print(f"{'':12}{'error':>10}{'nll':>10}{'ece':>10}{'log p(x)':>12}")
    for part in ("validation", "test"):
        figures = summary[part]
        error, log_px = f"{figures['error']:.2%}", figures.get("log_likelihood")
        last = "" if log_px is None else f"{log_px:.2f}"
        print(f"{part:12}{error:>10}{figures['nll']:>10.4f}{figures['ece']:>10.4f}{last:>12}")
    if "run" in summary:
        print(f"run folder: {summary['run']}")
