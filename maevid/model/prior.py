"""The probability model of the latents: hyper-latents, and means and scales of y on integer arithmetic.

y is coded in quantiser units as round(y - mean), with a zero-mean Gaussian whose standard deviation is
one of 64, a scale index apart by 3/16 octave. With the `checkerboard` prior the
latents go in two passes: those with (row + column + channel) even first, from the hyper-latents alone;
the others from these and the hyper-latents. So at every place half of the channels are known when
the other half is coded, and every latent has its four neighbours.

Everything that decides a probability runs on :mod:`maevid.model.integer` layers: exact on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maevid.model.config import ModelConfig
from maevid.model.integer import (
    OFFSET_STEP,
    ExactModule,
    IntegerDepthwise,
    IntegerPointwise,
    LinearPredictor,
    activation,
    clamp_inward,
    compress_magnitude,
    leaky,
    round_to,
)
from maevid.model.layers import Depthwise, Pointwise
from maevid.model.modulation import ConditionalVector, Modulation
from maevid.model.transforms import Gains, scaled

SCALES = 64
SCALE_FLOOR = 0.11
INDICES_PER_OCTAVE = 16 / 3
SKIP_BELOW = 4
"""Latents of a scale index below this are not coded: their value is the mean."""
SYMBOL_LIMIT = 2.0**17
"""Largest symbol; ±2^17 plus a mean in 64ths is still exact in float32, and no picture comes near it."""
INDEX_STEP = 1 / 8
MEAN_LIMIT = 16384.0
HYPER_LIMIT = 127.0
HYPER_STEP = 2.0**-4
HYPER_FACTOR = 4
_HYPER_GAIN = 4.0
COMPRESSED_LIMIT = 255.0
INDEX_GAIN = 4.0


def scale_of_index(index: Tensor) -> Tensor:
    """Standard deviation of a scale index 0..63 (fractions allowed): 0.11·2^(3·index/16)."""
    return SCALE_FLOOR * torch.exp2(index / INDICES_PER_OCTAVE)


def index_of_log_scale(log_scale: float) -> float:
    """The scale index of a natural-log standard deviation; may lie outside 0..63."""
    return (log_scale - math.log(SCALE_FLOOR)) / math.log(2) * INDICES_PER_OCTAVE


def anchor_mask(latents: Tensor) -> Tensor:
    """True where (row + column + channel) is even; shape (1, C, h, w)."""
    _, channels, height, width = latents.shape
    c, i, j = (torch.arange(n, device=latents.device) for n in (channels, height, width))
    return ((c[:, None, None] + i[:, None] + j) % 2 == 0)[None]


@dataclass(frozen=True)
class Conditions:
    """Everything in the entropy model that depends on λ, on its exact grid; each (B, channels)."""

    hyper: Tensor
    first: Tensor
    second: Tensor
    scale_index: Tensor
    hyper_index: Tensor


class HyperAnalysis(nn.Module):
    """Latents (B, M, h, w) to hyper-latents (B, Z, ⌈h/4⌉, ⌈w/4⌉), unrounded. Encoder only, so not exact.

    Fed with log(1+|y|) and the signed logarithm in quantiser units. The last layer starts with a
    large gain: hyper-latents that start small round to zero and never come back. λ adds to the first features
    and, where the model has that, scales the result.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        h = config.hyper
        self.input = Pointwise(2 * config.latents, h)
        self.condition = ConditionalVector(h)
        self.spatial_1 = Depthwise(h)
        self.down_1 = Pointwise(4 * h, h)
        self.spatial_2 = Depthwise(h)
        self.down_2 = Pointwise(4 * h, config.hyper_latents)
        self.modulation_z = Modulation(config.hyper_latents) if config.units == "quantiser" else None

    def forward(self, y: Tensor, gains: Gains) -> Tensor:
        height, width = y.shape[-2:]
        below, right = -height % HYPER_FACTOR, -width % HYPER_FACTOR
        if below or right:
            y = F.pad(y, (0, right, 0, below), mode="replicate")
        size = torch.log1p(y.abs())
        x = self.input(torch.cat((size, torch.copysign(size, y)), dim=1))
        assert gains.hyper is not None
        x = leaky(x + gains.hyper[:, :, None, None])
        x = leaky(self.down_1(F.pixel_unshuffle(self.spatial_1(x), 2)))
        return self.last(F.pixel_unshuffle(self.spatial_2(x), 2), gains)

    def last(self, x: Tensor, gains: Gains) -> Tensor:
        """Features of the last layer (B, 4·H, ·, ·) to hyper-latents."""
        z = self._product(x) * _HYPER_GAIN
        return z if gains.hyper_gain is None else scaled(z, gains.hyper_gain)

    def _product(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type):
            z: Tensor = self.down_2(x).float()
            return z
        # So few places that oneDNN splits even short sums by threads (see STEADY_INPUTS): too fine to matter here.
        weight, bias = self.down_2.weight.double(), self.down_2.bias.double()
        return F.conv2d(x.double(), weight[:, :, None, None], bias).float()


class ParameterHead(nn.Module):
    """Hidden layer and output of one pass: features (B, H, h, w) to means and scale indices (B, M, h, w)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.step = config.activation_step
        self.hidden = IntegerPointwise(config.hyper, config.hyper, self.step)
        self.out = IntegerPointwise(config.hyper, 2 * config.latents, self.step, gain=0.2)

    def forward(self, features: Tensor, offset: Tensor, exact: bool) -> tuple[Tensor, Tensor]:
        x = activation(leaky(self.hidden(features, offset)), self.step, exact)
        mean, index = self.out(x).chunk(2, dim=1)
        return mean, index * INDEX_GAIN


class EntropyModel(ExactModule):
    """Means and scale indices of y from the hyper-latents and, in the second pass, from the first's latents."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        m, h, z = config.latents, config.hyper, config.hyper_latents
        self.step = step = config.activation_step
        self.mean_step = config.mean_step
        self.two_passes = config.prior == "checkerboard"
        self.up_1 = IntegerPointwise(z, 4 * h, step)
        self.spatial_1 = IntegerDepthwise(h, step)
        self.up_2 = IntegerPointwise(h, 4 * h, step)
        self.spatial_2 = IntegerDepthwise(h, step)
        self.head_1 = ParameterHead(config)
        self.condition_hyper = ConditionalVector(h)
        self.condition_1 = ConditionalVector(h)
        self.condition_2 = ConditionalVector(h)
        self.condition_z = ConditionalVector(z)
        self.hyper_index = nn.Parameter(torch.full((z,), 30.0))
        if self.two_passes:
            self.context_spatial = IntegerDepthwise(m, step)
            self.context_mix = IntegerPointwise(m, h, step)
            self.predictor = LinearPredictor(m)
            self.head_2 = ParameterHead(config)

    def set_exact(self, exact: bool) -> None:
        """Switch quantised arithmetic on (the product, and the last phase of training) or off."""
        for module in self.modules():
            if isinstance(module, ExactModule):
                module.exact = exact

    def conditions(self, position: Tensor, log_gain: Tensor) -> Conditions:
        """The λ-dependent terms; ``log_gain`` (B, M) is the natural-log gain of the last modulation."""
        hyper_index = F.softplus(self.hyper_index + 8 * self.condition_z(position))
        hidden = (self.condition_hyper, self.condition_1, self.condition_2)
        hyper, first, second = (condition(position) for condition in hidden)
        scale_index = log_gain * (INDICES_PER_OCTAVE / math.log(2))
        if self.exact:
            hyper, first, second = (round_to(x, OFFSET_STEP) for x in (hyper, first, second))
            scale_index = round_to(scale_index, INDEX_STEP)
            hyper_index = round_to(hyper_index, 1.0)
        return Conditions(hyper, first, second, scale_index, hyper_index.clamp_max(SCALES - 1))

    def features(self, z: Tensor, conditions: Conditions, height: int, width: int) -> Tensor:
        """Integer hyper-latents (B, Z, ⌈h/4⌉, ⌈w/4⌉) to features (B, H, height, width) at the latents' size."""
        x = self.up_1(z.clamp(-HYPER_LIMIT, HYPER_LIMIT) * HYPER_STEP)
        x = F.pixel_shuffle(x, 2) + conditions.hyper[:, :, None, None]
        x = activation(leaky(x), self.step, self.exact)
        x = activation(self.spatial_1(x), self.step, self.exact)
        x = activation(leaky(F.pixel_shuffle(self.up_2(x), 2)), self.step, self.exact)
        x = activation(self.spatial_2(x), self.step, self.exact)
        return x[:, :, :height, :width]

    def first(self, features: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Means and scale indices of the first pass (valid everywhere; used at the anchors)."""
        mean, index = self.head_1(features, conditions.first, self.exact)
        return self._finish(mean, index, conditions)

    def second(self, features: Tensor, anchors: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Means and scale indices of the second pass; ``anchors`` holds the first's latents, zero elsewhere."""
        # Beyond ±255 activations saturate; within it the logarithm is exact.
        near = clamp_inward(anchors, -COMPRESSED_LIMIT, COMPRESSED_LIMIT) if self.exact else anchors
        x = activation(compress_magnitude(near), self.step, self.exact)
        x = activation(self.context_spatial(x), self.step, self.exact)
        x = activation(self.context_mix(x) + features, self.step, self.exact)
        mean, index = self.head_2(x, conditions.second, self.exact)
        return self._finish(mean, index, conditions, self.predictor(anchors))

    def _finish(
        self, mean: Tensor, index: Tensor, conditions: Conditions, predicted: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        index = index + conditions.scale_index[:, :, None, None]
        if self.exact:
            mean = round_to(mean, self.mean_step)
            if predicted is not None:
                predicted = round_to(predicted, self.mean_step)
            index = round_to(round_to(index, INDEX_STEP), 1.0)
        if predicted is not None:
            mean = mean + predicted
        return clamp_inward(mean, -MEAN_LIMIT, MEAN_LIMIT), clamp_inward(index, 0.0, SCALES - 1.0)
