"""Where each frame stands relative to the common λ of the clip: zones, bounds and smoothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maevid.errors import UsageError
from maevid.rate.parsing import Zone
from maevid.rate.request import RateRequest
from maevid.rate.scale import RateScale

Array = npt.NDArray[np.float64]


class Bounds:
    """Lowest and highest rate index that a request allows on a scale, and what its zones say."""

    def __init__(self, request: RateRequest, scale: RateScale) -> None:
        low = -math.inf if request.lam_min is None else request.lam_min
        high = math.inf if request.lam_max is None else request.lam_max
        inside = [i for i, lam in enumerate(scale.lams, scale.first) if low <= lam <= high]
        if not inside:
            raise UsageError(
                f"no rate index of this codec has λ in the bounds: its λ goes from {scale.lams[0]:.4g} "
                f"to {scale.lams[-1]:.4g}"
            )
        self.scale = scale
        self.lowest, self.highest = inside[0], inside[-1]
        self._zones = request.zones

    @property
    def zoned(self) -> bool:
        """Whether there are zones at all."""
        return bool(self._zones)

    def zone(self, frame: int) -> Zone | None:
        """The zone that covers a frame."""
        return next((z for z in self._zones if z.holds(frame)), None)

    def clip(self, position: float) -> float:
        """The nearest allowed position."""
        return min(max(position, self.lowest), self.highest)

    def fixed(self, frame: int) -> int | None:
        """The index that a zone fixes for a frame (the bounds win); None where the controller chooses."""
        zone = self.zone(frame)
        if zone is None or zone.kind == "factor":
            return None
        scale = self.scale
        index = scale.quality_index(zone.value) if zone.kind == "quality" else scale.index_of(zone.value)
        return int(self.clip(index))

    def log_factor(self, frame: int) -> float:
        """ln of what a zone multiplies λ with."""
        zone = self.zone(frame)
        return math.log(zone.value) if zone is not None and zone.kind == "factor" else 0.0


class Shape:
    """Positions of all frames as a function of one common level."""

    def __init__(self, bounds: Bounds, frames: int) -> None:
        self.bounds = bounds
        # Without zones one number stands for all frames, and takes no memory for each.
        self.fixed: Array = np.broadcast_to(np.float64(math.nan), frames)
        self.log_factors: Array = np.broadcast_to(np.float64(0), frames)
        self._plain = not bounds.zoned
        if bounds.zoned:
            fixed = (bounds.fixed(i) for i in range(frames))
            self.fixed = np.fromiter((math.nan if f is None else f for f in fixed), np.float64, frames)
            self.log_factors = np.fromiter(map(bounds.log_factor, range(frames)), np.float64, frames)
            self._plain = bool(np.isnan(self.fixed).all() and not self.log_factors.any())

    def smooth(self, psnr: Sequence[float] | Array, gamma: float) -> None:
        """Make λ_i ∝ D_i^g, D_i from PSNR in dB; the level remains the mean of ln λ."""
        log_distortion = -np.asarray(psnr, dtype=np.float64) * math.log(10) / 10
        self.log_factors = self.log_factors + gamma * (log_distortion - log_distortion.mean())
        self._plain = False

    def positions(
        self, level: Array | float, start: int = 0, stop: int | None = None, *, cap: float | None = None
    ) -> Array:
        """Positions of the frames ``start``..``stop`` at one level, or at one each (one for all where all
        agree).

        Below ``cap`` (the level without a peak limit) frames that a zone fixes sink as the others do.
        """
        low, high = self.bounds.lowest, self.bounds.highest
        if self._plain:
            return np.minimum(np.maximum(np.asarray(level, dtype=np.float64), low), high)
        fixed, factors = self.fixed[start:stop], self.log_factors[start:stop]
        levels = np.broadcast_to(np.asarray(level, dtype=np.float64), fixed.shape)
        free = self.bounds.scale.scaled(levels, factors) if factors.any() else levels
        held = fixed if cap is None else fixed + np.minimum(levels - cap, 0.0)
        chosen = np.where(np.isnan(fixed), free, held)
        return np.clip(chosen, low, high)
