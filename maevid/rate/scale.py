"""The rate scale: which λ every rate index of a codec stands for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RateScale:
    """λ by rate index. ``lams`` is positive and strictly increasing; ``first`` is the index of ``lams[0]``.

    Rate controllers reckon in *positions*: real-valued indices, with ln λ linear between neighbours.
    """

    lams: tuple[float, ...]
    first: int = 0
    _log: Array = field(init=False, repr=False, compare=False)
    _grid: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        log = np.log(np.asarray(self.lams, dtype=np.float64)) if self.lams and min(self.lams) > 0 else None
        if log is None or np.any(np.diff(log) <= 0):
            raise ValueError("a rate scale needs at least one λ, all positive and strictly increasing")
        object.__setattr__(self, "_log", log)
        object.__setattr__(self, "_grid", np.arange(self.first, self.first + log.size, dtype=np.float64))

    @classmethod
    def log_linear(cls, lam_min: float, lam_max: float, count: int = 256) -> RateScale:
        """λ = λ_min·(λ_max/λ_min)^(index/(count - 1)), the scale of the `mae` codecs (count ≥ 2)."""
        return cls(tuple(lam_min * (lam_max / lam_min) ** (i / (count - 1)) for i in range(count)))

    @classmethod
    def of(cls, indices: range, lam: Callable[[int], float]) -> RateScale:
        """The scale of a codec from its ``rate_indices`` (step 1) and ``lam``."""
        if indices.step != 1:
            raise ValueError("rate indices must be consecutive")
        return cls(tuple(lam(i) for i in indices), indices.start)

    @property
    def lowest(self) -> int:
        """The smallest rate index."""
        return self.first

    @property
    def highest(self) -> int:
        """The largest rate index."""
        return self.first + len(self.lams) - 1

    def lam(self, position: float) -> float:
        """λ at a position; positions outside the scale count as its ends."""
        return math.exp(float(np.interp(position, self._grid, self._log)))

    def position(self, lam: float) -> float:
        """The position of a λ; a λ outside the scale gets the nearer end."""
        return float(np.interp(math.log(lam), self._log, self._grid))

    def index_of(self, lam: float) -> int:
        """The rate index whose λ is nearest in ln λ."""
        return math.floor(self.position(lam) + 0.5)

    def quality_index(self, quality: float) -> int:
        """The rate index of a quality 0..100: linear over the scale, rounded (2.55·Q for 256 indices)."""
        return math.floor(self.first + quality / 100 * (len(self.lams) - 1) + 0.5)

    def scaled(self, positions: Array, log_factors: Array) -> Array:
        """Positions whose λ is exp(log_factors) times the λ at ``positions``, kept on the scale."""
        log = np.interp(positions, self._grid, self._log) + log_factors
        return np.interp(log, self._log, self._grid)
