"""The `blocks` transform: analysis and synthesis of native 4:2:0 pictures at 1/8 and 1/16 of the resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maevid.model.config import ModelConfig
from maevid.model.layers import Pointwise, ResidualBlock
from maevid.model.modulation import Modulation

LUMA_STEP = 8
CHROMA_STEP = 4
INPUTS = LUMA_STEP**2 + 2 * CHROMA_STEP**2
ALIGNMENT = 16


def planes_to_blocks(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Planes (B, 1, H, W) and two of (B, 1, H/2, W/2) to (B, 96, H/8, W/8): 64 Y, 16 U, 16 V samples."""
    return torch.cat(
        (
            F.pixel_unshuffle(y, LUMA_STEP),
            F.pixel_unshuffle(u, CHROMA_STEP),
            F.pixel_unshuffle(v, CHROMA_STEP),
        ),
        dim=1,
    )


def blocks_to_planes(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of :func:`planes_to_blocks`."""
    y, u, v = torch.split(blocks, [LUMA_STEP**2, CHROMA_STEP**2, CHROMA_STEP**2], dim=1)
    return F.pixel_shuffle(y, LUMA_STEP), F.pixel_shuffle(u, CHROMA_STEP), F.pixel_shuffle(v, CHROMA_STEP)


@dataclass(frozen=True)
class Gains:
    """Natural-log gains of every stage for a batch, (B, channels) each; None where a stage has no modulation.

    ``analysis_16`` is the quantiser's: the last of the analysis. The best step for λ is in it and, inverted, in
    ``synthesis_16``; where the features are in quantiser units it is in ``input`` (B, 1) instead, which is taken back
    before the last layer of the synthesis. ``hyper`` is added in the hyper-analysis, ``hyper_gain`` its output's gain.
    """

    analysis_16: Tensor
    synthesis_16: Tensor
    hyper: Tensor
    analysis_8: Tensor | None = None
    synthesis_8: Tensor | None = None
    input: Tensor | None = None
    hyper_gain: Tensor | None = None

    def map(self, change: Callable[[str, Tensor], Tensor]) -> Gains:
        """Change every table that is there; ``change`` gets its name and values."""
        return Gains(
            analysis_16=change("analysis_16", self.analysis_16),
            synthesis_16=change("synthesis_16", self.synthesis_16),
            hyper=change("hyper", self.hyper),
            analysis_8=None if self.analysis_8 is None else change("analysis_8", self.analysis_8),
            synthesis_8=None if self.synthesis_8 is None else change("synthesis_8", self.synthesis_8),
            input=None if self.input is None else change("input", self.input),
            hyper_gain=None if self.hyper_gain is None else change("hyper_gain", self.hyper_gain),
        )


def scaled(x: Tensor, log_gain: Tensor) -> Tensor:
    """x (B, C, h, w) times exp(log_gain) (B, C), in float32."""
    return x.float() * torch.exp(log_gain)[:, :, None, None]


def residual_blocks(config: ModelConfig, count: int, channels: int, width: int) -> nn.Sequential:
    """``count`` blocks in a row."""
    companded = config.units == "quantiser"
    return nn.Sequential(*(ResidualBlock(channels, width, companded=companded) for _ in range(count)))


class Analysis(nn.Module):
    """Blocks (B, 96, h, w) of samples around zero to latents (B, M, h/2, w/2) in quantiser units."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n, m = config.channels, config.latents
        self.input = Pointwise(INPUTS, n)
        self.blocks_8 = residual_blocks(config, config.blocks_8, n, n)
        self.down = Pointwise(4 * n, m)
        self.blocks_16 = residual_blocks(config, config.blocks_16, m, config.width_16 or m)
        self.modulation_8 = Modulation(n) if config.modulation == "every-stage" else None

    def forward(self, blocks: Tensor, gains: Gains) -> Tensor:
        x = self.input(blocks).float()
        if gains.input is not None:
            x = scaled(x, gains.input)
        if gains.analysis_8 is not None:
            x = scaled(x, gains.analysis_8)
        x = self.blocks_8(x)
        x = self.down(F.pixel_unshuffle(x, 2)).float()
        return scaled(self.blocks_16(x), gains.analysis_16)


class Synthesis(nn.Module):
    """Latents (B, M, h, w) to blocks (B, 96, 2h, 2w); the mirror of :class:`Analysis`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n, m = config.channels, config.latents
        self.blocks_16 = residual_blocks(config, config.blocks_16, m, config.width_16 or m)
        self.up = Pointwise(m, 4 * n)
        self.blocks_8 = residual_blocks(config, config.blocks_8, n, n)
        self.output = Pointwise(n, INPUTS)
        self.modulation_8 = Modulation(n) if config.modulation == "every-stage" else None

    def forward(self, latents: Tensor, gains: Gains) -> Tensor:
        x = self.blocks_16(scaled(latents, gains.synthesis_16))
        x = F.pixel_shuffle(self.up(x).float(), 2)
        if gains.synthesis_8 is not None:
            x = scaled(x, gains.synthesis_8)
        x = self.blocks_8(x)
        if gains.input is not None:
            x = scaled(x, -gains.input)
        out: Tensor = self.output(x).float()
        return out
