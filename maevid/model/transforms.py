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
from maevid.model.representation import INPUTS

ALIGNMENT = 16


@dataclass(frozen=True)
class Gains:
    """Natural-log gains of every stage for a batch, (B, channels) each.

    ``quantiser`` is the last of the analysis and ``dequantiser`` the first of the synthesis, (B, M). The best step
    for λ is in them; where the features are in quantiser units it is in ``input`` (B, 1) instead, which is taken back
    before the last layer of the synthesis. ``analysis`` and ``synthesis`` are the stages within, none without
    modulation at every stage. ``hyper`` is added in the hyper-analysis, ``hyper_gain`` its output's gain. ``lapping``
    are the matrices over the blocks' edges (:class:`~maevid.model.lapping.Lapping`), which are no gains.
    """

    quantiser: Tensor
    dequantiser: Tensor
    analysis: tuple[Tensor, ...] = ()
    synthesis: tuple[Tensor, ...] = ()
    input: Tensor | None = None
    hyper: Tensor | None = None
    hyper_gain: Tensor | None = None
    lapping: Tensor | None = None

    def tables(self) -> list[Tensor]:
        """Every table that is there, in the order of :meth:`map`."""
        maybe = (self.input, self.hyper, self.hyper_gain, self.lapping)
        always = (self.quantiser, self.dequantiser, *self.analysis, *self.synthesis)
        return [*always, *(table for table in maybe if table is not None)]

    def map(self, change: Callable[[Tensor], Tensor]) -> Gains:
        """Change every table that is there."""

        def one(table: Tensor | None) -> Tensor | None:
            return None if table is None else change(table)

        return Gains(
            change(self.quantiser),
            change(self.dequantiser),
            tuple(change(table) for table in self.analysis),
            tuple(change(table) for table in self.synthesis),
            one(self.input),
            one(self.hyper),
            one(self.hyper_gain),
            one(self.lapping),
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

    def inner_gains(self, position: Tensor) -> tuple[Tensor, ...]:
        """Log gains of the stages within at positions (B,)."""
        return () if self.modulation_8 is None else (self.modulation_8(position),)

    def forward(self, blocks: Tensor, gains: Gains) -> Tensor:
        x = self.input(blocks).float()
        if gains.input is not None:
            x = scaled(x, gains.input)
        for gain in gains.analysis:
            x = scaled(x, gain)
        x = self.blocks_8(x)
        x = self.down(F.pixel_unshuffle(x, 2)).float()
        return scaled(self.blocks_16(x), gains.quantiser)


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

    def inner_gains(self, position: Tensor) -> tuple[Tensor, ...]:
        """Log gains of the stages within at positions (B,)."""
        return () if self.modulation_8 is None else (self.modulation_8(position),)

    def forward(self, latents: Tensor, gains: Gains) -> Tensor:
        x = self.blocks_16(scaled(latents, gains.dequantiser))
        x = F.pixel_shuffle(self.up(x).float(), 2)
        for gain in gains.synthesis:
            x = scaled(x, gain)
        x = self.blocks_8(x)
        if gains.input is not None:
            x = scaled(x, -gains.input)
        out: Tensor = self.output(x).float()
        return out
