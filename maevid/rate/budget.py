"""Two passes for a total of bits: a bit rate that is met, or a file size that is never passed."""

from __future__ import annotations

import numpy as np

from maevid.rate.plan import Plan
from maevid.rate.planned import SLEW, PlannedController, towards
from maevid.rate.search import Want
from maevid.report import FrameReport

DEAD_BAND = 0.0005
"""Share of the total that the level does not move for."""
SURELY = 0.003
"""Share by which the lowest rate must lie above the target for all frames to get it, whatever the first packets have:
too many bits on some frames could not be saved on others."""
FILLED = 0.99
"""How much of what is left of a file the last frame is to take, if an index has it."""


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
            plan.require_bits(budget, what, hard=hard)
        self.budget = budget
        self.overhead_bits = overhead_bits
        self.hard = hard
        self.tolerance = tolerance
        self._goal = self._aim() if plan.peak is None else min(self._aim(), plan.reach()[1])
        self._at_the_end = self._goal < plan.reach()[0] * (1 - SURELY)
        super().__init__(plan, plan.solve_bits(self._goal), best_effort=best_effort)
        self._target_unit, self._target = unit, target
        self._rest = self._sums(plan.bits)
        if hard:
            least = plan.model.bits(float(self.bounds.lowest))
            self._least_after = np.append(np.cumsum(least[::-1])[::-1], 0.0)

    def retarget(self, bitrate: float) -> None:
        """Give the frames not yet handed out this bit rate (bit/s); what is coded stays."""
        gaps = self.plan.timeline.gaps
        self.budget = self._tally.bits + self._in_flight_bits + bitrate * sum(gaps[self._asked :])
        self._goal = self._aim()
        self._at_the_end = False
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
        if self.peak is not None:
            return super()._position(frame)
        if frame > 0 and not self._at_the_end:
            ease, left = DEAD_BAND * self.budget, self._open_bits()
            goal = [self._rest.solve(frame, bits / self._gain) for bits in (left - ease, left + ease)]
            self.level = towards(self.level, goal, SLEW * self._unit)
        return self.plan.position(self.level, frame)

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
        filled = FILLED if self.hard and after == len(self.plan) else 0.97
        low = max(0.0, min(left - most - slack, high, filled * ceiling))
        return Want(low=low, high=high, ceiling=ceiling)

    def _reach_after(self, frame: int) -> tuple[float, float]:
        """Bits that the frames from here on can have without moving far from the plan."""
        if self.peak is not None:
            planned = self._gain * float(self._planned_rest[self._asked - self._levels_from])
            planned += sum(bits for i, bits in self._expected.items() if i >= frame)
            # Between checkpoints the plan stands still: what it is off by is no reason to code this frame again.
            return 0.9 * planned, 1.1 * planned
        ends = self._levels_within(frame)
        return self._gain * self._rest.at(frame, ends[0]), self._gain * self._rest.at(frame, ends[1])

    def _outcome(self) -> tuple[str, float | None, float]:
        if self._target_unit == "bytes":
            return "bytes", self._target, (self._tally.bits + self.overhead_bits) / 8
        return "bit/s", self._target, self._result_rate()
