"""Features of the entropy networks are scaled without changing what the network computes, and rounded less coarsely."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.config import CONFIGS
from maevid.model.prior import EntropyModel
from maevid.training.balance import balance
from maevid.training.loop import Trainer, TrainingOptions
from maevid.training.pictures import Pictures

SMALL = dataclasses.replace(
    CONFIGS["mae-fast"], latents=32, blocks_16=1, width_16=16, hyper=16, hyper_latents=8
)
Batch = tuple[Tensor, Tensor, Tensor]


def _features(model: ModulatedAutoencoder, batch: Batch, *, exact: bool) -> Tensor:
    """The entropy networks' features of a batch, each channel by its own size."""
    entropy = model.entropy
    assert isinstance(entropy, EntropyModel)
    position = torch.linspace(-0.8, 0.5, len(batch[0]))
    gains = model.gains(position)
    latents = model.analyse(model.representation.pack(*batch) - 0.5, gains)
    z = torch.round(model.hyper_analysis(latents, gains))
    entropy.set_exact(exact)
    features = entropy.features(z, entropy.conditions(position, model.log_gain(gains)), *latents.shape[-2:])
    entropy.set_exact(False)
    return features / features.abs().amax((0, 2, 3), keepdim=True).clamp_min(1e-3)


@torch.inference_mode()
def test_the_same_network_on_a_finer_grid(bunny: Path, hall: Path, tmp_path: Path) -> None:
    pictures = Pictures([bunny, hall], tmp_path / "cache")
    options = TrainingOptions(batch=2, crop=64, half=False, compiled=False)
    with torch.inference_mode(False):
        trainer = Trainer(SMALL, pictures, tmp_path / "run", options)
        for _ in range(8):
            trainer.step()
    model = trainer.model.eval()
    batch = pictures.batch(4, 128, np.random.default_rng(3))
    lam = torch.tensor([0.001, 0.01, 0.1, 1.0])

    def measure() -> tuple[Tensor, float]:
        found = model(*batch, lam, noise=False)
        coarse = _features(model, batch, exact=True) - _features(model, batch, exact=False)
        return torch.cat((found.bits_y, found.decoded.flatten())), float(coarse.abs().mean())

    before, coarseness = measure()
    balance(model, pictures)
    after, finer = measure()
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    # Twice as fine where a channel has room; the hyper-latents that all begins with stay as they are.
    assert finer < 0.8 * coarseness
