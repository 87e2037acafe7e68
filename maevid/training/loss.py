"""The training objective: rate plus λ times distortion, as a logarithm for each picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maevid.model.autoencoder import ModulatedAutoencoder, TrainingOutput
from maevid.model.config import ModelConfig

HYPER_RATE_STEPS = 800
_LOSS_FLOOR = 0.01
USUAL_LAMBDAS = (2.0**-10.5, 2.0**-3)
"""About 0.08 to 1.4 bits a pixel."""
USUAL_DENSITY = 2.4


@dataclass(frozen=True)
class Objective:
    """Terms for each picture (B,): bits a luma sample of y and z, weighted mean squared error (0..1 samples), loss."""

    rate_y: Tensor
    rate_z: Tensor
    distortion: Tensor
    loss: Tensor


def objective(
    model: ModulatedAutoencoder, output: TrainingOutput, lam: Tensor, step: int | None
) -> Objective:
    """R + λ·255²·D for each picture; before step 800 the rate of z counts only in part.

    A hyper-latent that has to pay for itself from the first step falls silent and stays so.
    ``step`` None means that everything counts: in evaluation, and where a trained network goes on.
    """
    form = model.representation
    pixels = output.source.shape[-2] * output.source.shape[-1] * form.luma_samples
    weights = form.weights(model.config.plane_weights).to(output.source.device)[:, None, None]
    distortion = ((output.decoded - output.source) ** 2 * weights).sum((1, 2, 3)) / pixels
    rate_y, rate_z = output.bits_y / pixels, output.bits_z / pixels
    share = 1.0 if step is None else min(1.0, step / HYPER_RATE_STEPS)
    loss = rate_y + share * rate_z + lam * 255**2 * distortion
    return Objective(rate_y, rate_z, distortion, loss)


def log_loss(loss: Tensor) -> Tensor:
    """ln(loss) of each picture: a percent saved counts the same for every picture and λ, as it does in BD-rate."""
    return torch.log(loss + _LOSS_FLOOR)


def draw_lambdas(config: ModelConfig, count: int) -> Tensor:
    """λ for each picture of a batch over the model's range, stratified over the batch.

    Log-uniform, but :data:`USUAL_DENSITY` times as dense where most video is coded (:data:`USUAL_LAMBDAS`).
    """
    low, high = math.log(config.lambda_min), math.log(config.lambda_max)
    first, last = (min(max(math.log(lam), low), high) for lam in USUAL_LAMBDAS)
    parts = ((first - low, 1.0), (last - first, USUAL_DENSITY), (high - last, 1.0))
    left = (
        (torch.randperm(count) + torch.rand(count)) / count * sum(length * dense for length, dense in parts)
    )
    log_lam = torch.full((count,), low)
    for length, dense in parts:
        log_lam += left.clamp(0, length * dense) / dense
        left -= length * dense
    return torch.exp(log_lam)
