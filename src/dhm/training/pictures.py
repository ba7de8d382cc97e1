"""The pictures of a run: samples, reconstructions and learning curves."""

from collections.abc import Callable
from typing import TypeGuard

from dhm.data.dataset import Examples
from dhm.evaluation.pictures import image_grid, reconstruction_grid, save_image
from dhm.inference.predict import reconstruct
from dhm.inference.sampling import sample
from dhm.models.base import LatentModel, Model
from dhm.nn.device import to_device
from dhm.training.run_folder import RunFolder

N_SAMPLES = 64
N_RECONSTRUCTIONS = 32


def has_pictures(model: Model) -> TypeGuard[LatentModel]:
    """Whether a model's samples can be drawn: images of one channel or three."""
    shape = model.spec.shape
    drawable = len(shape) == 3 and shape[0] in (1, 3)
    return model.has_samples and drawable


def picture_writer(run: RunFolder, examples: Examples, seed: int) -> Callable[[Model, int], None]:
    """What the loop calls every few epochs; does nothing for models or data without pictures."""

    def write(model: Model, epoch: int) -> None:
        if not has_pictures(model):
            return
        x = examples.x[:N_RECONSTRUCTIONS]
        samples, pixels, reconstructions = (
            model.standardize(part).clamp(0, 1).cpu().numpy()
            for part in (
                sample(model, N_SAMPLES, seed=seed, mean=True),
                to_device(x, model.standardize.scale.device),
                reconstruct(model, x),
            )
        )
        save_image(image_grid(samples), run.picture("samples", epoch))
        grid = reconstruction_grid(pixels, reconstructions)
        save_image(grid, run.picture("reconstructions", epoch))

    return write
