"""`dhm train`."""

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from dhm.commands.common import print_summary
from dhm.config import TrainConfig, changed, from_words, option_type, parse_config, read_config
from dhm.errors import ConfigError, RunError

METAVARS = {int: "N", float: "X", str: "NAME", bool: "true|false"}


def add_options(command: argparse.ArgumentParser) -> None:
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
        # An option that is on or off is on where nothing follows it.
        flag: dict[str, Any] = {"nargs": "?", "const": "true"} if kind is bool else {}
        # Only what was typed is kept: the rest may come from a file.
        group.add_argument(
            *flags,
            dest=f.name,
            help=text.replace("%", "%%"),
            default=argparse.SUPPRESS,
            metavar=metavar,
            **flag,
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


def run(options: argparse.Namespace) -> None:
    """Train a model and write its run folder."""
    names = {f.name for f in fields(TrainConfig)}
    given = from_words({name: word for name, word in vars(options).items() if name in names})
    values = _resumed_options(options, given) if options.resume else _prepared_options(options)
    config = parse_config(changed(values, given))
    from dhm.training.engine import end_processes
    from dhm.training.train import train

    summary = train(
        config,
        resume=options.resume,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    end_processes()
    if os.environ.get("RANK", "0") != "0":
        return
    if summary.get("finished_before"):
        print(
            f"dhm: this run was finished after {summary['epochs']} epochs; a larger --epochs "
            f"makes it go on",
            file=sys.stderr,
        )
    print_summary(summary)


def _prepared_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a recipe or a file gives."""
    if None not in (options.recipe, options.config):
        raise ConfigError(
            "--recipe and --config contradict each other: both give options; leave one out"
        )
    if options.recipe is not None:
        from dhm.recipes import load as load_recipe

        return dict(load_recipe(options.recipe).options)
    return {} if options.config is None else read_config(options.config)


def _resumed_options(options: argparse.Namespace, given: dict[str, Any]) -> dict[str, Any]:
    """The options that a run was started with."""
    if options.overwrite:
        raise ConfigError("--resume and --overwrite contradict each other")
    for name in ("config", "recipe"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--resume takes the run's own options: leave out --{name}")
    if "n_labeled" in given and given["n_labeled"] is None:
        raise ConfigError("--resume takes the run's own labels: leave out --n_labeled")
    if "logname" not in given:
        raise ConfigError("--resume needs --logname: the name of the run to go on with")
    folder = Path(given.get("run_dir", TrainConfig.run_dir)) / given["logname"]
    if not (folder / "config.yaml").is_file():
        raise RunError(f"no run at {folder} to resume")
    started = read_config(folder / "config.yaml")
    if "epochs" in given:  # then what was filled in for the old length is filled in anew
        started.pop("rampdown", None)
    return started
