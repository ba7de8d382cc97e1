"""What several commands ask for and print alike."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dhm.errors import ConfigError, RunError

if TYPE_CHECKING:
    from dhm.models.base import Model


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


def model_of(run: str, device: str = "cpu") -> "Model":
    """The model of a run folder or weights file, whose inputs are what data files hold.

    Raises `RunError` where there is none, and for that of an estimator which scales its inputs
    before the model sees them: answers about files would be wrong without a sign of it.
    """
    from dhm.models.build import load_model
    from dhm.nn.device import find_device

    model = load_model(run, str(find_device(device)))
    check_units(run)
    return model


def check_units(run: str) -> None:
    """Raise `RunError` for an estimator that scales its inputs; of no file nothing is said."""
    from dhm.models.build import weights_file
    from dhm.tensor_file import decoding, read_header

    path = weights_file(run)
    kept = read_header(path).get("estimator") if os.path.isfile(path) else None
    if kept is not None:
        from dhm.estimator.inputs import Layout

        with decoding(path):
            scales = Layout(**kept["layout"]).scales
        if scales:
            raise RunError(
                f"{run} is an estimator whose inputs are scaled before its model sees them, and "
                "files are not: ask it from Python, by dhm.HybridClassifier.load"
            )


def png(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"the picture is a PNG: expected a name ending in .png, found {name}")
    return path


def _cell(value: float | None, form: str) -> str:
    """A figure in its column, after a blank at least; empty where the model has none."""
    width = _width(form)
    # Figures of a run that went wrong may be too large for their column: fewer digits will do.
    texts = [] if value is None else [format(value, f).strip() for f in (form, ".6g", ".3g")]
    text = next((t for t in texts if len(t) < width), texts[-1] if texts else "")
    return f" {text}".rjust(width)


def _width(form: str) -> int:
    return int(form[1:].partition(".")[0])


def _examples(summary: dict[str, Any]) -> str:
    """How many examples taught, chose and test the model."""
    test = f"{summary['n_test']:,} test examples"
    if "n_train" not in summary:  # where a finished model is evaluated
        return test
    n, n_labeled = summary["n_train"], summary["n_labeled"]
    of = f" of {n:,} examples" if n > n_labeled else ""
    return f"{n_labeled:,} labels{of}, {summary['n_validation']:,} validation and {test}"


def print_summary(summary: dict[str, Any]) -> None:
    """A table of the figures on validation and test data."""
    parts = [part for part in ("validation", "test") if part in summary]
    print(
        f"{summary['dataset']}, {summary['model']} ({summary['network']} network, "
        f"{summary['parameters']:,} weights)"
    )
    print(_examples(summary))
    columns = [
        (name, heading, form)
        for name, heading, form in (
            ("error", "error", ">8.2%"),
            ("nll", "nll", ">9.4f"),
            ("ece", "ece", ">9.4f"),
            ("log_likelihood", "log p(x)", ">12.2f"),
        )
        if any(summary[part].get(name) is not None for part in parts)
    ]
    if columns:
        headings = (f"{heading:>{_width(form)}}" for _, heading, form in columns)
        print(f"{'':12}{''.join(headings)}")
        for part in parts:
            figures = [summary[part].get(name) for name, _, _ in columns]
            if all(figure is None for figure in figures):
                continue  # log p(x), where it is all there is, is estimated on test data alone
            cells = (_cell(f, form) for f, (_, _, form) in zip(figures, columns, strict=True))
            print(f"{part:12}{''.join(cells)}".rstrip())
    else:
        print("no figures: neither p(y|x) nor a density was trained; look at its samples")
    if "run" in summary:
        print(f"run folder: {summary['run']}")
