"""The protocol between the pipeline and whatever chooses rate indices, and what all controllers share."""

from __future__ import annotations

import copy
import itertools
import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Self

from maevid.errors import TargetError
from maevid.rate.buffer import BufferModel, Peak
from maevid.rate.costs import FrameCost
from maevid.rate.parsing import format_rate, format_size
from maevid.rate.search import Search, Want
from maevid.rate.shape import Bounds
from maevid.rate.statistics import FrameStatistics
from maevid.report import FrameReport


@dataclass(frozen=True, slots=True)
class Retry:
    """Code this frame again at this rate index, and report it again."""

    frame: int
    rate_index: int


@dataclass(frozen=True, slots=True)
class RateResult:
    """Target and outcome. ``unit`` is ``bit/s``, ``bytes``, ``dB`` or empty (constant λ: no target).

    ``underflows`` are frames that broke the peak limit and ``over`` frames that broke the frame limit; both
    are empty except after a best effort.
    """

    unit: str
    target: float | None
    achieved: float
    frames: int
    bits: int
    seconds: float
    retries: int
    underflows: tuple[int, ...] = ()
    over: tuple[int, ...] = ()

    @property
    def error(self) -> float | None:
        """(achieved - target) / target, for PSNR the difference in dB; None without a target."""
        if self.target is None:
            return None
        difference = self.achieved - self.target
        return difference if self.unit == "dB" else difference / self.target

    @property
    def bitrate(self) -> float:
        """Bits of the packets per second."""
        return self.bits / self.seconds if self.seconds > 0 else 0.0

    def line(self) -> str:
        """The last line that the encoder prints: target, result and error."""
        if self.target is None or self.error is None:
            text = f"{format_rate(self.bitrate)}, {format_size(self.bits / 8)}"
        elif self.unit == "dB":
            text = f"target {self.target:.2f} dB, result {self.achieved:.2f} dB, error {self.error:+.2f} dB"
        else:
            show = format_rate if self.unit == "bit/s" else format_size
            error = f"{100 * self.error:+.2f} %"
            text = f"target {show(self.target)}, result {show(self.achieved)}, error {error}"
        notes = (
            [f"{len(self.underflows)} underflow{'s' * (len(self.underflows) > 1)}"] if self.underflows else []
        )
        notes += [f"{len(self.over)} frame{'s' * (len(self.over) > 1)} over the limit"] if self.over else []
        return ", ".join([text, *notes])


@dataclass(slots=True)
class _Tally:
    """What the accepted frames add up to."""

    bits: int = 0
    retries: int = 0
    seconds: array[float] = field(default_factory=lambda: array("d"))
    last_duration: float = 0.0

    @property
    def frames(self) -> int:
        return len(self.seconds)

    @property
    def duration(self) -> float:
        """Last time + last duration - first time; an unknown last duration is the median gap."""
        if not self.seconds:
            return 0.0
        last = self.last_duration
        if last <= 0 and self.frames > 1:
            last = median(array("d", (b - a for a, b in itertools.pairwise(self.seconds))))
        return self.seconds[-1] - self.seconds[0] + (last if last > 0 else 1 / 25)


class RateController(ABC):
    """Chooses a rate index for every frame and hears what came of it.

    Call :meth:`next_index` for the frames 0, 1, 2, … in order, and :meth:`observe` for every coded frame in
    the same order; up to ``in_flight`` frames may lie between the two. A :class:`Retry` always names the
    frame just observed: code it again and observe it again before the next one. Indices that were given out
    stay good.

    Same calls, same answers: no clock, no chance.
    """

    lookahead: int = 0
    """Frames whose luma statistics :meth:`next_index` wants, the frame itself included; 0: none."""
    in_flight: int = 8
    """The most frames that may be handed out and not yet observed."""

    def __init__(self, bounds: Bounds, peak: Peak | None = None, *, best_effort: bool = False) -> None:
        self.bounds = bounds
        self.peak = peak
        self.best_effort = best_effort
        self._bucket = None if peak is None else BufferModel(peak)
        self._tally = _Tally()
        self._asked = 0
        self._expected: dict[int, float] = {}
        self._search: Search | None = None
        self._underflows: list[int] = []
        self._over: list[int] = []

    @property
    def buffer(self) -> float | None:
        """Fullness of the bucket after the last accepted frame, 0..1, below 0 where it underflowed; None without a
        peak limit."""
        return None if self._bucket is None else self._bucket.fullness

    @property
    def asked(self) -> int:
        """How many frames have been given an index."""
        return self._asked

    def fork(self) -> Self:
        """A controller in the same state, to look ahead with: what it hears and answers changes nothing here.

        What never changes, the plan above all, is shared.
        """
        twin = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | list | BufferModel | Search):
                setattr(twin, name, copy.copy(value))
        twin._tally = replace(self._tally, seconds=self._tally.seconds[:])
        return twin

    def expects(self, frame: int, rate_index: int) -> float:
        """Bits that a frame should have at a rate index, as far as the controller knows; 0 where it does not."""
        return 0.0

    def probe(self, frame: int, lookahead: Sequence[FrameStatistics] = ()) -> tuple[int, ...]:
        """Rate indices at which the controller wants this frame's estimated bits before it chooses; mostly
        none.

        Answer with :meth:`learn`, then call :meth:`next_index`.
        """
        return ()

    def learn(self, cost: FrameCost) -> None:  # noqa: B027 - only controllers that probe override it
        """Take the answer to :meth:`probe`."""

    def next_index(self, frame: int, lookahead: Sequence[FrameStatistics] = ()) -> int:
        """The rate index for a frame. ``lookahead`` holds its statistics and those of the frames after it.

        Raises ValueError when frames are asked for out of order.
        """
        if frame != self._asked:
            raise ValueError(f"frame {self._asked} comes next, not {frame}")
        index, expected = self._choose(frame, lookahead)
        self._asked += 1
        self._expected[frame] = expected
        return index

    def observe(self, report: FrameReport) -> Retry | None:
        """Take the report of a coded frame: None accepts it, a Retry asks for it again.

        Raises ValueError for a report out of order, and TargetError when a limit cannot be kept even at the
        lowest rate index (with ``best_effort`` the frame is accepted and counted in the result).
        """
        frame = report.index
        if frame != self._tally.frames or frame >= self._asked:
            raise ValueError(f"a report of frame {self._tally.frames} comes next, not of frame {frame}")
        if self._search is None:
            self._search = Search(self.bounds.lowest, self.bounds.highest)
        want = self._want(report)
        amount = self._amount(report)
        # Nearly all frames are accepted at once, and a slope costs more than all else here.
        slope = 0.0 if want.accepts(amount) else self._slope(frame, report.rate_index)
        index = self._search.step(report.rate_index, amount, want, slope)
        if index is not None:
            self._tally.retries += 1
            return Retry(frame, index)
        if amount > want.ceiling:
            self._broken(report)
        self._accept(report)
        return None

    def result(self) -> RateResult:
        """What the frames accepted so far came to; the outcome once all are."""
        unit, target, achieved = self._outcome()
        tally = self._tally
        return RateResult(
            unit=unit,
            target=target,
            achieved=achieved,
            frames=tally.frames,
            bits=tally.bits,
            seconds=tally.duration,
            retries=tally.retries,
            underflows=tuple(self._underflows),
            over=tuple(self._over),
        )

    @abstractmethod
    def _choose(self, frame: int, lookahead: Sequence[FrameStatistics]) -> tuple[int, float]:
        """The index for a frame and the bits expected of it."""

    def _amount(self, report: FrameReport) -> float:
        """What of a frame is to be as :meth:`_want` says: its bits, unless a controller minds something else."""
        return float(report.bits)

    def _want(self, report: FrameReport) -> Want:
        """What bits the frame just coded may have; the peak limit is the ceiling."""
        return Want(ceiling=self._peak_ceiling(report))

    def _peak_ceiling(self, report: FrameReport) -> float:
        return math.inf if self._bucket is None else self._bucket.available(report.seconds)

    def _slope(self, frame: int, index: int) -> float:
        """d ln(amount) / d index of a frame; the default is that of R ∝ √λ."""
        scale = self.bounds.scale
        high, low = scale.lam(index + 1), scale.lam(index - 1)
        return 0.25 * math.log(high / low) if high > low else 1.0

    def _broken(self, report: FrameReport) -> None:
        """A frame stays over its ceiling at the lowest rate."""
        if not self.best_effort:
            raise TargetError(
                f"frame {report.index} has {report.bits} bits at the lowest rate, more than the limit leaves "
                "for it; raise the limit, or go on with --best-effort"
            )

    def _accept(self, report: FrameReport) -> None:
        tally = self._tally
        if self._bucket is not None and not self._bucket.take(report.seconds, report.bits):
            self._underflows.append(report.index)
        tally.bits += report.bits
        tally.seconds.append(report.seconds)
        tally.last_duration = report.duration
        self._expected.pop(report.index)
        self._search = None

    @property
    def _in_flight_bits(self) -> float:
        return sum(self._expected.values())

    def _outcome(self) -> tuple[str, float | None, float]:
        """Unit, target and what was achieved."""
        return "", None, self._result_rate()

    def _result_rate(self) -> float:
        duration = self._tally.duration
        return self._tally.bits / duration if duration > 0 else 0.0


class ConstantController(RateController):
    """The same λ for every frame, zones apart; under a peak limit a frame that breaks it is coded again
    lower.
    """

    def __init__(
        self, bounds: Bounds, index: int, peak: Peak | None = None, *, best_effort: bool = False
    ) -> None:
        super().__init__(bounds, peak, best_effort=best_effort)
        self.index = index

    def _choose(self, frame: int, lookahead: Sequence[FrameStatistics]) -> tuple[int, float]:
        fixed = self.bounds.fixed(frame)
        if fixed is not None:
            return fixed, 0.0
        position = self.bounds.scale.lam(self.index) * math.exp(self.bounds.log_factor(frame))
        return int(self.bounds.clip(self.bounds.scale.index_of(position))), 0.0
