"""One pass: a target bit rate for frames that cannot be seen ahead, from probes, statistics and feedback.

Every scene has a rate curve, measured on one frame by a probe (analysis alone) and carried along by the
luma activity and by what the written packets have. At a cut the level goes where the scene takes the target rate.
Inside the scene equal levels are the least distortion, so the level is held while frames get harder and easier: the
debt of bits that this makes may be as large as the promised accuracy allows, and only at its limits the level moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maevid.rate.buffer import Peak
from maevid.rate.control import RateController
from maevid.rate.costs import FrameCost
from maevid.rate.model import Curves
from maevid.rate.shape import Bounds
from maevid.rate.statistics import FrameStatistics, is_cut, is_fade, log_activity
from maevid.report import FrameReport

Array = npt.NDArray[np.float64]

SCENE_WEIGHT = 0.98
"""How much of the level is the scene's own, against the average of the clip so far."""
PAYBACK_SECONDS = 1.25
"""Time in which a scene is to pay back the debt of bits that it finds at its start."""
ROOM_SECONDS = 0.25
"""Debt or credit, in time at the target rate, for which the level of a scene is held: 2.5 % of ten seconds."""
FIRST_ROOM, ROOM_GROWTH = 0.01, 0.06
"""The same at the start of a clip, and what every second adds: a short clip has its rate too."""
FRESH_SECONDS, FRESH_ROOM, MOST_ROOM = 2.0, 0.8, 0.38
"""A new scene keeps the level that it starts with for a while: time constant, and the share of the room that a cut
adds, up to ``MOST_ROOM`` seconds (3.8 % of ten). Not the first scene, which has no room to spare."""
AHEAD_SECONDS = 0.3
"""How far ahead the debt is reckoned that must find room."""
UNEVEN_ROOM, UNEVEN_AHEAD = 0.5, 8.0
"""What a longest time between frames adds to the two, for every second that it is more than the usual one."""
CREEP_SECONDS = 2.0
"""Time constant with which the level of a scene follows its rate curve all the same."""
RECENTRE_SECONDS = 3.0
"""Time in which that pays back the debt; longer than the last, so that the two together do not swing."""
LEAST_SHARE, MOST_SHARE = 0.5, 1.65
"""What a frame is given of its share of the target rate at least and at most, whatever the debt."""
MEMORY_SECONDS = 4.0
"""Time constant of the average rate curve."""
SLEW = 3.0
"""Most that the level moves from frame to frame inside a scene, in positions of 256; twice that where the
debt fills its room."""
FADE_SLEW = 16.0
"""The same in a fade."""
CALM = 0.3
"""Weight of a frame's own activity against that of the frames before it, inside a scene."""
STALE = 0.2
"""Change of ln(bits), judged by activity, after which the curve is measured again (half in a fade)."""
FLAT = 0.5
"""Range of ln(bits) over all rate indices below which a scene says nothing about the level."""
GAP_FRAMES = 25
"""Frames over which the usual time between frames is averaged."""
SEEN_SPARE = 1.05
"""Under a peak limit, frames seen ahead are reckoned to need so many times the bits of the curve's lowest index."""
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
        self._cut_at = -math.inf
        self._curve: _Curve | None = None
        self._bias = 0.0
        self._previous: list[FrameStatistics] = []
        self._cut = True
        self._held = False
        self._fading = False
        self._level = (bounds.lowest + bounds.highest) / 2
        self._activity = 0.0
        self._index = -1
        self._due = 0.0
        self._gap = self._usual_gap = 1 / 25
        self._longest_gap = 0.0
        self._issued: dict[int, _Issued] = {}

    def retarget(self, bitrate: float) -> None:
        """A new target from the next frame on, which goes to it at once as at a cut."""
        self._due = self._tally.bits + self._in_flight_bits
        self.bitrate = bitrate
        self._held = False

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
        self._longest_gap = max(self._gap, self._longest_gap * math.exp(-self._gap / MEMORY_SECONDS))
        self._usual_gap += (self._gap - self._usual_gap) / min(frame + 1, GAP_FRAMES)
        own = curve.heights + curve.shift + activity - curve.log_activity
        self._remember(own)
        index = self._index_for(frame, lookahead, own)
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

    def _index_for(self, frame: int, lookahead: Sequence[FrameStatistics], own: Array) -> int:
        fixed = self.bounds.fixed(frame)
        if fixed is not None:
            return fixed
        if own[-1] - own[0] > FLAT:
            self._move_level(own)
        scaled = self.bounds.scale.scaled(np.array([self._level]), np.array([self.bounds.log_factor(frame)]))
        position = self.bounds.clip(min(float(scaled[0]), self._peak_position(lookahead, own)))
        if self._cut or abs(position - self._index) > 0.75:
            self._index = int(self.bounds.clip(math.floor(position + 0.5)))
        return self._index

    def _move_level(self, own: Array) -> None:
        """At a cut to where the frame takes what is due; inside a scene hold as long as the debt stays in its room.

        There it only creeps towards the balance, after a cut not even that at first. A frame that is shown for long is
        due a lot and those about it little, so where times vary both the room and the view ahead are larger.
        """
        debt = (self._tally.bits + self._in_flight_bits - self._due) / self.bitrate
        if self._cut and self._held:
            self._cut_at = self._elapsed
        if self._cut or not self._held:
            self._level, self._held = self.bounds.clip(self._balanced(own, 1 - debt / PAYBACK_SECONDS)), True
            return
        level, room = self._level, min(FIRST_ROOM + ROOM_GROWTH * self._elapsed, ROOM_SECONDS)
        fresh = math.exp((self._cut_at - self._elapsed) / FRESH_SECONDS)
        room = min(room * (1 + FRESH_ROOM * fresh), MOST_ROOM)
        uneven = max(self._longest_gap - self._usual_gap, 0.0)
        room, ahead = room + UNEVEN_ROOM * uneven, AHEAD_SECONDS + UNEVEN_AHEAD * uneven
        low = self._at_share(own, 1 - (room + debt) / ahead)
        high = self._at_share(own, 1 + (room - debt) / ahead)
        creep = min(self._gap / CREEP_SECONDS, 1.0) * (1 - fresh)
        held = level + creep * (self._balanced(own, 1 - debt / RECENTRE_SECONDS) - level)
        slew = (FADE_SLEW if self._fading else SLEW * (1 + min((debt / room) ** 2, 1.0))) * self._unit
        self._level = self.bounds.clip(level + min(max(min(max(held, low), high) - level, -slew), slew))

    def _balanced(self, own: Array, share: float) -> float:
        """The level at which scene and clip take a share of the target rate."""
        clip = self._at_share(np.log(self._average * self._usual_gap), share)
        return SCENE_WEIGHT * self._at_share(own, share) + (1 - SCENE_WEIGHT) * clip

    def _at_share(self, curve: Array, share: float) -> float:
        """The level at which a frame of this curve takes a share of what is due for a frame."""
        wanted = self.bitrate * self._usual_gap * min(max(share, LEAST_SHARE), MOST_SHARE)
        return self._position_of(wanted, curve)

    def _position_of(self, bits: float, curve: Array) -> float:
        """Where a frame of this curve has so many bits; the knots' tiny slope makes a flat curve increase."""
        return float(np.interp(math.log(bits), curve + np.arange(KNOTS) * 1e-9, self._knots))

    def _peak_position(self, lookahead: Sequence[FrameStatistics], own: Array) -> float:
        """The position at which the frame takes what flows in and a fifth of what the bucket holds, and leaves the
        frames that are seen after it what they need at the lowest one."""
        if self._bucket is None or self.peak is None:
            return math.inf
        here = lookahead[0]
        bucket = self._bucket.copy()
        for frame, bits in self._expected.items():
            bucket.take(self._issued[frame].seconds, bits)
        available = bucket.available(here.seconds)
        inflow = min(available, self.peak.maxrate * self._usual_gap)
        allowed, needed = 0.97 * inflow + 0.2 * (available - inflow), 0.0
        for later in lookahead[1:]:
            needed += SEEN_SPARE * math.exp(own[0] + max(log_activity(later) - log_activity(here), 0.0))
            allowed = min(allowed, available + self.peak.maxrate * (later.seconds - here.seconds) - needed)
        return self._position_of(max(allowed, 1.0), own)

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
