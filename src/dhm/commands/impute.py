"""`dhm impute`."""

import argparse
from pathlib import Path
from typing import Any

from dhm.commands.common import add_data_dir, add_device, add_run, add_seed, model_of
from dhm.config import parse_config
from dhm.errors import ConfigError, DataError

COLUMNS, IN_PICTURE = 10, 40
"""Examples side by side in a picture, and in all of it."""


def add_options(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument(
        "file",
        metavar="FILE",
        help="a .npy, .npz, .h5, .csv or .parquet file with NaN or empty cells where something is "
        "missing; an image, a folder of images, or the name of a data set, of which the test part "
        "is taken",
    )
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="the same with its gaps filled in: .npy, .npz (with standard deviations), of tables "
        ".csv or .parquet; or a .png of images with holes and filled in (required)",
    )
    command.add_argument(
        "--draws",
        metavar="N",
        type=int,
        default=0,
        help="fill in N times by draws instead of once by the mean [0]",
    )
    command.add_argument(
        "--n_samples", metavar="N", type=int, default=100, help="importance samples of z [100]"
    )
    command.add_argument(
        "--hide_pattern",
        metavar="NAME",
        help="hide parts first, to see how well they are filled in: random, block, quadrant, half, "
        "left, right, top or bottom",
    )
    command.add_argument(
        "--rate",
        metavar="X",
        type=float,
        default=0.5,
        help="the share that random and block hide [0.5]",
    )
    add_seed(command)
    add_data_dir(command)
    add_device(command)


def run(options: argparse.Namespace) -> None:
    """Fill in what is missing of inputs."""
    parse_config({"seed": options.seed})
    if options.draws < 0:
        raise ConfigError(f"--draws should be at least 0, found {options.draws}")
    from dhm.data.completed import check_draws, check_output, read_incomplete, write_completed
    from dhm.data.stream import Form, check_not_read

    as_picture = Path(options.output).suffix.lower() == ".png"
    if not as_picture:
        check_output(options.output, options.file)
    check_not_read(options.output, [options.file], options.data_dir)
    import numpy as np

    from dhm.data.patterns import with_holes
    from dhm.inference.chunks import check_size
    from dhm.inference.missing import impute

    model = model_of(options.run_folder, options.device)
    shape, seed = model.spec.shape, options.seed
    if as_picture and (len(shape) != 3 or shape[0] not in (1, 3)):
        raise ConfigError(
            f"a picture shows images of one channel or three; this model's inputs have shape "
            f"{shape}: name another kind of output"
        )
    n_draws = max(1, options.draws)

    def check(n: int) -> None:
        what = f"{n_draws} fillings of {n} inputs and their moments"
        check_size(what, (n_draws + 2) * n, shape, "use a smaller --draws, or a part of the file")

    source = read_incomplete(
        options.file,
        Form(shape, model.spec.dtype, missing=True, features=model.spec.features),
        data_dir=options.data_dir,
        most=IN_PICTURE if as_picture else None,
        check=check,
    )
    if options.draws:
        check_draws(options.output, source)
    original = source.x
    x: Any = np.asarray(original, np.float32)
    if options.hide_pattern:
        x = with_holes(x, _hole(options, shape, len(x)))
    missing = np.isnan(x)
    if not missing.any():
        raise DataError(
            f"{options.file}: nothing is missing; mark it by NaN or an empty cell, or hide parts "
            "by --hide_pattern"
        )
    filled = impute(model, x, n_draws, n_samples=options.n_samples, seed=seed)
    mean, spread, draws = (part.cpu().numpy() for part in filled)
    if as_picture:
        _picture(model, [x, mean, *draws[: options.draws]], original, options)
    else:
        write_completed(options.output, source, mean, spread, draws if options.draws else None)
    print(f"{missing.sum():,} of {missing.size:,} entries filled in: {options.output}")
    known = missing & ~np.isnan(original)
    if known.any():
        error = np.sqrt(np.square(mean - original, dtype=np.float64)[known].mean())
        print(f"root mean square error of those that were hidden: {error:.4g}")


def _hole(options: argparse.Namespace, shape: tuple[int, ...], n: int) -> Any:
    from dhm.data.patterns import missing_entries

    return missing_entries(options.hide_pattern, shape, n, rate=options.rate, seed=options.seed)


def _picture(model: Any, rows: list[Any], original: Any, options: argparse.Namespace) -> None:
    """Below one another the original, if it is known, with holes, and filled in."""
    import numpy as np

    from dhm.evaluation.pictures import image_grid, save_image
    from dhm.nn.device import to_device

    if options.hide_pattern:
        rows = [np.asarray(original, np.float32), *rows]
    columns = min(COLUMNS, len(original))
    n = len(original) // columns * columns
    x = to_device(np.stack(rows)[:, :n], model.standardize.scale.device)
    u = model.standardize(x).cpu().numpy()
    blocks = u.reshape(len(rows), n // columns, columns, *u.shape[2:]).swapaxes(0, 1)
    save_image(image_grid(blocks.reshape(-1, *u.shape[2:]), columns), options.output)
