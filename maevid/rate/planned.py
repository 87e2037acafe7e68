"""Two passes: one level for the clip from measured frames, kept on target by what the packets have."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maevid.rate.buffer import Peak
from maevid.rate.control import RateController
from maevid.rate.plan import Plan
from maevid.rate.remainder import Remainder
from maevid.rate.search import Want
from maevid.rate.statistics import FrameStatistics
from maevid.report import FrameReport

Array = npt.NDArray[np.float64]

KNOT_STEP = 4
SLEW = 4.0
"""How far the level may move from one frame to the next to correct the total, in positions of 256."""
DEAD_BAND = 0.0005
"""Share of the total that the level does not move for."""
LEVERAGE = 8.0
"""How far the frames to come may be moved before the present one is coded again, in positions of 256; where there are
more of them than that, as far as there are frames, for no single one makes up for what is wrong with many."""


def _towards(level: float, goal: list[float], slew: float) -> float:
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
        low = math.floor(position)
        candidates = [low] if position == low else [low, low + 1]
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


class BudgetController(PlannedController):
    """A total of bits for the clip, met by moving the level a little as true packets come in.

    The frames to come make up for what is off; where they could not any more, the present frame is coded
    again. With ``hard`` the total is never passed; otherwise it is met within ``tolerance`` of itself.
    """

    def __init__(
        self,
        plan: Plan,
        budget: float,
        *,
        unit: str,
        target: float,
        overhead_bits: float = 0.0,
        hard: bool = False,
        best_effort: bool = False,
        tolerance: float = 0.002,
    ) -> None:
        what = "this bit rate" if unit == "bit/s" else "this size"
        if not best_effort:
            plan.require_peak()
            plan.require_bits(budget, what)
        self.budget = budget
        self.overhead_bits = overhead_bits
        self.hard = hard
        self.tolerance = tolerance
        self._goal = self._aim() if plan.peak is None else min(self._aim(), plan.reach()[1])
        super().__init__(plan, plan.solve_bits(self._goal), best_effort=best_effort)
        self._target_unit, self._target = unit, target
        low, high = self.bounds.lowest, self.bounds.highest
        steps = max(2, math.ceil((high - low) / (KNOT_STEP * self._unit)) + 1)
        knots = np.linspace(low, high, steps)
        self._rest = Remainder(plan.bits, len(plan), knots)
        if hard:
            least = plan.model.bits(float(low))
            self._least_after = np.append(np.cumsum(least[::-1])[::-1], 0.0)

    def retarget(self, bitrate: float) -> None:
        """Give the frames not yet handed out this bit rate (bit/s); what is coded stays."""
        gaps = self.plan.timeline.gaps
        self.budget = self._tally.bits + self._in_flight_bits + bitrate * sum(gaps[self._asked :])
        self._goal = self._aim()
        self._target = self.budget / self.plan.timeline.duration
        self._target_unit = "bit/s"
        if self._asked < len(self.plan):
            self.level = self._rest.solve(self._asked, self._open_bits() / self._gain)
            if self.peak is not None:
                # The next checkpoint may be far.
                self._replan(self._asked, self._expected_bucket())

    def _aim(self) -> float:
        """The bits to steer for: a hard budget keeps a little in hand."""
        return self.budget * (1 - 1.5 * self.tolerance) if self.hard else self.budget

    def _open_bits(self) -> float:
        """Bits left for frames that have no index yet."""
        return self._goal - self._tally.bits - self._in_flight_bits

    def _position(self, frame: int) -> float:
        if self.peak is None and frame > 0:
            ease, left = DEAD_BAND * self.budget, self._open_bits()
            goal = [self._rest.solve(frame, bits / self._gain) for bits in (left - ease, left + ease)]
            self.level = _towards(self.level, goal, SLEW * self._unit)
        return super()._position(frame)

    def _capped(self, frame: int, available: float) -> float:
        self.level = self.plan.solve_bits(self._open_bits(), frame, available, self._gain, self.level)
        return self.level

    def _want(self, report: FrameReport) -> Want:
        after = report.index + 1
        left = self._goal - self._tally.bits
        ceiling = self._ceiling(report)
        if self.hard:
            floor = 1.03 * max(self._gain, 1.0) * float(self._least_after[after])
            ceiling = min(ceiling, self.budget - self._tally.bits - floor)
        if self.bounds.fixed(report.index) is not None:
            return Want(ceiling=ceiling)
        slack = self.tolerance * self.budget
        least, most = self._reach_after(after)
        high = max(left - least + slack, 1.0)
        low = max(0.0, min(left - most - slack, high, 0.97 * ceiling))
        return Want(low=low, high=high, ceiling=ceiling)

    def _reach_after(self, frame: int) -> tuple[float, float]:
        """Bits that the frames from here on can have without moving far from the plan."""
        if self.peak is not None:
            planned = self._gain * float(self._planned_rest[self._asked - self._levels_from])
            planned += sum(bits for i, bits in self._expected.items() if i >= frame)
            # Between checkpoints the plan stands still: what it is off by is no reason to code this frame again.
            return 0.9 * planned, 1.1 * planned
        reach = max(LEVERAGE, len(self.plan) - frame) * self._unit
        ends = self.bounds.clip(self.level - reach), self.bounds.clip(self.level + reach)
        return self._gain * self._rest.at(frame, ends[0]), self._gain * self._rest.at(frame, ends[1])

    def _outcome(self) -> tuple[str, float | None, float]:
        if self._target_unit == "bytes":
            return "bytes", self._target, (self._tally.bits + self.overhead_bits) / 8
        return "bit/s", self._target, self._result_rate()


class PsnrController(PlannedController):
    """A mean PSNR-Y for the clip at one level, corrected by the PSNR of the coded frames where it is
    reported.
    """

    def __init__(self, plan: Plan, psnr: float, *, best_effort: bool = False) -> None:
        if not best_effort:
            plan.require_peak()
            plan.require_psnr(psnr)
        super().__init__(plan, plan.solve_psnr(psnr), best_effort=best_effort)
        self.psnr = psnr
        low, high = self.bounds.lowest, self.bounds.highest
        steps = max(2, math.ceil((high - low) / (KNOT_STEP * self._unit)) + 1)
        knots = np.linspace(low, high, steps)
        self._rest = Remainder(plan.psnr, len(plan), knots)
        self._decibels: dict[int, float] = {}
        self._reached = 0.0
        self._bias = 0.0

    def _capped(self, frame: int, available: float) -> float:
        return self._corrected(frame)

    def _position(self, frame: int) -> float:
        if self.peak is None:
            self._corrected(frame)
        return super()._position(frame)

    def _corrected(self, frame: int) -> float:
        if frame > 0:
            frames = len(self.plan)
            done = self._reached + sum(self._decibels.values()) + self._bias * (frames - self._tally.frames)
            sums = ((self.psnr + ease) * frames - done for ease in (-0.01, 0.01))
            self.level = _towards(self.level, [self._rest.solve(frame, s) for s in sums], SLEW * self._unit)
        return self.level

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
