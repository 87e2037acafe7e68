"""A limit in bytes for every packet: each frame gets the highest rate index that fits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from maevid.rate.buffer import Peak
from maevid.rate.control import RateController
from maevid.rate.costs import FrameCost
from maevid.rate.search import SLOWEST_SLOPE, Want
from maevid.rate.shape import Bounds
from maevid.rate.statistics import FrameStatistics
from maevid.report import FrameReport


class FrameLimitController(RateController):
    """Every packet has at most ``limit`` bytes and, below the highest index, at least 95 % of it.

    Each frame is probed at indices around the last one's; what the probe misses is coded again.
    """

    fill = 0.95

    def __init__(
        self, bounds: Bounds, limit: int, peak: Peak | None = None, *, best_effort: bool = False
    ) -> None:
        super().__init__(bounds, peak, best_effort=best_effort)
        self.limit = limit
        self._index = (bounds.lowest + bounds.highest) // 2
        self._probed: list[tuple[int, float]] = []
        self._slopes: dict[int, float] = {}
        self._largest = 0

    def probe(self, frame: int, lookahead: Sequence[FrameStatistics] = ()) -> tuple[int, ...]:
        """The whole range for the first frame, then three indices around the last choice."""
        if self.bounds.fixed(frame) is not None:
            return ()
        low, high = self.bounds.lowest, self.bounds.highest
        if frame == 0:
            return tuple(sorted({low + (high - low) * k // 4 for k in range(5)}))
        reach = max(1, (high - low) // 32)
        return tuple(sorted({int(self.bounds.clip(self._index + k * reach)) for k in (-1, 0, 1)}))

    def learn(self, cost: FrameCost) -> None:
        """Keep the probed bits for the choice that follows."""
        self._probed = [(i, max(b, 1.0)) for i, b in sorted(cost.bits.items())]

    def _choose(self, frame: int, lookahead: Sequence[FrameStatistics]) -> tuple[int, float]:
        fixed = self.bounds.fixed(frame)
        if fixed is not None:
            return fixed, 0.0
        if self._probed:
            aim = 8 * self.limit * (1 + self.fill) / 2
            at = min(range(len(self._probed)), key=lambda k: abs(math.log(self._probed[k][1] / aim)))
            index, bits = self._probed[at]
            below, above = self._probed[max(0, at - 1)], self._probed[min(len(self._probed) - 1, at + 1)]
            slope = SLOWEST_SLOPE
            if above[0] > below[0]:
                slope = max(slope, math.log(above[1] / below[1]) / (above[0] - below[0]))
            self._index = int(self.bounds.clip(math.floor(index + math.log(aim / bits) / slope + 0.5)))
            self._slopes[frame] = slope
            self._probed = []
        return self._index, 0.0

    def _want(self, report: FrameReport) -> Want:
        ceiling = min(8.0 * self.limit, self._peak_ceiling(report))
        low = 0.0 if self.bounds.fixed(report.index) is not None else min(8 * self.limit * self.fill, ceiling)
        return Want(low=low, ceiling=ceiling)

    def _slope(self, frame: int, index: int) -> float:
        return self._slopes.get(frame) or super()._slope(frame, index)

    def _broken(self, report: FrameReport) -> None:
        super()._broken(report)
        if report.bits > 8 * self.limit:
            self._over.append(report.index)

    def _accept(self, report: FrameReport) -> None:
        super()._accept(report)
        self._slopes.pop(report.index, None)
        self._largest = max(self._largest, report.bits)

    def _outcome(self) -> tuple[str, float | None, float]:
        return "bytes", float(self.limit), self._largest / 8
