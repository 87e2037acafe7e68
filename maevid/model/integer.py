"""Layers whose arithmetic is exact: int8 weights, activations of 8 or 9 bits, in float32 on power-of-two grids.

Activations are multiples of 2^-4 or 2^-5 in -8..8 (8 excluded), weights multiples of 2^-k with |w|·2^k ≤ 127, one k
for each output channel. Every product and every partial sum is then an integer of magnitude below 2^24
times a power of two, hence exact in float32 in any order, on any device (:mod:`maevid.model.bounds` proves it
for a model file); only matrix products, 1×1 and depthwise convolutions are used, since FFT algorithms would
round. All factors have at most 8 significant bits, so products in TF32 or bfloat16 with float32 sums, which
hardware may be set to use for float32, are exact too. Requantisation is a rounding to a power-of-two grid
(floor(x + ½)), and the leaky slope is 2^-3: both exact.

While ``exact`` is off (the first phase of training) the same layers run unquantised.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATION_LIMIT = 8.0
WEIGHT_MAX = 127
LEAKY_SLOPE = 2.0**-3
OFFSET_STEP = 2.0**-6
MAX_EXPONENT = 14
EXACT_SUM_LIMIT = 2**24
BATCH_LIMIT = 15
"""On a CPU without oneDNN PyTorch hands larger batches to NNPACK, which convolves by Fourier transform."""


class _RoundStraightThrough(torch.autograd.Function):
    """floor(x/step + ½)·step, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float) -> Tensor:
        return torch.floor(x * (1 / step) + 0.5) * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _ClampInward(torch.autograd.Function):
    """clamp(x), with the gradient kept where a step along it leads back into the range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        out: Tensor = x.clamp(low, high)
        # Not masks: TorchInductor's loops write those one by one.
        ctx.save_for_backward(x - out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (beyond,) = ctx.saved_tensors
        return torch.where(beyond * grads[0] < 0, 0.0, grads[0]), None, None


def round_to(x: Tensor, step: float) -> Tensor:
    """Round to multiples of ``step`` (a power of two), halves up; straight-through gradient."""
    out: Tensor = _RoundStraightThrough.apply(x, step)
    return out


def clamp_inward(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp to low..high; the gradient passes where it would move x back inside."""
    out: Tensor = _ClampInward.apply(x, low, high)
    return out


def activation(x: Tensor, step: float, exact: bool) -> Tensor:
    """Clamp to the activations' range, -8..8 - step, and, when ``exact``, round to multiples of ``step``."""
    if exact:
        x = round_to(x, step)
    return clamp_inward(x, -ACTIVATION_LIMIT, ACTIVATION_LIMIT - step)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 2^-3, over ``x``, which nothing else may need.

    In place, its gradient goes by the sign of the result, which the next layer keeps anyway; a mask of the input is
    written one by one by the compiled network's loops: a tenth of a training step's time.
    """
    out: Tensor = F.leaky_relu(x, LEAKY_SLOPE, inplace=True)
    return out


def weight_exponents(weight: Tensor) -> Tensor:
    """The k of each output channel (first axis): the largest for which |w|·2^k ≤ 127; 0..MAX_EXPONENT."""
    peak = weight.detach().flatten(1).abs().amax(1).clamp_min(2.0**-10)
    return torch.floor(torch.log2(WEIGHT_MAX / peak)).clamp(0, MAX_EXPONENT)


class _CompressMagnitude(torch.autograd.Function):
    """sign(x)·L(1 + |x|), L the piecewise-linear log2 that float32 itself holds: exponent plus mantissa."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        grown = 1 + x.abs()
        ctx.save_for_backward(grown)
        mantissa, exponent = torch.frexp(grown)
        return torch.copysign(exponent + 2 * mantissa - 2, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grown,) = ctx.saved_tensors
        grad: Tensor = grads[0] / (grown * math.log(2))
        return grad


def compress_magnitude(x: Tensor) -> Tensor:
    """sign(x)·log2(1 + |x|), linear between powers of two: exact wherever 1 + |x| is."""
    out: Tensor = _CompressMagnitude.apply(x)
    return out


class ExactModule(nn.Module):
    """A module with an exact mode; ``frozen`` ones have weights that lie on their grids already."""

    def __init__(self) -> None:
        super().__init__()
        self.exact = False
        self.frozen = False


class _IntegerLayer(ExactModule):
    """What the integer layers share: quantised weight and bias. ``step`` is the grid of their activations."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def quantised(self) -> tuple[Tensor, Tensor]:
        """Weight and bias on their grids: 2^-k, and 2^-k times the activation step, for each output channel."""
        exponents = weight_exponents(self.weight)
        scale = torch.exp2(exponents)
        column = scale.view(-1, *([1] * (self.weight.dim() - 1)))
        weight = clamp_inward(round_to(self.weight * column, 1.0), -WEIGHT_MAX, WEIGHT_MAX) / column
        bias = round_to(self.bias * scale / self.step, 1.0) / scale * self.step
        return weight, bias

    def parameters_in_use(self) -> tuple[Tensor, Tensor]:
        """Weight and bias as the forward pass applies them; frozen ones lie on their grids already."""
        return self.quantised() if self.exact and not self.frozen else (self.weight, self.bias)


class IntegerPointwise(_IntegerLayer):
    """A 1×1 convolution on integer activations. ``offset`` (B, outputs) is added: the dependence on λ."""

    def __init__(self, inputs: int, outputs: int, step: float, gain: float = 1.0) -> None:
        super().__init__(step)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * gain / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, offset: Tensor | None = None) -> Tensor:
        weight, bias = self.parameters_in_use()
        out = _convolve(x, weight[:, :, None, None], bias).float()
        return out if offset is None else out + offset[:, :, None, None]


class IntegerDepthwise(_IntegerLayer):
    """A 3×3 convolution of each channel on integer activations, starting as the identity."""

    def __init__(self, channels: int, step: float) -> None:
        super().__init__(step)
        weight = torch.randn(channels, 1, 3, 3) * 0.1
        weight[:, :, 1, 1] += 1
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.parameters_in_use()
        return _depthwise(x, weight, bias).float()


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int = 0, groups: int = 1) -> Tensor:
    """conv2d, kept from what would round: Fourier transforms."""
    if len(x) > BATCH_LIMIT and x.device.type == "cpu":
        parts = torch.split(x, BATCH_LIMIT)
        return torch.cat([F.conv2d(p, weight, bias, padding=padding, groups=groups) for p in parts])
    return F.conv2d(x, weight, bias, padding=padding, groups=groups)


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if x.is_cuda:
        # For channels-last tensors PyTorch calls cuDNN, whose choice of algorithm is not known; else its own sum.
        x = x.contiguous()
    return _convolve(x, weight, bias, padding=1, groups=x.shape[1])


class LinearPredictor(ExactModule):
    """Mean of a latent as a 3×3 linear filter of the decoded latents around it, channel by channel.

    Linear, so that it holds at every λ alike (latents are in quantiser units). Inputs are clamped to
    ±4096 on a grid of ¼, weights are multiples of 1/64 within ±1: 9·64·16384 < 2^24.
    """

    INPUT_STEP = 0.25
    INPUT_LIMIT = 4096.0
    WEIGHT_STEP = 2.0**-6
    _HALF = 64.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, 3, 3))

    def quantised(self) -> Tensor:
        """The weight on its grid."""
        return clamp_inward(round_to(self.weight, self.WEIGHT_STEP), -1.0, 1.0)

    def forward(self, latents: Tensor) -> Tensor:
        weight: Tensor = self.weight
        if self.exact:
            latents = round_to(latents, self.INPUT_STEP).clamp(-self.INPUT_LIMIT, self.INPUT_LIMIT)
            weight = self.weight if self.frozen else self.quantised()
        # Latents reach the thousands: in half precision their low bits, and with them the prediction, are lost.
        with torch.autocast(latents.device.type, enabled=False):
            if not self.frozen:
                return _depthwise(latents, weight)
            # In two halves of 8 bits each, lest TF32 or Winograd's sums round.
            high = torch.floor(latents * (1 / self._HALF))
            return _depthwise(latents - high * self._HALF, weight) + _depthwise(high, weight) * self._HALF
