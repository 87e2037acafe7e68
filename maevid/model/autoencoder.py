"""The modulated autoencoder: transforms, modulation and entropy model in one network for every rate."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maevid.model.config import ModelConfig
from maevid.model.integer import ExactModule, round_to
from maevid.model.likelihood import gaussian_bits
from maevid.model.modulation import Modulation
from maevid.model.prior import SKIP_BELOW, EntropyModel, HyperAnalysis, anchor_mask, scale_of_index
from maevid.model.transforms import Analysis, Gains, Synthesis, blocks_to_planes, planes_to_blocks


@dataclass(frozen=True)
class TrainingOutput:
    """Bits of y and z of each picture (B,), and the decoded blocks (B, 96, H/8, W/8) beside the source's."""

    bits_y: Tensor
    bits_z: Tensor
    decoded: Tensor
    source: Tensor


class ModulatedAutoencoder(nn.Module):
    """One shared autoencoder whose features are scaled by functions of λ (Yang et al., 2020).

    Samples are 0..1 inside ``forward`` and shifted by -½ before the analysis. Latents are in quantiser
    units: rounding them is the quantiser, whose step shrinks with λ through the last modulation.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.modulation_y = Modulation(config.latents)
        self.demodulation_y = Modulation(config.latents)
        self.hyper_analysis = HyperAnalysis(config)
        self.entropy = EntropyModel(config)

    def position(self, lam: Tensor) -> Tensor:
        """log λ mapped to -1..1 over the model's range."""
        low, high = math.log(self.config.lambda_min), math.log(self.config.lambda_max)
        return 2 * (torch.log(lam) - low) / (high - low) - 1

    def log_step_inverse(self, position: Tensor) -> Tensor:
        """ln of the inverse of the best uniform quantiser step at λ: √(λ·255²·ln 2/6).

        From D = Δ²/12 and R = -log2 Δ + c a latent: d(R + λ·255²·D)/dΔ = 0. D counts the samples of a
        picture by plane weight, which the KLT start has absorbed into the transform.
        """
        low, high = math.log(self.config.lambda_min), math.log(self.config.lambda_max)
        log_lam = low + (position + 1) / 2 * (high - low)
        return 0.5 * (log_lam + math.log(255**2 * math.log(2) / 6))

    def gains(self, position: Tensor) -> Gains:
        """The gains of all stages at positions (B,)."""
        start = self.log_step_inverse(position)
        early = self.config.units == "quantiser"
        inner, outer = self.analysis.modulation_8, self.synthesis.modulation_8
        hyper = self.hyper_analysis.modulation_z
        return Gains(
            analysis_16=self.modulation_y(position, None if early else start),
            synthesis_16=self.demodulation_y(position, None if early else -start),
            hyper=self.hyper_analysis.condition(position),
            analysis_8=None if inner is None else inner(position),
            synthesis_8=None if outer is None else outer(position),
            input=start[:, None] if early else None,
            hyper_gain=None if hyper is None else hyper(position),
        )

    def log_gain(self, gains: Gains) -> Tensor:
        """Natural-log gain (B, M) from samples to latents, as the entropy model wants it."""
        return gains.analysis_16 if gains.input is None else gains.analysis_16 + gains.input

    def forward(self, y: Tensor, u: Tensor, v: Tensor, lam: Tensor, *, noise: bool) -> TrainingOutput:
        """Planes (B, 1, H, W), (B, 1, H/2, W/2) twice, in 0..1, H and W multiples of 16; λ (B,).

        ``noise`` measures the rate on latents with uniform noise (training) instead of rounded ones; the
        distortion always comes from rounded latents, with straight-through gradients.
        """
        source = planes_to_blocks(y, u, v).contiguous(memory_format=torch.channels_last)
        position = self.position(lam)
        gains = self.gains(position)
        latents = self.analysis(source - 0.5, gains)
        z = self.hyper_analysis(latents, gains)
        # In half precision the exact layers would not be exact.
        with torch.autocast(latents.device.type, enabled=False) if self.entropy.exact else nullcontext():
            bits_y, bits_z, decoded_latents = self._rate(latents, z, position, gains, noise=noise)

        decoded = self.synthesis(decoded_latents, gains) + 0.5
        return TrainingOutput(bits_y, bits_z, decoded, source)

    def _rate(
        self, latents: Tensor, z: Tensor, position: Tensor, gains: Gains, *, noise: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Bits of y and of z for each picture (B,), and the decoded latents."""
        conditions = self.entropy.conditions(position, self.log_gain(gains))
        z_hat = round_to(z, 1.0)
        z_rate = z + torch.rand_like(z) - 0.5 if noise else z_hat
        hyper_scale = scale_of_index(conditions.hyper_index)[:, :, None, None]
        bits_z = gaussian_bits(z_rate, hyper_scale.expand_as(z_rate)).sum((1, 2, 3))

        features = self.entropy.features(z_hat, conditions, *latents.shape[-2:])
        mean, index = self.entropy.first(features, conditions)
        if self.entropy.two_passes:
            anchor = anchor_mask(latents)
            anchors = torch.where(anchor, self._decoded(latents, mean, index), 0.0)
            mean_2, index_2 = self.entropy.second(features, anchors, conditions)
            mean = torch.where(anchor, mean, mean_2)
            index = torch.where(anchor, index, index_2)
        deviation = latents - mean
        deviation = deviation + torch.rand_like(latents) - 0.5 if noise else round_to(deviation, 1.0)
        bits_y = gaussian_bits(deviation, scale_of_index(index)).sum((1, 2, 3))
        return bits_y, bits_z, self._decoded(latents, mean, index)

    def _decoded(self, latents: Tensor, mean: Tensor, index: Tensor) -> Tensor:
        """Latents as the decoder gets them, with the gradient of the identity.

        Once the arithmetic is exact, latents too certain to be coded are their means. Their bits still
        count: an encoder that could drop them for free would let them grow.
        """
        rounded = round_to(latents - mean, 1.0)
        if self.entropy.exact:
            rounded = rounded - torch.where(index >= SKIP_BELOW, 0.0, rounded).detach()
        return rounded + mean

    def thaw(self) -> ModulatedAutoencoder:
        """Make a network loaded from a model file trainable again; returns itself."""
        for module in self.modules():
            if isinstance(module, ExactModule):
                module.frozen = False
        return self.train()

    def planes(self, blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded blocks as planes (B, 1, H, W), (B, 1, H/2, W/2) twice."""
        return blocks_to_planes(blocks)
