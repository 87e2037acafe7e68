"""The modulated autoencoder: transforms, modulation and entropy model in one network for every rate."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maevid.model.config import ModelConfig
from maevid.model.conv_gdn import ConvAnalysis, ConvSynthesis
from maevid.model.factorized import FactorizedModel, NoHyperAnalysis
from maevid.model.integer import ExactModule, round_to
from maevid.model.lapping import Lapping, forward_changes, inverse_changes, overlapped
from maevid.model.likelihood import gaussian_bits, laplace_bits
from maevid.model.modulation import Modulation
from maevid.model.prior import SKIP_BELOW, EntropyModel, HyperAnalysis, anchor_mask, scale_of_index
from maevid.model.quantiser import OFFSETS, nearest, quantised
from maevid.model.representation import Blocks, Representation, Rgb
from maevid.model.transforms import Analysis, Gains, Synthesis
from maevid.model.trellis_op import trellis_search


@dataclass(frozen=True)
class TrainingOutput:
    """Bits of y and z of each picture (B,), and the decoded representation (B, ·, h, w) beside the source's."""

    bits_y: Tensor
    bits_z: Tensor
    decoded: Tensor
    source: Tensor


class ModulatedAutoencoder(nn.Module):
    """One shared autoencoder whose features are scaled by functions of λ (Yang et al., 2020).

    Samples are 0..1 inside ``forward`` and shifted by -½ before the analysis. Latents are in quantiser
    units: rounding them is the quantiser, whose step shrinks with λ through the last modulation.

    ``rehearsing`` is set in training until its last phase: layers that are to be exact round as they will, but multiply
    in half precision where autocast says so, and every latent is rounded to the nearest and counted as coded.
    """

    rehearsing = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.representation: Representation
        self.analysis: Analysis | ConvAnalysis
        self.synthesis: Synthesis | ConvSynthesis
        if config.transform == "blocks":
            self.representation = Blocks()
            self.analysis, self.synthesis = Analysis(config), Synthesis(config)
        else:
            self.representation = Rgb()
            self.analysis, self.synthesis = ConvAnalysis(config), ConvSynthesis(config)
        self.lapping = Lapping() if config.lapped else None
        modulated = config.modulation != "none"
        self.modulation_y = Modulation(config.latents) if modulated else None
        self.demodulation_y = Modulation(config.latents) if modulated else None
        self.hyper_analysis: HyperAnalysis | NoHyperAnalysis
        self.entropy: EntropyModel | FactorizedModel
        if config.prior == "factorized":
            self.hyper_analysis, self.entropy = NoHyperAnalysis(), FactorizedModel(config)
        else:
            self.hyper_analysis, self.entropy = HyperAnalysis(config), EntropyModel(config)

    def position(self, lam: Tensor) -> Tensor:
        """log λ mapped to -1..1 over the model's range; 0 where the model has one λ."""
        low, high = math.log(self.config.lambda_min), math.log(self.config.lambda_max)
        if low == high:
            return torch.zeros_like(lam)
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
        late = torch.zeros_like(start) if early else start
        added, scale = self.hyper_analysis.condition, self.hyper_analysis.modulation_z
        return Gains(
            quantiser=self._last_gain(self.modulation_y, position, late),
            dequantiser=self._last_gain(self.demodulation_y, position, -late),
            analysis=self.analysis.inner_gains(position),
            synthesis=self.synthesis.inner_gains(position),
            input=start[:, None] if early else None,
            hyper=None if added is None else added(position),
            hyper_gain=None if scale is None else scale(position),
            lapping=None if self.lapping is None else self.lapping(position),
        )

    def _last_gain(self, modulation: Modulation | None, position: Tensor, start: Tensor) -> Tensor:
        if modulation is None:
            return start[:, None].expand(-1, self.config.latents)
        gain: Tensor = modulation(position, start)
        return gain

    def log_gain(self, gains: Gains) -> Tensor:
        """Natural-log gain (B, M) from samples to latents, as the entropy model wants it."""
        return gains.quantiser if gains.input is None else gains.quantiser + gains.input

    def forward(self, y: Tensor, u: Tensor, v: Tensor, lam: Tensor, *, noise: bool) -> TrainingOutput:
        """Planes (B, 1, H, W), (B, 1, H/2, W/2) twice, in 0..1, H and W multiples of 16; λ (B,).

        ``noise`` measures the rate on latents with uniform noise (training) instead of rounded ones; the
        distortion always comes from rounded latents, with straight-through gradients.
        """
        source = self.representation.pack(y, u, v).contiguous(memory_format=torch.channels_last)
        position = self.position(lam)
        gains = self.gains(position)
        latents = self.analyse(source - 0.5, gains)
        z = self.hyper_analysis(latents, gains)
        # In half precision the exact layers would not be exact.
        exactly = self.entropy.exact and not self.rehearsing
        with torch.autocast(latents.device.type, enabled=False) if exactly else nullcontext():
            bits_y, bits_z, decoded_latents = self._rate(latents, z, position, gains, noise=noise)

        decoded = self.synthesise(decoded_latents, gains) + 0.5
        return TrainingOutput(bits_y, bits_z, decoded, source)

    def analyse(self, source: Tensor, gains: Gains) -> Tensor:
        """A representation (B, ·, h, w) around zero to unrounded latents (B, M, ·, ·) in quantiser units."""
        if gains.lapping is not None:
            source = overlapped(source, forward_changes(gains.lapping))
        latents: Tensor = self.analysis(source, gains)
        return latents

    def synthesise(self, latents: Tensor, gains: Gains) -> Tensor:
        """Decoded latents to a representation around zero."""
        decoded: Tensor = self.synthesis(latents, gains)
        return decoded if gains.lapping is None else overlapped(decoded, inverse_changes(gains.lapping))

    def _rate(
        self, latents: Tensor, z: Tensor, position: Tensor, gains: Gains, *, noise: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Bits of y and of z for each picture (B,), and the decoded latents."""
        conditions = self.entropy.conditions(position, self.log_gain(gains))
        z_hat = round_to(z, 1.0)
        z_rate = z + torch.rand_like(z) - 0.5 if noise else z_hat
        hyper_scale = scale_of_index(conditions.hyper_index)[:, :, None, None]
        bits_z = gaussian_bits(z_rate, hyper_scale.expand_as(z_rate)).sum((1, 2, 3))

        # As the coder does; in training in its last phase.
        as_coded = (self.entropy.exact and not self.rehearsing) or not noise
        features = self.entropy.features(z_hat, conditions, *latents.shape[-2:])
        mean, index = self.entropy.first(features, conditions)
        decoded, spent = self._pass(latents, mean, index, 0, as_coded=as_coded, counted=not noise)
        if isinstance(self.entropy, EntropyModel) and self.entropy.two_passes:
            anchor = anchor_mask(latents)
            mean_2, index_2 = self.entropy.second(features, torch.where(anchor, decoded, 0.0), conditions)
            decoded_2, spent_2 = self._pass(latents, mean_2, index_2, 1, as_coded=as_coded, counted=not noise)
            mean = torch.where(anchor, mean, mean_2)
            index = torch.where(anchor, index, index_2)
            decoded = torch.where(anchor, decoded, decoded_2)
            spent = spent + spent_2
        if self.config.trellis and not noise:
            return spent, bits_z, decoded
        deviation = latents - mean
        deviation = deviation + torch.rand_like(latents) - 0.5 if noise else self._rounded(deviation, index)
        bits = gaussian_bits if isinstance(self.entropy, EntropyModel) else laplace_bits
        bits_each = bits(deviation, scale_of_index(index))
        if not noise:
            bits_each = torch.where(index >= SKIP_BELOW, bits_each, 0.0)
        return bits_each.sum((1, 2, 3)), bits_z, decoded

    def _pass(
        self, latents: Tensor, mean: Tensor, index: Tensor, number: int, *, as_coded: bool, counted: bool
    ) -> tuple[Tensor, Tensor]:
        """Decoded latents, right where pass ``number`` codes, and, where ``counted``, bits of two quantisers in turn.

        In training with these the rate is still that of noise of unit width: what it costs to be more precise is the
        same, and at low rates, where the two quantisers' zeros lie together, its measure of the rate is the better one.
        """
        if not self.config.trellis:
            return self._decoded(latents, mean, index, as_coded=as_coded), latents.new_zeros(())
        passes = 1 + self.entropy.two_passes
        fixed = (latents - mean).detach()
        found, spent = trellis_search(fixed, index.detach(), number, passes, counted)
        decoded = latents - latents.detach() + (found + mean).detach()
        if not as_coded:
            near = round_to(latents - mean, 1.0) + mean
            decoded = torch.where(index.detach().round() >= SKIP_BELOW, decoded, near)
        return decoded, spent

    def symbols(self, deviation: Tensor, scale_index: Tensor, offsets: Tensor = OFFSETS) -> Tensor:
        """Whole numbers that the encoder makes of deviations from the means, as this prior wants them rounded."""
        if isinstance(self.entropy, EntropyModel):
            return quantised(deviation, scale_index, offsets)
        return nearest(deviation)

    def _rounded(self, deviation: Tensor, index: Tensor) -> Tensor:
        """:meth:`symbols`, with the gradient of the identity."""
        fixed = deviation.detach()
        return deviation + (self.symbols(fixed, index.detach().round()) - fixed)

    def _decoded(self, latents: Tensor, mean: Tensor, index: Tensor, *, as_coded: bool) -> Tensor:
        """Latents as the decoder gets them, with the gradient of the identity.

        With ``as_coded``, symbols are the encoder's, and latents too certain to be coded are their means; else every
        latent is rounded to the nearest. In training the bits of what is not coded still count: an encoder that
        could drop latents for free would let them grow.
        """
        if not as_coded:
            return round_to(latents - mean, 1.0) + mean
        symbols = self._rounded(latents - mean, index)
        return symbols - torch.where(index >= SKIP_BELOW, 0.0, symbols).detach() + mean

    def thaw(self) -> ModulatedAutoencoder:
        """Make a network loaded from a model file trainable again; returns itself."""
        for module in self.modules():
            if isinstance(module, ExactModule):
                module.frozen = False
        return self.train()

    def planes(self, decoded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A decoded representation as planes (B, 1, H, W), (B, 1, H/2, W/2) twice."""
        return self.representation.unpack(decoded)
