"""A clip as the planner sees it: every frame's rate curve, its time, and the common level that meets a
target.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maevid.errors import TargetError
from maevid.rate.buffer import Peak
from maevid.rate.costs import FrameCost
from maevid.rate.model import RateModel
from maevid.rate.parsing import format_rate
from maevid.rate.peak import peak_levels, solve_level
from maevid.rate.shape import Bounds, Shape
from maevid.rate.timeline import Timeline

Array = npt.NDArray[np.float64]

PEAK_HEADROOM = 0.03
"""Share of the bucket that plans leave alone, for estimates that turn out too low."""
NEARLY = 0.007
"""Share of a target that the nearest rate of a clip may lie off: with the error of the estimates at most 1 %."""


class Plan:
    """Bits and PSNR of a clip at a common level (a position on the rate scale, see :class:`Shape`), and the ``rungs``
    to use near it (:mod:`maevid.rate.rungs`)."""

    def __init__(
        self,
        costs: Sequence[FrameCost],
        timeline: Timeline,
        bounds: Bounds,
        *,
        peak: Peak | None = None,
        cuts: Sequence[int] = (),
        rungs: Sequence[int] = (),
    ) -> None:
        self.model = RateModel(costs, len(timeline), cuts)
        self.timeline = timeline
        self.bounds = bounds
        self.peak = peak
        self.rungs = [index for index in rungs if bounds.lowest <= index <= bounds.highest]
        self.shape = Shape(bounds, len(timeline))
        self.times = np.asarray(timeline.seconds, dtype=np.float64)

    def __len__(self) -> int:
        return len(self.timeline)

    def bits(self, level: Array | float, start: int = 0, stop: int | None = None) -> Array:
        """Estimated bits of the frames ``start``..``stop``."""
        return self.model.bits(self.shape.positions(level, start, stop), start, stop)

    def psnr(self, level: Array | float, start: int = 0, stop: int | None = None) -> Array:
        """Estimated PSNR of the frames ``start``..``stop`` in dB."""
        return self.model.psnr(self.shape.positions(level, start, stop), start, stop)

    def position(self, level: float, frame: int) -> float:
        """Where one frame stands at a level."""
        return float(np.ravel(self.shape.positions(level, frame, frame + 1))[0])

    def levels(self, cap: float, start: int = 0, available: float | None = None, gain: float = 1.0) -> Array:
        """The level of every frame from ``start`` on: ``cap``, or less where the peak limit demands it.

        ``gain`` is true over estimated bits; ``available`` is what the bucket holds for frame ``start``
        (None: full).
        """
        if self.peak is None:
            return np.full(len(self) - start, cap)
        margin = PEAK_HEADROOM * self.peak.bufsize
        tight = Peak(self.peak.maxrate, self.peak.bufsize - margin)
        filled = tight.bufsize if available is None else max(0.0, min(available - margin, tight.bufsize))

        def bits_at(level: float, first: int, last: int) -> Array:
            held = self.shape.positions(level, start + first, start + last, cap=cap)
            return gain * self.model.bits(held, start + first, start + last)

        return peak_levels(bits_at, self.times[start:], cap, self._depth(cap), tight, filled)

    def _depth(self, cap: float) -> float:
        """A level low enough to bring every frame to the lowest index, zones and factors included."""
        scale = self.bounds.scale
        return min(cap, float(scale.lowest)) - (scale.highest - scale.lowest)

    def positions(self, levels: Array, cap: float, start: int = 0) -> Array:
        """Positions of the frames from ``start`` on, for the outcome of :meth:`levels`."""
        held = cap if self.peak is not None else None
        return np.broadcast_to(self.shape.positions(levels, start, cap=held), (len(self) - start,))

    def total(self, cap: float, start: int = 0, available: float | None = None, gain: float = 1.0) -> float:
        """Estimated bits of all frames from ``start`` on under the peak limit."""
        if self.peak is None:
            return gain * float(self.bits(cap, start).sum())
        levels = self.levels(cap, start, available, gain)
        return gain * float(self.model.bits(self.positions(levels, cap, start), start).sum())

    def solve_bits(
        self,
        want: float,
        start: int = 0,
        available: float | None = None,
        gain: float = 1.0,
        near: float | None = None,
    ) -> float:
        """The level at which the frames from ``start`` on have ``want`` bits in all, or the nearer end.

        ``near`` is a first guess; it changes the time, not the outcome.
        """

        def total(level: float) -> float:
            return self.total(level, start, available, gain)

        low, high = float(self.bounds.lowest), float(self.bounds.highest)
        if near is not None:
            reach = (high - low) / 50
            below, above = max(low, near - reach), min(high, near + reach)
            if total(below) <= want <= total(above):
                low, high = below, above
        return solve_level(total, want, low, high, 1e-4 if start else 1e-6)

    def solve_psnr(self, want: float) -> float:
        """The level at which the mean PSNR is ``want`` dB, or the nearer end."""
        low, high = self.bounds.lowest, self.bounds.highest
        return solve_level(lambda x: float(self.psnr(x).mean()), want, low, high)

    def reach(self) -> tuple[float, float]:
        """Lowest and highest bits that the clip can have within bounds, zones and peak limit."""
        return self.total(self.bounds.lowest), self.total(self.bounds.highest)

    def require_bits(self, want: float, what: str, *, hard: bool = False) -> None:
        """Raise TargetError naming the reachable rates when ``want`` bits are out of reach.

        By :data:`NEARLY` the clip may miss them; with ``hard`` it may have fewer, and not more.
        """
        low, high = self.reach()
        if want < low * (1.0 if hard else 1 - NEARLY) or want > high * (1 + NEARLY):
            seconds = self.timeline.duration
            ends = [format_rate(bits / seconds) for bits in (low, high)]
            raise TargetError(
                f"{what} is out of reach: this clip can have {ends[0]} to {ends[1]} "
                f"({format_rate(want / seconds)} is wanted); choose a rate between, or --best-effort"
            )

    def require_psnr(self, want: float) -> None:
        """Raise TargetError naming the reachable PSNR when ``want`` dB is more than 0.05 dB out of reach."""
        ends = [float(self.psnr(e).mean()) for e in (self.bounds.lowest, self.bounds.highest)]
        if not ends[0] - 0.05 <= want <= ends[1] + 0.05:
            rates = [format_rate(bits / self.timeline.duration) for bits in self.reach()]
            raise TargetError(
                f"a PSNR of {want:g} dB is out of reach: this clip can have {ends[0]:.2f} dB ({rates[0]}) "
                f"to {ends[1]:.2f} dB ({rates[1]}); choose a value between, or --best-effort"
            )

    def require_peak(self) -> None:
        """Raise TargetError when even the lowest rate breaks the peak limit, naming a buffer that does."""
        if self.peak is None:
            return
        bits = self.bits(self.bounds.lowest)
        lowest = self.model.bits(float(self.bounds.lowest))
        gaps = np.asarray(self.timeline.gaps)
        backlog = worst = 0.0
        for frame, gap in zip(np.minimum(bits, lowest), gaps, strict=True):
            backlog += float(frame)
            worst = max(worst, backlog)
            backlog = max(0.0, backlog - self.peak.maxrate * float(gap))
        if worst > self.peak.bufsize:
            raise TargetError(
                "the peak limit is out of reach: at the lowest rate "
                f"({format_rate(float(bits.sum()) / self.timeline.duration)} mean) "
                f"this clip needs a --bufsize of {worst * 1.05 / 1e3:.0f}k at --maxrate "
                f"{format_rate(self.peak.maxrate)}, or a higher --maxrate"
            )
