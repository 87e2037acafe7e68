"""Two passes for a mean PSNR-Y."""

from __future__ import annotations

import math
from collections.abc import Sequence

from maevid.rate.plan import Plan
from maevid.rate.planned import SLEW, PlannedController, towards
from maevid.rate.search import Want
from maevid.rate.statistics import FrameStatistics
from maevid.report import FrameReport

TOLERANCE = 0.02
"""Decibels by which the mean may be off before the last frame is coded again."""

MOST_DECIBELS = 1000.0


def _ratio(decibels: float) -> float:
    """Peak over root of the mean squared error; what no picture has, above or below, stands for itself."""
    return float(10 ** (min(max(decibels, -MOST_DECIBELS), MOST_DECIBELS) / 20))


class PsnrController(PlannedController):
    """A mean PSNR-Y for the clip at one level, corrected by the PSNR of the coded frames where it is reported.

    A frame is coded again where those to come could not make up for it, as in short clips. Under a peak limit it is
    coded again for its bits alone.
    """

    def __init__(self, plan: Plan, psnr: float, *, best_effort: bool = False) -> None:
        if not best_effort:
            plan.require_peak()
            plan.require_psnr(psnr)
        super().__init__(plan, plan.solve_psnr(psnr), best_effort=best_effort)
        self.psnr = psnr
        self._rest = self._sums(plan.psnr)
        self._decibels: dict[int, float] = {}
        self._reached = 0.0
        self._bias = 0.0

    def _capped(self, frame: int, available: float) -> float:
        return self._corrected(frame)

    def _position(self, frame: int) -> float:
        if self.peak is not None:
            return super()._position(frame)
        return self.plan.position(self._corrected(frame), frame)

    def _corrected(self, frame: int) -> float:
        if frame > 0:
            frames = len(self.plan)
            done = self._reached + sum(self._decibels.values()) + self._bias * (frames - self._tally.frames)
            sums = ((self.psnr + ease) * frames - done for ease in (-0.01, 0.01))
            self.level = towards(self.level, [self._rest.solve(frame, s) for s in sums], SLEW * self._unit)
        return self.level

    def _searches(self, report: FrameReport) -> bool:
        """Whether a frame is coded again for its PSNR."""
        return self.peak is None and "y" in report.psnr

    def _amount(self, report: FrameReport) -> float:
        return _ratio(report.psnr["y"]) if self._searches(report) else super()._amount(report)

    def _slope(self, frame: int, index: int) -> float:
        if self.peak is not None:
            return super()._slope(frame, index)
        ends = self.bounds.clip(index - 2), self.bounds.clip(index + 2)
        if ends[0] == ends[1]:
            return 1.0
        low, high = (float(self.plan.model.psnr(end, frame, frame + 1)[0]) for end in ends)
        return math.log(_ratio(high) / _ratio(low)) / (ends[1] - ends[0])

    def _want(self, report: FrameReport) -> Want:
        if not self._searches(report) or self.bounds.fixed(report.index) is not None:
            return super()._want(report)
        frames, after = len(self.plan), report.index + 1
        slack = TOLERANCE * frames
        left = self.psnr * frames - self._reached - self._bias * (frames - after)
        least, most = (self._rest.at(after, end) for end in self._levels_within(after))
        return Want(low=_ratio(left - most - slack), high=_ratio(left - least + slack))

    def _choose(self, frame: int, lookahead: Sequence[FrameStatistics]) -> tuple[int, float]:
        index, bits = super()._choose(frame, lookahead)
        self._decibels[frame] = float(self.plan.model.psnr(float(index), frame, frame + 1)[0])
        return index, bits

    def _accept(self, report: FrameReport) -> None:
        super()._accept(report)
        frame = report.index
        self._decibels.pop(frame, None)
        estimated = float(self.plan.model.psnr(float(report.rate_index), frame, frame + 1)[0])
        true = report.psnr.get("y", estimated + self._bias)
        self._reached += true
        self._bias += (true - estimated - self._bias) / (self._tally.frames + 0.5)

    def _outcome(self) -> tuple[str, float | None, float]:
        return "dB", self.psnr, self._reached / max(1, self._tally.frames)
