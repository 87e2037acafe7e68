"""What a network is made of: the choices and sizes that, with its weights, define one model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from maevid.errors import ModelError

Modulation = Literal["every-stage", "bottleneck", "none"]
Prior = Literal["factorized", "hyperprior", "checkerboard"]
Transform = Literal["blocks", "conv-gdn"]
Units = Literal["samples", "quantiser"]

RATE_INDICES = 256
MOST_MEAN_BITS = 6
"""Latents, ±2^17 and more, are then multiples of 2^-6 that float32 holds."""
_LATER = {"units", "width_16", "activation_bits", "mean_bits", "post_filter", "lapped", "trellis"}
"""Fields that the first published models do not have; their defaults are what those models did."""


@dataclass(frozen=True)
class ModelConfig:
    """Composition and sizes of a :class:`~maevid.model.autoencoder.ModulatedAutoencoder`.

    ``channels`` (N) is the width at 1/8 of the luma resolution, ``latents`` (M) at 1/16; ``blocks_8`` and
    ``blocks_16`` are residual blocks on each side. ``hyper`` is the width of the entropy networks and
    ``hyper_latents`` the number of channels of z. λ runs from ``lambda_min`` to ``lambda_max``;
    ``plane_weights`` weigh the mean squared errors of Y, U and V in the loss and sum to 1. ``units`` says whether the
    transforms' features count samples or quantiser steps, ``width_16`` is the width of the branches at 1/16 (0: M), and
    ``activation_bits`` the precision of the entropy networks' activations; means are multiples of 2^-``mean_bits``.
    ``lapped`` says that blocks overlap (:mod:`maevid.model.lapping`), ``trellis`` that latents have two quantisers in
    turn (:mod:`maevid.model.trellis`), ``post_filter`` of a model file that it has the
    filters of :mod:`maevid.model.post_filter`, which are fitted to the trained network.
    """

    name: str = "mae"
    modulation: Modulation = "every-stage"
    prior: Prior = "checkerboard"
    transform: Transform = "blocks"
    channels: int = 128
    latents: int = 256
    blocks_8: int = 1
    blocks_16: int = 3
    hyper: int = 192
    hyper_latents: int = 64
    lambda_min: float = 2.0**-11
    lambda_max: float = 0.5
    plane_weights: tuple[float, float, float] = (4 / 6, 1 / 6, 1 / 6)
    units: Units = "samples"
    width_16: int = 0
    activation_bits: int = 8
    mean_bits: int = 4
    post_filter: bool = False
    lapped: bool = False
    trellis: bool = False

    def __post_init__(self) -> None:
        for choice, allowed in (
            (self.modulation, get_args(Modulation)),
            (self.prior, get_args(Prior)),
            (self.transform, get_args(Transform)),
        ):
            if choice not in allowed:
                raise ModelError(f"model {self.name}: {choice!r} is none of {', '.join(allowed)}")
        if self.activation_bits not in (8, 9):
            raise ModelError(f"model {self.name}: activations have 8 or 9 bits, not {self.activation_bits}")
        if self.mean_bits not in range(MOST_MEAN_BITS + 1):
            raise ModelError(
                f"model {self.name}: means have 0 to {MOST_MEAN_BITS} fraction bits, not {self.mean_bits}"
            )
        one = self.modulation == "none"
        if not 0 < self.lambda_min <= self.lambda_max or one != (self.lambda_min == self.lambda_max):
            kind = "one λ" if one else "a range of λ"
            raise ModelError(
                f"model {self.name}: modulation {self.modulation} wants {kind}, "
                f"not {self.lambda_min}..{self.lambda_max}"
            )
        if self.prior == "factorized" and (self.hyper or self.hyper_latents):
            raise ModelError(
                f"model {self.name}: a factorized prior has no hyper-latents, so both sizes are 0"
            )
        if self.transform == "conv-gdn" and self.units != "samples":
            raise ModelError(f"model {self.name}: features of conv-gdn count samples")
        if self.transform == "conv-gdn" and self.lapped:
            raise ModelError(f"model {self.name}: conv-gdn has no blocks that could overlap")

        if self.trellis and (self.prior == "factorized" or self.mean_bits < 2):
            raise ModelError(
                f"model {self.name}: a trellis wants a prior with hyper-latents, and means in quarters or finer"
            )

    @property
    def activation_step(self) -> float:
        """Grid of the entropy networks' activations, which lie in -8..8."""
        return float(2.0 ** (4 - self.activation_bits))

    @property
    def mean_step(self) -> float:
        """Grid of the means, in quantiser units."""
        return float(2.0**-self.mean_bits)

    def lam(self, rate_index: int) -> float:
        """λ of a rate index 0..255: λ_min·(λ_max/λ_min)^(index/255)."""
        span = math.log(self.lambda_max / self.lambda_min)
        return self.lambda_min * math.exp(span * rate_index / (RATE_INDICES - 1))

    def position(self, lam: float) -> float:
        """Where λ lies in the range on a log scale: -1 at λ_min, 1 at λ_max. The networks' only view of λ.

        0 where there is one λ only.
        """
        if self.lambda_min == self.lambda_max:
            return 0.0
        return 2 * math.log(lam / self.lambda_min) / math.log(self.lambda_max / self.lambda_min) - 1

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description, the inverse of :meth:`from_dict`.

        Entries of :data:`_LATER` are left out at their defaults, so that the identity of an older model stays.
        """
        later = {f.name: f.default for f in fields(self) if f.name in _LATER}
        return {k: v for k, v in asdict(self).items() if k not in later or v != later[k]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Rebuild from :meth:`to_dict`. Raises ModelError for unknown or missing entries."""
        known = {f.name for f in fields(cls)}
        odd = sorted((set(values) ^ known) - (_LATER - set(values)))
        if odd:
            raise ModelError(f"model configuration does not fit this version of maevid: {', '.join(odd)}")
        return cls(**{**values, "plane_weights": tuple(values["plane_weights"])})


PAPER_LAMBDAS = (128, 512, 2048)
"""The paper's λ, which weigh the mean squared error of samples in 0..1: ours are these by 255²."""


def _paper_configs() -> Iterator[ModelConfig]:
    """The paper's systems: modulated at every stage, at the bottleneck only (Theis), and a network for each λ."""
    low, high = PAPER_LAMBDAS[0] / 255**2, PAPER_LAMBDAS[-1] / 255**2
    priors: tuple[tuple[Prior, int, int], ...] = (("factorized", 0, 0), ("hyperprior", 48, 48))
    for prior, hyper, hyper_latents in priors:
        base = ModelConfig(
            prior=prior,
            transform="conv-gdn",
            channels=48,
            latents=96,
            hyper=hyper,
            hyper_latents=hyper_latents,
            lambda_min=low,
            lambda_max=high,
            activation_bits=9,
        )
        yield replace(base, name=f"mae-{prior}")
        yield replace(base, name=f"bottleneck-{prior}", modulation="bottleneck")
        for lam in PAPER_LAMBDAS:
            one = lam / 255**2
            name = f"independent-{prior}-{lam}"
            yield replace(base, name=name, modulation="none", lambda_min=one, lambda_max=one)


CONFIGS: dict[str, ModelConfig] = {
    "mae": ModelConfig(
        latents=320,
        width_16=192,
        hyper=224,
        lambda_max=2.0,
        units="quantiser",
        activation_bits=9,
        mean_bits=6,
        lapped=True,
        trellis=True,
    ),
    "mae-fast": ModelConfig(
        name="mae-fast",
        channels=96,
        latents=320,
        blocks_8=0,
        blocks_16=2,
        width_16=80,
        hyper=128,
        lambda_max=2.0,
        units="quantiser",
        activation_bits=9,
        mean_bits=6,
        lapped=True,
        trellis=True,
    ),
    **{config.name: config for config in _paper_configs()},
}
