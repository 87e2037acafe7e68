"""The paper's transform: three strided convolutions with generalised divisive normalisation, on RGB.

Analysis 9×9/4, 5×5/2, 5×5/2, synthesis its mirror, as Yang et al. (2020) and Ballé et al. (2017) have it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maevid.model.config import ModelConfig
from maevid.model.modulation import Modulation
from maevid.model.transforms import Gains, scaled

_BETA_FLOOR = 1e-6


class Gdn(nn.Module):
    """x_i / √(β_i + Σ_j γ_ij x_j²), or times the root where ``inverse`` (Ballé, Laparra and Simoncelli, 2016).

    β and γ are kept positive as squares. Input and output (B, C, h, w), in float32.
    """

    def __init__(self, channels: int, *, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter((0.1 * torch.eye(channels) + 1e-3).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            gamma = (self.gamma * self.gamma)[:, :, None, None]
            norm = F.conv2d(x * x, gamma, self.beta * self.beta + _BETA_FLOOR)
            return x * (norm.sqrt() if self.inverse else norm.rsqrt())


def _stage_gains(modulations: nn.ModuleList, position: Tensor) -> tuple[Tensor, ...]:
    return tuple(modulation(position) for modulation in modulations)


def _modulations(config: ModelConfig) -> nn.ModuleList:
    count = 2 if config.modulation == "every-stage" else 0
    return nn.ModuleList(Modulation(config.channels) for _ in range(count))


class ConvAnalysis(nn.Module):
    """RGB (B, 3, H, W) around zero to latents (B, M, H/16, W/16) in quantiser units."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n, m = config.channels, config.latents
        self.convolutions = nn.ModuleList(
            (nn.Conv2d(3, n, 9, 4, 4), nn.Conv2d(n, n, 5, 2, 2), nn.Conv2d(n, m, 5, 2, 2))
        )
        self.normalisations = nn.ModuleList((Gdn(n), Gdn(n)))
        self.modulations = _modulations(config)

    def inner_gains(self, position: Tensor) -> tuple[Tensor, ...]:
        """Log gains of the stages within at positions (B,)."""
        return _stage_gains(self.modulations, position)

    def forward(self, x: Tensor, gains: Gains) -> Tensor:
        for stage, normalise in enumerate(self.normalisations):
            x = normalise(self.convolutions[stage](x))
            if gains.analysis:
                x = scaled(x, gains.analysis[stage])
        return scaled(self.convolutions[2](x), gains.quantiser)


class ConvSynthesis(nn.Module):
    """Latents (B, M, h, w) to RGB (B, 3, 16h, 16w); the mirror of :class:`ConvAnalysis`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n, m = config.channels, config.latents
        self.convolutions = nn.ModuleList(
            (
                nn.ConvTranspose2d(m, n, 5, 2, 2, 1),
                nn.ConvTranspose2d(n, n, 5, 2, 2, 1),
                nn.ConvTranspose2d(n, 3, 9, 4, 4, 3),
            )
        )
        self.normalisations = nn.ModuleList((Gdn(n, inverse=True), Gdn(n, inverse=True)))
        self.modulations = _modulations(config)

    def inner_gains(self, position: Tensor) -> tuple[Tensor, ...]:
        """Log gains of the stages within at positions (B,)."""
        return _stage_gains(self.modulations, position)

    def forward(self, latents: Tensor, gains: Gains) -> Tensor:
        x = scaled(latents, gains.dequantiser)
        for stage, normalise in enumerate(self.normalisations):
            x = self.convolutions[stage](x).float()
            if gains.synthesis:
                x = scaled(x, gains.synthesis[stage])
            x = normalise(x)
        out: Tensor = self.convolutions[2](x).float()
        return out
