"""What several commands ask for and print alike."""

import argparse
from pathlib import Path
from typing import Any

from dhm.errors import ConfigError


def add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_folder", metavar="RUN", help="a run folder, or a .safetensors file")


def add_data_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data_dir", metavar="DIR", help="folder to look for data in first")


def png(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"the picture is a PNG: expected a name ending in .png, found {name}")
    return path


def _cell(value: float | None, form: str) -> str:
    """A figure in its column; empty where the model has none."""
    return " " * int(form[1:].partition(".")[0]) if value is None else format(value, form)


def print_summary(summary: dict[str, Any]) -> None:
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
