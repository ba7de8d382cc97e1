"""The pictures of a run: samples, reconstructions and learning curves."""

from collections.abc import Callable
from typing import Any, TypeGuard

import torch

from dhm.data.dataset import Examples
from dhm.evaluation.pictures import image_grid, reconstruction_grid, save_image
from dhm.inference.noise import seeded
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


@torch.no_grad()
def sample_images(model: LatentModel, n: int, seed: int) -> Any:
    """What n draws of z decode to, (n, C, H, W) pixels in [0, 1], as a numpy array."""
    model.eval()
    with seeded(seed, model.standardize.scale.device):
        return model.decode(model.sample_prior(n)).clamp(0, 1).cpu().numpy()


def picture_writer(run: RunFolder, examples: Examples, seed: int) -> Callable[[Model, int], None]:
    """What the loop calls every few epochs; does nothing for models or data without pictures."""

    def write(model: Model, epoch: int) -> None:
        if not has_pictures(model):
            return
        samples = sample_images(model, N_SAMPLES, seed)
        save_image(image_grid(samples), run.picture("samples", epoch))
        device = model.standardize.scale.device
        x = to_device(examples.x[:N_RECONSTRUCTIONS], device)
        with torch.no_grad():
            reconstruction = model.decode(model.encode(x)).clamp(0, 1)
            pixels = model.standardize(x).clamp(0, 1)
        grid = reconstruction_grid(pixels.cpu().numpy(), reconstruction.cpu().numpy())
        save_image(grid, run.picture("reconstructions", epoch))

    return write
