"""Layers that the transforms share: pointwise and depthwise convolutions and the residual block."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maevid.model.integer import leaky

STEADY_INPUTS = 128
"""In float32, oneDNN splits sums over more inputs by the number of threads, and the same command would give other
bytes with other threads. Inference therefore adds them up in parts of this size."""


class Pointwise(nn.Module):
    """A 1×1 convolution whose weight is a matrix (outputs, inputs), so that matrix optimizers take it as it is.

    Input (B, inputs, h, w), output (B, outputs, h, w).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


def pointwise(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1×1 convolution with a matrix (outputs, inputs), (B, inputs, h, w) to (B, outputs, h, w)."""
    weight = matrix[:, :, None, None]
    if torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type):
        return F.conv2d(x, weight, bias)
    out = F.conv2d(x[:, :STEADY_INPUTS], weight[:, :STEADY_INPUTS], bias)
    for start in range(STEADY_INPUTS, x.shape[1], STEADY_INPUTS):
        end = start + STEADY_INPUTS
        out = out + F.conv2d(x[:, start:end], weight[:, start:end])
    return out


class Depthwise(nn.Module):
    """A 3×3 convolution of each channel on its own, zero padded, starting as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        weight = torch.randn(channels, 1, 3, 3) * 0.1
        weight[:, :, 1, 1] += 1
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=1, groups=x.shape[1])


def companding_gain(x: Tensor) -> Tensor:
    """1/√(1 + |x|)."""
    return torch.rsqrt(1 + x.abs())


def compand(x: Tensor) -> Tensor:
    """x/√(1 + |x|): the identity around zero, a signed square root far from it."""
    return x * companding_gain(x)


class ResidualBlock(nn.Module):
    """Spatial, then channel mixing, each added to its input.

    x += 1×1(dw3×3(leaky(1×1(c(x))))); x += 1×1(leaky(1×1→2W(c(x)))), W the ``width`` of the branches. c is
    :func:`compand` where the features are in quantiser units (``companded``), so that a branch sees coefficients near
    the quantiser's step beside those of hundreds of steps; else the identity. The last layer of each branch starts at
    zero, so that a new block is the identity and a KLT start stays a KLT. The sum keeps the input's
    precision (float32), since half-precision sums would lose the low bits of the strong channels.
    """

    def __init__(self, channels: int, width: int, *, companded: bool) -> None:
        super().__init__()
        self.companded = companded
        self.spatial_in = Pointwise(channels, width)
        self.spatial = Depthwise(width)
        self.spatial_out = Pointwise(width, channels)
        self.mix_in = Pointwise(channels, 2 * width)
        self.mix_out = Pointwise(2 * width, channels)
        for layer in (self.spatial_out, self.mix_out):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        seen = compand(x) if self.companded else x
        x = x + self.spatial_out(self.spatial(leaky(self.spatial_in(seen))))
        seen = compand(x) if self.companded else x
        out: Tensor = x + self.mix_out(leaky(self.mix_in(seen)))
        return out
