"""Where encoder and display meet: the encoder's thread folds every event into a bounded state, the display copies it.

Nothing queues, so nothing overflows, gets lost or makes anyone wait: a display that draws five times a second, or that
has died, costs the encoder a few microseconds a frame. Sums and extremes are exact however seldom they are read.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from maevid.pipeline.events import (
    BesideVideo,
    Event,
    Note,
    PauseChanged,
    Phase,
    PhaseChanged,
    Preview,
    Progress,
    RdCurve,
    TargetChanged,
    Totals,
)
from maevid.report import FrameReport
from maevid.tui.history import History, Series

PREVIEW_INTERVAL = 0.5
"""Seconds between two previews at least."""
MAX_TARGETS = 128
MAX_NOTES = 32
_SPEED_WINDOW = 2.0
_RATE_WINDOW = 1.0


@dataclass(slots=True)
class Summary:
    """Exact sums and extremes over every frame so far. Bits and seconds of presentation; PSNR-YUV in dB."""

    frames: int = 0
    bits: int = 0
    seconds: float = 0.0
    pixels: int = 0
    target_bits: float = 0.0
    lam_low: float = float("inf")
    lam_high: float = 0.0
    psnr_frames: int = 0
    psnr_sum: float = 0.0
    psnr_worst: float = float("inf")
    psnr_worst_frame: int = -1
    buffer_low: float | None = None
    underflows: int = 0
    cuts: int = 0
    stage_seconds: dict[str, float] = field(default_factory=dict)

    def add(self, report: FrameReport, target: float | None) -> None:
        """Take one frame, coded while the target was ``target`` bits per second."""
        self.frames += 1
        self.bits += report.bits
        self.seconds += report.duration
        self.pixels += report.width * report.height
        self.target_bits += (target or 0.0) * report.duration
        self.lam_low = min(self.lam_low, report.lam)
        self.lam_high = max(self.lam_high, report.lam)
        self.cuts += report.scene_cut
        psnr = report.psnr_yuv
        if psnr is not None:
            self.psnr_frames += 1
            self.psnr_sum += psnr
            if psnr < self.psnr_worst:
                self.psnr_worst, self.psnr_worst_frame = psnr, report.index
        if report.buffer is not None:
            low = self.buffer_low
            self.buffer_low = report.buffer if low is None else min(low, report.buffer)
            self.underflows += report.buffer < 0
        for name, seconds in report.stage_seconds.items():
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + seconds

    @property
    def average_bitrate(self) -> float | None:
        """Bits per second of presentation."""
        return self.bits / self.seconds if self.seconds > 0 else None

    @property
    def error(self) -> float | None:
        """Bits spent over bits aimed at, less 1; None without a target. Follows a target that was changed."""
        return self.bits / self.target_bits - 1 if self.target_bits > 0 else None

    @property
    def average_psnr(self) -> float | None:
        """Mean of the frames' PSNR-YUV in dB."""
        return self.psnr_sum / self.psnr_frames if self.psnr_frames else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the display draws, at one moment. Speeds are wall time with pauses taken out.

    ``done`` counts frames of the present phase, ``elapsed`` is since the start and ``phase_elapsed`` since the phase
    began; ``targets`` holds (presentation second, bits per second) from which each target held; ``beside`` is what the
    file has beside the pictures, None as long as it is not known.
    """

    version: int
    phase: Phase = Phase.OPENING
    step: int = 1
    steps: int = 1
    detail: str = ""
    paused: bool = False
    totals: Totals | None = None
    done: int = 0
    elapsed: float = 0.0
    phase_elapsed: float = 0.0
    encode_elapsed: float = 0.0
    fps_now: float | None = None
    bitrate_now: float | None = None
    target: float | None = None
    targets: tuple[tuple[float, float], ...] = ()
    beside: BesideVideo | None = None
    curve: RdCurve | None = None
    preview: Preview | None = None
    last: FrameReport | None = None
    notes: tuple[str, ...] = ()
    summary: Summary = field(default_factory=Summary)
    series: Series = field(default_factory=lambda: History().series())


class Mailbox:
    """A :class:`~maevid.tui.session.Publisher` with a reading side. Both sides may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._version = 0
        self._phase = PhaseChanged(Phase.OPENING)
        self._totals: Totals | None = None
        self._done = 0
        self._target: float | None = None
        self._targets: list[tuple[float, float]] = []
        self._beside: BesideVideo | None = None
        self._curve: RdCurve | None = None
        self._notes: deque[str] = deque(maxlen=MAX_NOTES)
        self._preview: Preview | None = None
        self._preview_taken = True
        self._preview_time = float("-inf")
        self._last: FrameReport | None = None
        self._summary = Summary()
        self._history = History()
        self._arrivals: deque[float] = deque(maxlen=1024)
        self._second: deque[tuple[float, int, float]] = deque(maxlen=4096)
        self._start = clock()
        self._phase_start = 0.0
        self._encode_seconds = 0.0
        self._rest: float | None = None
        self._rested = 0.0
        self._ended: float | None = None

    def publish(self, event: Event) -> None:
        """Fold one event into the state."""
        with self._lock:
            self._version += 1
            match event:
                case FrameReport():
                    self._frame(event)
                case Preview():
                    self._preview, self._preview_taken = event, False
                    self._preview_time = self._clock()
                case Progress():
                    self._done = event.done
                case PhaseChanged():
                    self._change_phase(event)
                case Totals():
                    self._totals = event
                    self._aim(event.target_bitrate)
                case TargetChanged():
                    self._aim(event.bitrate)
                case PauseChanged():
                    self._pause(event.paused)
                case BesideVideo():
                    self._beside = event
                case RdCurve():
                    self._curve = event
                case Note():
                    self._notes.append(event.text)

    def wants_preview(self) -> bool:
        """True when the reader has taken the last preview and that was a while ago: a dead reader never wants one."""
        return self._preview_taken and self._clock() - self._preview_time >= PREVIEW_INTERVAL

    def _active(self) -> float:
        """Wall seconds since the start, pauses taken out."""
        now = self._ended if self._ended is not None else self._clock()
        rest = self._clock() - self._rest if self._rest is not None and self._ended is None else 0.0
        return now - self._start - self._rested - rest

    def _frame(self, report: FrameReport) -> None:
        self._done += 1
        self._last = report
        self._summary.add(report, self._target)
        self._history.add(report)
        self._arrivals.append(self._active())
        self._second.append((report.seconds, report.bits, report.duration))
        since = (
            report.seconds + report.duration - _RATE_WINDOW - 1e-6
        )  # float sums of pts must not cost a frame
        while self._second and self._second[0][0] < since:
            self._second.popleft()

    def _change_phase(self, event: PhaseChanged) -> None:
        if self._phase.phase.final:  # the first end is the true one
            return
        now = self._active()
        if self._phase.phase is Phase.ENCODE:
            self._encode_seconds += now - self._phase_start
        if event.phase.final:
            self._pause(False)
            self._ended = self._clock()
        else:
            self._phase_start, self._done = now, 0
        self._arrivals.clear()
        self._phase = event

    def _pause(self, paused: bool) -> None:
        if paused and self._rest is None:
            self._rest = self._clock()
        elif not paused and self._rest is not None:
            self._rested += self._clock() - self._rest
            self._rest = None

    def _aim(self, target: float | None) -> None:
        self._target = target
        if target is None:
            return
        since = 0.0 if self._last is None else self._last.seconds + self._last.duration
        if self._targets and self._targets[-1][0] == since:
            self._targets.pop()
        if len(self._targets) == MAX_TARGETS:
            del self._targets[1]
        self._targets.append((since, target))

    def _fps_now(self, now: float) -> float | None:
        while self._arrivals and self._arrivals[0] < now - _SPEED_WINDOW:
            self._arrivals.popleft()
        if len(self._arrivals) < 2 or now <= self._arrivals[0]:
            return None
        return (len(self._arrivals) - 1) / (now - self._arrivals[0])

    @property
    def version(self) -> int:
        """Rises with every event: an equal number means an equal state, the clock apart."""
        return self._version

    def snapshot(self) -> Snapshot:
        """Copy the state, in well under a millisecond; the preview in it counts as taken."""
        with self._lock:
            now = self._active()
            self._preview_taken = True
            encoding = self._phase.phase is Phase.ENCODE
            span = sum(duration for _, _, duration in self._second)
            return Snapshot(
                version=self._version,
                phase=self._phase.phase,
                step=self._phase.step,
                steps=self._phase.steps,
                detail=self._phase.detail,
                paused=self._rest is not None,
                totals=self._totals,
                done=self._done,
                elapsed=now,
                phase_elapsed=now - self._phase_start,
                encode_elapsed=self._encode_seconds + (now - self._phase_start if encoding else 0.0),
                fps_now=self._fps_now(now) if encoding else None,
                bitrate_now=sum(bits for _, bits, _ in self._second) / span if span > 0 else None,
                target=self._target,
                targets=tuple(self._targets),
                beside=self._beside,
                curve=self._curve,
                preview=self._preview,
                last=self._last,
                notes=tuple(self._notes),
                summary=replace(self._summary, stage_seconds=dict(self._summary.stage_seconds)),
                series=self._history.series(),
            )
