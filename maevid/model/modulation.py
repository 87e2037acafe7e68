"""Modulation: the per-channel scales, and biases, that a small network makes of λ.

After Yang et al., "Variable Rate Deep Image Compression with Modulated Autoencoders" (2020):
m_i(λ) = exp(FC(ReLU(FC(λ)))). Here the input is log λ mapped to -1..1 (ModelConfig.position).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = 32


class ConditionalVector(nn.Module):
    """FC(ReLU(FC(position))): one value a channel for each position in -1..1.

    The last layer starts at zero, so that training starts from no dependence on λ; the hidden units
    start as hinges spread over the range. Input (B,), output (B, channels).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, HIDDEN)
        self.out = nn.Linear(HIDDEN, channels)
        sign = torch.ones(HIDDEN)
        sign[1::2] = -1
        with torch.no_grad():
            self.hidden.weight.copy_(sign[:, None])
            self.hidden.bias.copy_(-sign * torch.linspace(-1, 1, HIDDEN))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, position: Tensor) -> Tensor:
        with torch.autocast(position.device.type, enabled=False):
            out: Tensor = self.out(torch.relu(self.hidden(position[:, None].float())))
        return out


class Modulation(nn.Module):
    """exp(FC(ReLU(FC(position)))), times a fixed start per position when one is given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_gain = ConditionalVector(channels)

    def forward(self, position: Tensor, log_start: Tensor | None = None) -> Tensor:
        """Natural-log gains (B, channels); ``log_start`` (B,) is added."""
        gain: Tensor = self.log_gain(position)
        return gain if log_start is None else gain + log_start[:, None]
