"""`dhm sample`."""

import argparse
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dhm.commands.common import add_data_dir, add_run, add_seed, model_of
from dhm.config import parse_config
from dhm.errors import ConfigError, FewEffectiveSamplesWarning
from dhm.suggest import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from dhm.models.base import LatentModel

SUFFIXES = (".png", ".npy", ".npz")


def add_options(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument(
        "-n",
        metavar="N",
        type=int,
        help="how many [64]; of each class with --label all [10]; steps of --interpolate [10]",
    )
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="a picture, .png, or arrays in the units of the data, .npy or .npz (required)",
    )
    command.add_argument(
        "--label", metavar="CLASS", help="draw from p(x|y): a class by name or index, or all"
    )
    command.add_argument(
        "--interpolate",
        metavar="I",
        type=int,
        nargs="+",
        help="go from one input to the next through z: two or more positions in the test data",
    )
    add_seed(command)
    add_data_dir(command)


class _Drawn(NamedTuple):
    """What goes to the file."""

    x: "Tensor"
    """(N, *shape), in units of the stored inputs."""
    y: list[int] | None
    """Classes, where they were asked for."""
    columns: int | None
    """Images in a row of the picture; None for about as many as rows."""


def run(options: argparse.Namespace) -> None:
    """Draw new examples, or ways between two, from a trained model."""
    n, output = _checked(options)
    from dhm.inference.abilities import require_samples
    from dhm.training.pictures import has_pictures

    model = require_samples(model_of(options.run_folder))
    picture = output.suffix.lower() == ".png"
    if picture and not has_pictures(model):
        raise ConfigError(
            f"a .png shows images of one channel or three; this model's inputs have shape "
            f"{model.spec.shape}: name a .npy or .npz file"
        )
    if options.label is not None:
        labels = _labels(options.label, model.spec.classes)
        _check_size(model, n * len(labels))
        drawn = _of_classes(model, labels, n, options.seed, picture)
    elif options.interpolate is not None:
        _check_size(model, n * len(options.interpolate))
        drawn = _ways(model, options, n)
    else:
        from dhm.inference.sampling import sample

        _check_size(model, n)
        drawn = _Drawn(sample(model, n, seed=options.seed, mean=picture), None, None)
    _write(model, drawn, output)
    print(f"{len(drawn.x)} {'images' if options.interpolate else 'samples'} in {output}")


def _checked(options: argparse.Namespace) -> tuple[int, Path]:
    """How many, and the file: what can be refused before anything is loaded."""
    if options.label is not None and options.interpolate is not None:
        raise ConfigError("--label and --interpolate contradict each other: choose one")
    between = options.interpolate is not None
    n = options.n if options.n is not None else (10 if between or options.label == "all" else 64)
    least = 2 if between else 1
    if n < least:
        raise ConfigError(f"-n should be at least {least}, found {n}")
    if between and len(options.interpolate) < 2:
        raise ConfigError("--interpolate takes two or more positions, found one")
    parse_config({"seed": options.seed})
    output = Path(options.output)
    if output.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"expected a name ending in .png, .npy or .npz, found {output}")
    return n, output


def _check_size(model: "LatentModel", n: int) -> None:
    from dhm.inference.chunks import check_size

    check_size(f"{n} examples", n, model.spec.shape, "use a smaller -n, and several --seed")


def _labels(name: str, classes: tuple[str, ...]) -> list[int]:
    """The indices of the classes asked for: a name comes before an index."""
    if name in classes:
        return [classes.index(name)]
    if name == "all":
        return list(range(len(classes)))
    if name.isdecimal() and int(name) < len(classes):
        return [int(name)]
    raise ConfigError(f"--label: unknown class {name!r}{did_you_mean(name, [*classes, 'all'])}")


def _of_classes(model: "LatentModel", labels: list[int], n: int, seed: int, mean: bool) -> _Drawn:
    import torch

    from dhm.inference.sampling import decoded, sample_given_label

    parts = []
    for label in labels:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", FewEffectiveSamplesWarning)
            draws = sample_given_label(model, label, n, seed=seed)
        parts.append(decoded(model, draws.z) if mean else draws.x)
        name, effective = model.spec.classes[label], draws.effective_sample_size
        print(f"class {name}: effective sample size {effective:.0f} for {n} draws")
        for warning in caught:
            print(f"dhm: warning: {warning.message}", file=sys.stderr)
    columns = n if len(labels) > 1 else None
    return _Drawn(torch.cat(parts), [label for label in labels for _ in range(n)], columns)


def _ways(model: "LatentModel", options: argparse.Namespace, n: int) -> _Drawn:
    import torch

    from dhm.inference.chunks import rows
    from dhm.inference.sampling import interpolate
    from dhm.training.reevaluate import data_of_run

    _, data = data_of_run(options.run_folder, model, data_dir=options.data_dir)
    assert data.test is not None
    wrong = [i for i in options.interpolate if not 0 <= i < len(data.test)]
    if wrong:
        raise ConfigError(
            f"--interpolate takes positions from 0 to {len(data.test) - 1}, found {wrong[0]}"
        )
    ends = [rows(data.test.x, range(i, i + 1))[0] for i in options.interpolate]
    ways = [interpolate(model, a, b, n) for a, b in pairwise(ends)]
    return _Drawn(torch.cat(ways), None, n)


def _write(model: "LatentModel", drawn: _Drawn, output: Path) -> None:
    import numpy as np

    from dhm.evaluation.pictures import image_grid, save_image
    from dhm.files import replacing

    if output.suffix.lower() == ".png":
        pixels = model.standardize(drawn.x).clamp(0, 1)
        save_image(image_grid(pixels.cpu().numpy(), drawn.columns), output)
        return
    x = drawn.x.cpu().numpy()
    if model.spec.dtype == "uint8":
        x = x.round().clip(0, 255).astype(np.uint8)
    arrays: dict[str, Any] = {"x": x}
    if drawn.y is not None:
        arrays["y"] = np.array(drawn.y)
    with replacing(output) as temporary, temporary.open("wb") as file:
        if output.suffix.lower() == ".npy":
            np.save(file, x)
        else:
            np.savez_compressed(file, **arrays)
