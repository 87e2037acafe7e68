"""Bits of noisy latents under a Gaussian or a Laplace convolved with the unit box."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_LIKELIHOOD_FLOOR = 2.0**-20


class _GaussianBits(torch.autograd.Function):
    """-log2(Φ((v+½)/σ) - Φ((v-½)/σ)); saves the two derivatives instead of the graph of a dozen steps."""

    @staticmethod
    def forward(ctx: Any, deviation: Tensor, scale: Tensor) -> Tensor:
        magnitude = deviation.abs()
        inverse = 1 / scale
        upper = (0.5 - magnitude) * inverse
        lower = (-0.5 - magnitude) * inverse
        likelihood = 0.5 * (torch.erfc(upper * -math.sqrt(0.5)) - torch.erfc(lower * -math.sqrt(0.5)))
        floored = likelihood.clamp_min(_LIKELIHOOD_FLOOR)
        density_upper = torch.exp(-0.5 * upper * upper)
        density_lower = torch.exp(-0.5 * lower * lower)
        factor = inverse / (floored * (math.log(2) * math.sqrt(2 * math.pi)))
        by_deviation = torch.copysign((density_upper - density_lower) * factor, deviation)
        by_scale = (upper * density_upper - lower * density_lower) * factor
        # Below the floor the density underflows; a slope towards the mean keeps such outliers trainable.
        outlier = likelihood < _LIKELIHOOD_FLOOR
        by_deviation = torch.where(outlier, torch.sign(deviation) * inverse, by_deviation)
        by_scale = torch.where(outlier, -magnitude * inverse * inverse, by_scale)
        ctx.save_for_backward(by_deviation, by_scale)
        return -torch.log2(floored)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        by_deviation, by_scale = ctx.saved_tensors
        return grads[0] * by_deviation, grads[0] * by_scale


def gaussian_bits(deviation: Tensor, scale: Tensor) -> Tensor:
    """Bits of latents ``deviation`` away from their means, standard deviation ``scale``; at most 20 each."""
    out: Tensor = _GaussianBits.apply(deviation, scale)
    return out


def laplace_bits(deviation: Tensor, scale: Tensor) -> Tensor:
    """Bits of latents ``deviation`` away from their means under a Laplace, standard deviation ``scale``; at most 20."""
    rate = math.sqrt(2) / scale
    # The bin's mass, from its end nearer to the mean; a bin that holds the mean is both sides of it.
    near, far = deviation.abs() - 0.5, deviation.abs() + 0.5
    beside = 0.5 * (torch.exp(-rate * near.clamp_min(0)) - torch.exp(-rate * far))
    around = 1 - 0.5 * (torch.exp(rate * near.clamp_max(0)) + torch.exp(-rate * far))
    return -torch.log2(torch.where(near < 0, around, beside).clamp_min(_LIKELIHOOD_FLOOR))
