"""The `blocks` transform: analysis and synthesis of native 4:2:0 pictures at 1/8 and 1/16 of the resolution."""

from __future__ import annotations

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
        (F.pixel_unshuffle(y, LUMA_STEP), F.pixel_unshuffle(u, CHROMA_STEP), F.pixel_unshuffle(v, CHROMA_STEP)),
        dim=1,
    )


def blocks_to_planes(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of :func:`planes_to_blocks`."""
    y, u, v = blocks.split((LUMA_STEP**2, CHROMA_STEP**2, CHROMA_STEP**2), dim=1)
    return F.pixel_shuffle(y, LUMA_STEP), F.pixel_shuffle(u, CHROMA_STEP), F.pixel_shuffle(v, CHROMA_STEP)


def scaled(x: Tensor, log_gain: Tensor) -> Tensor:
    """x (B, C, h, w) times exp(log_gain) (B, C), in float32."""
    return x.float() * torch.exp(log_gain)[:, :, None, None]


class Analysis(nn.Module):
    """Blocks (B, 96, h, w) of samples around zero to latents (B, M, h/2, w/2) in quantiser units."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n, m = config.channels, config.latents
        self.every_stage = config.modulation == "every-stage"
        self.input = Pointwise(INPUTS, n)
        self.blocks_8 = nn.Sequential(*(ResidualBlock(n) for _ in range(config.blocks_8)))
        self.down = Pointwise(4 * n, m)
        self.blocks_16 = nn.Sequential(*(ResidualBlock(m) for _ in range(config.blocks_16)))
        self.modulation_8 = Modulation(n) if self.every_stage else None

    def forward(self, blocks: Tensor, position: Tensor, log_gain: Tensor) -> Tensor:
        x = self.input(blocks).float()
        if self.modulation_8 is not None:
            x = scaled(x, self.modulation_8(position))
        x = self.blocks_8(x)
        x = self.down(F.pixel_unshuffle(x, 2)).float()
        return scaled(self.blocks_16(x), log_gain)


class Synthesis(nn.Module):
    """Latents (B, M, h, w) to blocks (B, 96, 2h, 2w); the mirror of :class:`Analysis`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n, m = config.channels, config.latents
        self.every_stage = config.modulation == "every-stage"
        self.blocks_16 = nn.Sequential(*(ResidualBlock(m) for _ in range(config.blocks_16)))
        self.up = Pointwise(m, 4 * n)
        self.blocks_8 = nn.Sequential(*(ResidualBlock(n) for _ in range(config.blocks_8)))
        self.output = Pointwise(n, INPUTS)
        self.modulation_8 = Modulation(n) if self.every_stage else None

    def forward(self, latents: Tensor, position: Tensor, log_gain: Tensor) -> Tensor:
        x = self.blocks_16(scaled(latents, log_gain))
        x = F.pixel_shuffle(self.up(x).float(), 2)
        if self.modulation_8 is not None:
            x = scaled(x, self.modulation_8(position))
        out: Tensor = self.output(self.blocks_8(x)).float()
        return out
