"""The decoder of patches: where each patch goes, and what the patches share."""

import pytest
import torch
from torch import nn

from dhm.nn.distributions import LIKELIHOODS
from dhm.nn.patches import N_CHANNELS, N_SHARED, SIDE, PatchDecoder, hybrid

BERNOULLI = LIKELIHOODS["bernoulli"]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 14), (1, 1, 1)])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_any_size_and_any_batch(shape: tuple[int, ...], likelihood: str) -> None:
    torch.manual_seed(0)
    decoder = PatchDecoder(5, 16, shape, LIKELIHOODS[likelihood])
    z = torch.randn(2, 3, 5)
    p = decoder(z)
    assert (p.batch_shape, p.event_shape) == ((2, 3), shape)
    alone = torch.stack([decoder(one).mean for one in z.flatten(0, 1)])
    torch.testing.assert_close(p.mean.flatten(0, 1), alone)


def test_a_patch_is_made_of_its_features_alone() -> None:
    torch.manual_seed(0)
    decoder = PatchDecoder(5, 16, (2, 12, 8), BERNOULLI)
    grid = torch.randn(1, 3, 2, N_CHANNELS)
    grid[0, 2, 1] = grid[0, 0, 0]

    class Fixed(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return grid

    decoder.features = Fixed()  # type: ignore[assignment]
    logits = decoder(torch.zeros(1, 5)).base_dist.logits[0]
    # One network; not bit for bit, as products of matrices may take their last rows another way.
    torch.testing.assert_close(logits[:, :SIDE, :SIDE], logits[:, 2 * SIDE :, SIDE:])
    expected = decoder.pixels(grid[0, 1, 1])
    torch.testing.assert_close(logits[:, SIDE : 2 * SIDE, SIDE:], expected)
    grid[0, 1, 1] += 1
    changed = decoder(torch.zeros(1, 5)).base_dist.logits[0] != logits
    assert changed[:, SIDE : 2 * SIDE, SIDE:].all() and changed.sum() == 2 * SIDE**2


def test_borders_have_a_bias_of_their_own() -> None:
    decoder = PatchDecoder(5, 16, (1, 10, 10), BERNOULLI)
    z = torch.randn(4, 5)
    before = decoder(z).base_dist.logits
    with torch.no_grad():
        decoder.bias[0, 0, 9, 9] = 2.0
    added = decoder(z).base_dist.logits - before
    assert added[:, 0, 9, 9].allclose(torch.tensor(2.0)) and (added != 0).sum() == 4


def test_most_weights_are_in_the_dense_layers_and_shared_ones_are_few() -> None:
    decoder = PatchDecoder(50, 512, (1, 28, 28), BERNOULLI)
    shared = sum(p.numel() for p in decoder.pixels.parameters())
    assert shared == (N_CHANNELS + 1) * N_SHARED + (N_SHARED + 1) * SIDE**2


def test_vectors_have_the_small_decoder() -> None:
    sizes = {"n_latent": 3, "n_aux": 2, "n_hidden": 8}
    parts = hybrid((6,), 4, LIKELIHOODS["gaussian"], **sizes)
    assert parts.decoder(torch.zeros(2, 3)).x.event_shape == (6,)
