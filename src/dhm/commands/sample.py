"""`dhm sample`."""

import argparse

from dhm.commands.common import add_run, png
from dhm.config import parse_config
from dhm.errors import ConfigError


def add_options(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument("-n", metavar="N", type=int, default=64, help="how many [64]")
    command.add_argument(
        "-o", "--output", required=True, metavar="FILE.png", help="the picture (required)"
    )
    command.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the draws [0]")


def run(options: argparse.Namespace) -> None:
    """Draw new examples from a trained model into a picture."""
    if options.n < 1:
        raise ConfigError(f"-n should be at least 1, found {options.n}")
    parse_config({"seed": options.seed})
    output = png(options.output)
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
