"""The synthesis run backwards gives the derivatives that autograd finds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.config import CONFIGS, ModelConfig
from maevid.model.feedback import synthesis_with_feedback

SMALL = replace(CONFIGS["mae"], channels=12, latents=20, width_16=10, hyper=8, hyper_latents=4, blocks_16=2)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, lapped=False),
        replace(SMALL, modulation="bottleneck", units="samples"),
        replace(SMALL, blocks_8=0, blocks_16=1),
        replace(SMALL, modulation="none", lambda_min=0.01, lambda_max=0.01),
    ],
    ids=["mae", "no overlap", "bottleneck", "few blocks", "one rate"],
)
def test_derivatives_are_those_of_autograd(config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = ModulatedAutoencoder(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.requires_grad_(False)
    latents = 3 * torch.randn(2, config.latents, 4, 6)
    gains = model.gains(torch.tensor([-0.5, 0.8]))
    error = torch.randn(2, 96, 8, 12)

    leaf = latents.clone().requires_grad_(True)
    expected = model.synthesise(leaf, gains)
    expected.backward(error)
    decoded, back = synthesis_with_feedback(model.synthesis, latents, gains)
    found = back(error)
    assert leaf.grad is not None
    assert (decoded - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (found - leaf.grad).abs().max() < 1e-4 * leaf.grad.abs().max()
