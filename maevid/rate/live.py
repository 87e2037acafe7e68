"""One pass: a target bit rate for frames that cannot be seen ahead, from probes, statistics and feedback.

Every scene has a rate curve, measured on one frame by a probe (analysis alone) and carried along by the
luma activity and by what the written packets have. The level follows the curve that the clip had on average
and the curve of the scene, and pays back slowly what was spent too much or too little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maevid.rate.buffer import Peak
from maevid.rate.control import RateController
from maevid.rate.model import Curves, FrameCost
from maevid.rate.shape import Bounds
from maevid.rate.statistics import FrameStatistics, is_cut, is_fade, log_activity
from maevid.report import FrameReport

Array = npt.NDArray[np.float64]

SCENE_WEIGHT = 0.98
"""How much of the level is the scene's own, against the average of the clip so far."""
PAYBACK_SECONDS = 1.25
"""Time in which a debt of bits is paid back."""
MEMORY_SECONDS = 4.0
"""Time constant of the average rate curve."""
SLEW = 3.0
"""Most that the level moves from frame to frame inside a scene, in positions of 256."""
URGENT_SECONDS = 0.3
"""Debt at which that doubles."""
FADE_SLEW = 16.0
"""The same in a fade."""
PAYBACK_SLEW = 0.3
"""The same for the part of the level that pays back, while it grows."""
CALM = 0.3
"""Weight of a frame's own activity against that of the frames before it, inside a scene."""
STALE = 0.2
"""Change of ln(bits), judged by activity, after which the curve is measured again (half in a fade)."""
FLAT = 0.5
"""Range of ln(bits) over all rate indices below which a scene says nothing about the level."""
GAP_FRAMES = 25
"""Frames over which the usual time between frames is averaged."""
KNOTS = 33


@dataclass(slots=True)
class _Curve:
    """ln bits on the controller's knots for one scene; ``shift`` is what packets taught since the probe."""

    frame: int
    heights: Array
    shift: float
    log_activity: float = 0.0


@dataclass(frozen=True, slots=True)
class _Issued:
    """A frame under way: what its bits were reckoned from."""

    curve: _Curve
    log_activity: float
    seconds: float


class LiveController(RateController):
    """Meets a mean bit rate (bit/s) in one pass; the length of the clip need not be known.

    Give :meth:`next_index` the statistics of ``lookahead`` frames (fewer at the end), and answer the probes.
    """

    lookahead = 4

    def __init__(
        self, bounds: Bounds, bitrate: float, peak: Peak | None = None, *, best_effort: bool = False
    ) -> None:
        super().__init__(bounds, peak, best_effort=best_effort)
        self.bitrate = bitrate
        self._unit = len(bounds.scale.lams) / 256
        self._knots = np.linspace(bounds.lowest, max(bounds.highest, bounds.lowest + 1), KNOTS)
        self._average = np.zeros(KNOTS)
        self._elapsed = 0.0
        self._curve: _Curve | None = None
        self._bias = 0.0
        self._previous: list[FrameStatistics] = []
        self._cut = True
        self._fading = False
        self._base = self._level = (bounds.lowest + bounds.highest) / 2
        self._payback = 0.0
        self._activity = 0.0
        self._index = -1
        self._due = 0.0
        self._gap = self._usual_gap = 1 / 25
        self._issued: dict[int, _Issued] = {}

    def retarget(self, bitrate: float) -> None:
        """A new target from the next frame on."""
        self._due = self._tally.bits + self._in_flight_bits
        self.bitrate = bitrate

    def probe(self, frame: int, lookahead: Sequence[FrameStatistics] = ()) -> tuple[int, ...]:
        """Five indices over the range for a new scene, three near the level where the picture has changed."""
        here = self._statistics(lookahead)
        self._cut = is_cut(here, self._previous)
        self._fading = is_fade(lookahead)
        curve = self._curve
        if curve is None or self._cut:
            low, high, level = self.bounds.lowest, self.bounds.highest, self._level
            around = (low, (low + level) / 2, level, (level + high) / 2, high)
            return tuple(sorted({round(p) for p in around}))
        stale = STALE / 2 if self._fading else STALE
        changed = abs(log_activity(here) - curve.log_activity) > stale
        if not changed or frame - curve.frame < 3:
            return ()
        reach = 12 * self._unit
        return tuple(sorted({round(self.bounds.clip(self._level + k * reach)) for k in (-1, 0, 1)}))

    def learn(self, cost: FrameCost) -> None:
        """Start a new curve from a probe."""
        indices = sorted(cost.bits)
        heights = np.log(np.maximum(np.array([[cost.bits[i] for i in indices]], dtype=np.float64), 1.0))
        lines = Curves([float(i) for i in indices], heights)
        on_knots = np.array([lines.at(float(k))[0] for k in self._knots])
        self._curve = _Curve(cost.frame, on_knots, self._bias)

    @staticmethod
    def _statistics(lookahead: Sequence[FrameStatistics]) -> FrameStatistics:
        if not lookahead:
            raise ValueError("one-pass control needs the statistics of the frame")
        return lookahead[0]

    def _choose(self, frame: int, lookahead: Sequence[FrameStatistics]) -> tuple[int, float]:
        here, curve = self._statistics(lookahead), self._curve
        if curve is None:
            raise ValueError("one-pass control needs the answer to its first probe")
        activity = self._activity = self._calmed(log_activity(here), fresh=curve.frame == frame)
        if curve.frame == frame:
            curve.log_activity = activity
        if len(lookahead) > 1:
            self._gap = max(lookahead[1].seconds - here.seconds, 1e-6)
        self._usual_gap += (self._gap - self._usual_gap) / min(frame + 1, GAP_FRAMES)
        own = curve.heights + curve.shift + activity - curve.log_activity
        self._remember(own)
        index = self._index_for(frame, here, own)
        self._due += self.bitrate * self._gap
        self._previous = [*self._previous[-7:], here]
        self._issued[frame] = _Issued(curve, activity, here.seconds)
        return index, math.exp(float(np.interp(index, self._knots, own)))

    def _calmed(self, activity: float, *, fresh: bool) -> float:
        """Activity without its noise from frame to frame."""
        return (
            activity
            if fresh or self._cut or self._fading
            else self._activity + CALM * (activity - self._activity)
        )

    def _remember(self, own: Array) -> None:
        """Let the frame's curve into the average, in bit/s."""
        self._elapsed += self._gap
        weight = max(self._gap / self._elapsed, 1 - math.exp(-self._gap / MEMORY_SECONDS))
        self._average += weight * (np.exp(own) / self._usual_gap - self._average)

    def _index_for(self, frame: int, here: FrameStatistics, own: Array) -> int:
        fixed = self.bounds.fixed(frame)
        if fixed is not None:
            return fixed
        self._move_base(own)
        debt = self._tally.bits + self._in_flight_bits - self._due
        wanted = min(max(-debt / (self.bitrate * PAYBACK_SECONDS), -0.7), 0.5) / self._elasticity(own)
        if own[-1] - own[0] <= FLAT:
            wanted = 0.0
        if not self._cut:
            urgency = 1 + (debt / (self.bitrate * URGENT_SECONDS)) ** 2
            rising, easing = PAYBACK_SLEW * urgency * self._unit, 3 * PAYBACK_SLEW * self._unit
            low = self._payback - (easing if self._payback > 0 else rising)
            high = self._payback + (easing if self._payback < 0 else rising)
            wanted = min(max(wanted, low), high)
        self._payback = wanted
        self._level = self.bounds.clip(self._base + wanted)
        scaled = self.bounds.scale.scaled(np.array([self._level]), np.array([self.bounds.log_factor(frame)]))
        position = self.bounds.clip(min(float(scaled[0]), self._peak_position(here, own)))
        if self._cut or abs(position - self._index) > 0.75:
            self._index = int(self.bounds.clip(math.floor(position + 0.5)))
        return self._index

    def _move_base(self, own: Array) -> None:
        """Take the level towards where scene and clip would have the target rate; at a cut all the way."""
        ramp = np.arange(KNOTS) * 1e-9
        if own[-1] - own[0] > FLAT:
            scene = float(np.interp(math.log(self.bitrate * self._usual_gap), own + ramp, self._knots))
        else:
            scene = self._base
        clip = float(np.interp(math.log(self.bitrate), np.log(self._average) + ramp, self._knots))
        target = SCENE_WEIGHT * scene + (1 - SCENE_WEIGHT) * clip
        step = target - self._base
        if not self._cut:
            slew = (FADE_SLEW if self._fading else SLEW) * self._unit
            step = 0.0 if abs(step) < self._unit else min(max(step, -slew), slew)
        self._base += step

    def _elasticity(self, own: Array) -> float:
        """d ln bits / d position near the base, at least a third of R ∝ √λ's."""
        reach = 8 * self._unit
        low, high = np.interp([self._base - reach, self._base + reach], self._knots, own)
        return max(float(high - low) / (2 * reach), super()._slope(0, round(self._base)) / 1.5)

    def _peak_position(self, here: FrameStatistics, own: Array) -> float:
        """The position at which the frame takes what flows in, and a fifth of what the bucket holds."""
        if self._bucket is None or self.peak is None:
            return math.inf
        bucket = self._bucket.copy()
        for frame, bits in self._expected.items():
            bucket.take(self._issued[frame].seconds, bits)
        available = bucket.available(here.seconds)
        inflow = min(available, self.peak.maxrate * self._usual_gap)
        allowed = 0.97 * inflow + 0.2 * (available - inflow)
        return float(np.interp(math.log(max(allowed, 1.0)), own + np.arange(KNOTS) * 1e-9, self._knots))

    def _accept(self, report: FrameReport) -> None:
        super()._accept(report)
        issued = self._issued.pop(report.index)
        curve = issued.curve
        raw = float(np.interp(report.rate_index, self._knots, curve.heights))
        surprise = math.log(max(report.bits, 1)) - raw - (issued.log_activity - curve.log_activity)
        if report.index == curve.frame:
            self._bias += 0.3 * (surprise - self._bias)
        curve.shift += 0.4 * (surprise - curve.shift)

    def _outcome(self) -> tuple[str, float | None, float]:
        return "bit/s", self.bitrate, self._result_rate()
