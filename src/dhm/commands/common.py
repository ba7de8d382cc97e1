"""What several commands ask for and print alike."""

import argparse
from pathlib import Path
from typing import Any

from dhm.errors import ConfigError

PARTS = ("validation", "test")


def add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_folder", metavar="RUN", help="a run folder, or a .safetensors file")


def add_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the draws [0]")


def add_data_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data_dir", metavar="DIR", help="folder to look for data in first")


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:1, mps ... [auto]"
    )


def png(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"the picture is a PNG: expected a name ending in .png, found {name}")
    return path


def _cell(value: float | None, form: str) -> str:
    """A figure in its column; empty where the model has none."""
    return " " * _width(form) if value is None else format(value, form)


def _width(form: str) -> int:
    return int(form[1:].partition(".")[0])


def print_summary(summary: dict[str, Any]) -> None:
    """A table of the figures on validation and test data."""
    print(
        f"{summary['dataset']}, {summary['model']} ({summary['network']} network, "
        f"{summary['parameters']:,} weights)"
    )
    columns = [
        (name, heading, form)
        for name, heading, form in (
            ("error", "error", ">8.2%"),
            ("nll", "nll", ">9.4f"),
            ("ece", "ece", ">9.4f"),
            ("log_likelihood", "log p(x)", ">12.2f"),
        )
        if any(summary[part].get(name) is not None for part in PARTS)
    ]
    if columns:
        headings = (f"{heading:>{_width(form)}}" for _, heading, form in columns)
        print(f"{'':12}{''.join(headings)}")
        for part in PARTS:
            figures = [summary[part].get(name) for name, _, _ in columns]
            if all(figure is None for figure in figures):
                continue  # log p(x), where it is all there is, is estimated on test data alone
            cells = (_cell(f, form) for f, (_, _, form) in zip(figures, columns, strict=True))
            print(f"{part:12}{''.join(cells)}".rstrip())
    else:
        print("no figures: neither p(y|x) nor a density was trained; look at its samples")
    if "run" in summary:
        print(f"run folder: {summary['run']}")
