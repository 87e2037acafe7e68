"""The progress line: where a job stands, on one line of a terminal; silent when there is none."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque

from maevid.pipeline.events import Event, Note, Phase, PhaseChanged, Progress, TargetChanged, Totals
from maevid.report import FrameReport

_EVERY_SECONDS = 0.1
_RATE_WINDOW = 50


class ProgressLine:
    """A listener that draws on standard error when that is a terminal, and prints notes either way."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._live = self._stream.isatty()
        self._frames = 0
        self._drawn = 0.0
        self._began = time.monotonic()
        self._phase = Phase.OPENING
        self._step = ""
        self._recent: deque[FrameReport] = deque(maxlen=_RATE_WINDOW)
        self._shown = ""
        self._notes: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case Totals():
                self._frames = event.frames
            case PhaseChanged():
                self._enter(event)
            case Progress():
                self._draw(f"frame {event.done}{self._of(event.done)}", event.done)
            case FrameReport():
                self._recent.append(event)
                self._draw(self._describe(event), event.index + 1)
            case Note():
                self._note(event.text)
            case TargetChanged():
                self._note(f"target is now {event.bitrate / 1000:.0f} kbit/s")
            case _:
                pass

    def clear(self) -> None:
        """Wipe the line, so that other output has a clean start."""
        if self._shown:
            self._stream.write("\r" + " " * len(self._shown) + "\r")
            self._stream.flush()
            self._shown = ""

    def _enter(self, event: PhaseChanged) -> None:
        self._phase, self._began, self._drawn = event.phase, time.monotonic(), 0.0
        self._step = f"pass {event.step}/{event.steps} " if event.steps > 1 else ""
        self._recent.clear()
        if event.phase.final:
            self.clear()

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.add(text)
            self.clear()
            print(f"maevid: {text}", file=self._stream)

    def _of(self, done: int) -> str:
        return f"/{self._frames}" if self._frames >= done else ""

    def _describe(self, report: FrameReport) -> str:
        bits = sum(r.bits for r in self._recent)
        span = report.seconds - self._recent[0].seconds + report.duration
        rate = f"{bits / span / 1000:7.0f} kbit/s  " if span > 0 else ""
        return f"frame {report.index + 1}{self._of(report.index + 1)}  {rate}λ {report.lam:.4f}"

    def _draw(self, text: str, done: int) -> None:
        now = time.monotonic()
        if not self._live or now - self._drawn < _EVERY_SECONDS:
            return
        self._drawn = now
        elapsed = max(now - self._began, 1e-6)
        speed = done / elapsed
        left = (self._frames - done) / speed if self._frames >= done and speed > 0 else None
        remaining = "" if left is None else f"  ETA {int(left) // 60}:{int(left) % 60:02d}"
        line = f"{self._step}{text}  {speed:.1f} fps{remaining}"
        line = line[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + line.ljust(len(self._shown)))
        self._stream.flush()
        self._shown = line
