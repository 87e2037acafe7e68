"""The factorized prior: every channel of y has one distribution, a Laplace of a scale that depends on λ alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from maevid.model.config import ModelConfig
from maevid.model.integer import ExactModule, clamp_inward, round_to
from maevid.model.modulation import ConditionalVector
from maevid.model.prior import HYPER_FACTOR, INDEX_STEP, INDICES_PER_OCTAVE, SCALES, Conditions
from maevid.model.transforms import Gains

_FIRST_INDEX = 24.0


class NoHyperAnalysis(nn.Module):
    """Latents (B, M, h, w) to hyper-latents of no channels, (B, 0, ⌈h/4⌉, ⌈w/4⌉)."""

    condition = None
    modulation_z = None

    def forward(self, y: Tensor, gains: Gains) -> Tensor:
        rows, columns = (-(-n // HYPER_FACTOR) for n in y.shape[-2:])
        return y.new_zeros(len(y), 0, rows, columns)


class FactorizedModel(ExactModule):
    """Scale indices of y without side information; means are zero. The interface is that of EntropyModel."""

    two_passes = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((config.latents,), _FIRST_INDEX))
        self.condition_scale = ConditionalVector(config.latents)

    def set_exact(self, exact: bool) -> None:
        """Switch whole scale indices on or off."""
        self.exact = exact

    def conditions(self, position: Tensor, log_gain: Tensor) -> Conditions:
        """The λ-dependent scale indices; ``log_gain`` (B, M) is the natural-log gain of the last modulation."""
        grown = log_gain * (INDICES_PER_OCTAVE / math.log(2))
        index = self.scale + 8 * self.condition_scale(position) + grown
        nothing = position.new_zeros(len(position), 0)
        if self.exact:
            index = round_to(index, INDEX_STEP)
        return Conditions(nothing, nothing, nothing, index, nothing)

    def features(self, z: Tensor, conditions: Conditions, height: int, width: int) -> Tensor:
        """Features of no channels (B, 0, height, width)."""
        return z.new_zeros(len(z), 0, height, width)

    def first(self, features: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Means, all zero, and scale indices (B, M, h, w)."""
        index = conditions.scale_index[:, :, None, None].expand(-1, -1, *features.shape[-2:])
        if self.exact:
            index = round_to(index, 1.0)
        return torch.zeros_like(index), clamp_inward(index, 0.0, SCALES - 1.0)
