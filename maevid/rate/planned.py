"""Two passes: one level for the clip from measured frames, kept on target by what the packets have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from maevid.rate.buffer import Peak
from maevid.rate.control import RateController
from maevid.rate.plan import Plan
from maevid.rate.remainder import Remainder
from maevid.rate.rungs import around
from maevid.rate.search import Want
from maevid.rate.statistics import FrameStatistics
from maevid.report import FrameReport

Array = npt.NDArray[np.float64]

KNOT_STEP = 4
SLEW = 4.0
"""How far the level may move from one frame to the next to correct the total, in positions of 256."""
LEVERAGE = 8.0
"""How far the frames to come may be moved before the present one is coded again, in positions of 256; where there are
more of them than that, as far as there are frames, for no single one makes up for what is wrong with many."""


def towards(level: float, goal: list[float], slew: float) -> float:
    """The level moved into the goal (lower and upper end) by at most ``slew``."""
    wanted = min(max(level, goal[0]), goal[1])
    return min(max(wanted, level - slew), level + slew)


class PlannedController(RateController):
    """A level planned ahead for every frame and held: constant λ, or constant between the bounds of a bucket.

    A level between two rate indices is met by spreading both over the frames, so that the bits so far are
    always nearest to the plan's (error diffusion).
    """

    def __init__(self, plan: Plan, level: float, *, best_effort: bool = False) -> None:
        super().__init__(plan.bounds, plan.peak, best_effort=best_effort)
        if not best_effort:
            plan.require_peak()
        self.plan = plan
        self.level = level
        self._unit = len(plan.bounds.scale.lams) / 256
        self._gain = 1.0
        self._true = self._estimated = 0.0
        self._prior = 0.25 * float(plan.bits(level).mean())
        self._carry = 0.0
        self._estimates: dict[int, float] = {}
        if plan.peak is not None:
            self._set_positions(0, plan.positions(plan.levels(level), level))
            self._least = plan.model.bits(float(plan.bounds.lowest))
            self._needed = self._needs(plan.peak)

    def expects(self, frame: int, rate_index: int) -> float:
        """The plan's bits, corrected by what true packets had."""
        return self._gain * float(self.plan.model.bits(float(rate_index), frame, frame + 1)[0])

    def _needs(self, peak: Peak) -> Array:
        """Bits that must be in the bucket before each frame so that the rest can pass at the lowest rate."""
        frames = len(self.plan)
        needs = np.zeros(frames + 1)
        gaps = self.plan.timeline.gaps
        for i in range(frames - 1, -1, -1):
            needs[i] = 1.03 * self._least[i] + max(0.0, needs[i + 1] - peak.maxrate * gaps[i])
        return needs

    def _position(self, frame: int) -> float:
        """Where the plan wants this frame."""
        if self.peak is None:
            return self.plan.position(self.level, frame)
        if self._is_checkpoint(frame):
            self._replan(frame, self._expected_bucket())
        return float(self._positions[frame - self._levels_from])

    def _is_checkpoint(self, frame: int) -> bool:
        rest = len(self.plan) - frame
        return frame > 0 and (rest <= 10 or frame % max(25, len(self.plan) // 40) == 0)

    def _replan(self, frame: int, available: float) -> None:
        """Plan the frames from here on afresh, from what the bucket holds and what was learned."""
        cap = self._capped(frame, available)
        levels = self.plan.levels(cap, frame, available, self._gain)
        self._set_positions(frame, self.plan.positions(levels, cap, frame))

    def _sums(self, values: Callable[[float, int, int], Array]) -> Remainder:
        """What the frames from any one on add up to at any level."""
        low, high = self.bounds.lowest, self.bounds.highest
        steps = max(2, math.ceil((high - low) / (KNOT_STEP * self._unit)) + 1)
        return Remainder(values, len(self.plan), np.linspace(low, high, steps))

    def _levels_within(self, frame: int) -> tuple[float, float]:
        """The lowest and highest level for the frames from here on that is not far from the plan's."""
        reach = max(LEVERAGE, len(self.plan) - frame) * self._unit
        return self.bounds.clip(self.level - reach), self.bounds.clip(self.level + reach)

    def _set_positions(self, frame: int, positions: Array) -> None:
        """Plan the frames from here on at these positions."""
        self._levels_from = frame
        self._positions = positions
        bits = self.plan.model.bits(positions, frame)
        self._planned_rest = np.append(np.cumsum(bits[::-1])[::-1], 0.0)

    def _capped(self, frame: int, available: float) -> float:
        """The level without peak limit for the frames from here on."""
        return self.level

    def _expected_bucket(self) -> float:
        """What the bucket should hold for the next frame, once the frames under way are out."""
        assert self._bucket is not None
        bucket = self._bucket.copy()
        seconds = self.plan.timeline.seconds
        for frame, bits in self._expected.items():
            bucket.take(seconds[frame], bits)
        return bucket.available(seconds[self._asked])

    def _choose(self, frame: int, lookahead: Sequence[FrameStatistics]) -> tuple[int, float]:
        position = self._position(frame)
        candidates = around(position, self.plan.rungs)
        model = self.plan.model
        planned = float(model.bits(position, frame, frame + 1)[0])
        offers = [(float(model.bits(float(i), frame, frame + 1)[0]), i) for i in candidates]
        last = frame == len(self.plan) - 1
        carry = 0.0 if last else self._carry
        bits, index = min(offers, key=lambda o: (abs(carry + o[0] - planned), o[1]))
        self._carry = carry + bits - planned
        self._estimates[frame] = bits
        return index, bits * self._gain

    def _want(self, report: FrameReport) -> Want:
        return Want(ceiling=self._ceiling(report))

    def _ceiling(self, report: FrameReport) -> float:
        """The peak limit, less what the frames after this one need at the lowest rate."""
        if self.peak is None or self._bucket is None:
            return math.inf
        frame = report.index
        available = self._bucket.available(report.seconds)
        refill = self.peak.maxrate * self.plan.timeline.gaps[frame]
        spare = available - max(0.0, float(self._needed[frame + 1]) - refill)
        return min(available, max(spare, 1.03 * float(self._least[frame])))

    def _slope(self, frame: int, index: int) -> float:
        ends = [self.bounds.clip(index - 2), self.bounds.clip(index + 2)]
        if ends[0] == ends[1]:
            return 1.0
        bits = [float(self.plan.model.bits(e, frame, frame + 1)[0]) for e in ends]
        return math.log(bits[1] / bits[0]) / (ends[1] - ends[0])

    def _accept(self, report: FrameReport) -> None:
        super()._accept(report)
        frame = report.index
        self._estimates.pop(frame, None)
        estimated = float(self.plan.model.bits(float(report.rate_index), frame, frame + 1)[0])
        self._true = 0.98 * self._true + report.bits
        self._estimated = 0.98 * self._estimated + estimated
        self._gain = (self._true + self._prior) / (self._estimated + self._prior)
