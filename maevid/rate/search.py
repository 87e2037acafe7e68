"""Finding the rate index of one frame by coding it again: a bracketed search in (index, ln bits).

Bits may stand for any other positive amount that grows with the index.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOWEST_SLOPE = 1e-3


@dataclass(frozen=True, slots=True)
class Want:
    """Bits that a frame should have: between ``low`` and ``high``, and never more than ``ceiling``."""

    low: float = 0.0
    high: float = math.inf
    ceiling: float = math.inf

    def accepts(self, bits: float) -> bool:
        """Whether the bits are as wanted."""
        return self.low <= bits <= min(self.high, self.ceiling)

    @property
    def aim(self) -> float:
        """The bits to try for: the middle, or just below an upper end that stands alone."""
        high = min(self.high, self.ceiling)
        if high == math.inf:
            return self.low * 1.01
        return (min(self.low, high) + high) / 2 if self.low > 0 else high * 0.985


class Search:
    """The tries at one frame. It ends after ``limit`` tries or when no index is left to try."""

    def __init__(self, lowest: int, highest: int, limit: int = 14) -> None:
        self.lowest, self.highest, self.limit = lowest, highest, limit
        self.tried: dict[int, float] = {}

    def step(self, index: int, bits: float, want: Want, slope: float) -> int | None:
        """The index to try next after ``index`` gave ``bits``, or None to keep what it gave.

        ``slope`` is d ln bits / d index near it. What is kept at the end is the best of all tries.
        """
        self.tried[index] = bits
        if want.accepts(bits):
            return None
        following = self._next(want, slope) if len(self.tried) < self.limit else None
        if following is not None:
            return following
        best = min(self.tried, key=lambda i: (*self._badness(self.tried[i], want), i))
        return None if best == index else best

    @staticmethod
    def _badness(bits: float, want: Want) -> tuple[bool, float]:
        if bits > want.ceiling:
            return True, bits
        return False, max(want.low - bits, bits - want.high, 0.0)

    def _next(self, want: Want, slope: float) -> int | None:
        high = min(want.high, want.ceiling)
        below = max((i for i, b in self.tried.items() if b <= high), default=self.lowest - 1)
        above = min((i for i, b in self.tried.items() if b > high), default=self.highest + 1)
        if above - below <= 1:
            return None
        if len(self.tried) >= 4:
            return (below + above) // 2
        aim = max(want.aim, 1.0)
        nearest = sorted(self.tried, key=lambda i: (abs(math.log(max(self.tried[i], 1.0) / aim)), i))
        step = math.log(aim / max(self.tried[nearest[0]], 1.0)) / self._measured(nearest[:2], slope)
        return min(max(math.floor(nearest[0] + step + 0.5), below + 1), above - 1)

    def _measured(self, pair: list[int], slope: float) -> float:
        """The slope between two tried indices; the given one where there is only one."""
        if len(pair) == 2:
            rise = math.log(max(self.tried[pair[1]], 1.0) / max(self.tried[pair[0]], 1.0))
            slope = rise / (pair[1] - pair[0])
        return max(slope, SLOWEST_SLOPE)
