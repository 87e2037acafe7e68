"""What a running job tells the world, and what the world may ask of it.

The job publishes events to one listener and never learns who reads: progress line, JSON lines, statistics
file and terminal UI are all readers of this stream. Requests go the other way through :class:`Control`.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from maevid.report import FrameReport
from maevid.video.frame import ColorTags, Plane

Planes = tuple[Plane, Plane, Plane]


class Phase(enum.Enum):
    """Where a job stands. The value is the word shown to people."""

    OPENING = "opening"
    ANALYSIS = "analysis pass"
    ENCODE = "encode pass"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        """Whether nothing more will come."""
        return self in (Phase.DONE, Phase.FAILED, Phase.ABORTED)


@dataclass(frozen=True, slots=True)
class Totals:
    """What is known of the whole job before its first frame.

    ``frames`` is 0 and ``duration`` (seconds) None when unknown; ``target_bitrate`` is in bits per second, None in
    modes that have none (constant λ, target PSNR): then raising and lowering it is not offered.
    """

    source: str
    output: str = ""
    frames: int = 0
    duration: float | None = None
    width: int = 0
    height: int = 0
    target_bitrate: float | None = None
    codec: str = ""
    device: str = ""
    precision: str = ""


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """A phase begins. ``step`` of ``steps`` counts passes; ``detail`` is the error's line, or a word on the result."""

    phase: Phase
    step: int = 1
    steps: int = 1
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` frames of this phase are through; for phases that report no frames, such as the analysis pass."""

    done: int


@dataclass(frozen=True, slots=True)
class PauseChanged:
    """The encoder has come to rest, or goes on."""

    paused: bool


@dataclass(frozen=True, slots=True)
class TargetChanged:
    """From the next frame on the controller aims at ``bitrate`` bits per second."""

    bitrate: float


@dataclass(frozen=True, slots=True)
class BesideVideo:
    """Bytes of the output beside the pictures' packets: sound, subtitles, container.

    ``whole`` says that they are those of the whole file, as far as that can be told; otherwise those so far.
    """

    bytes: int
    whole: bool


@dataclass(frozen=True, slots=True)
class RdCurve:
    """The clip's rate-distortion curve, as far as known: points in rising rate (bits per pixel, PSNR-YUV in dB)."""

    bits_per_pixel: tuple[float, ...]
    psnr: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """A frame's planes before and after coding, already reduced in size (some 320×180 is plenty).

    ``pixel_aspect`` is the width of a sample over its height.
    """

    index: int
    source: Planes
    coded: Planes
    color: ColorTags = field(default_factory=ColorTags)
    pixel_aspect: float = 1.0


@dataclass(frozen=True, slots=True)
class Note:
    """One line that a user should read: what was left out, what was odd about the input."""

    text: str


Event = (
    Totals
    | PhaseChanged
    | Progress
    | PauseChanged
    | TargetChanged
    | BesideVideo
    | RdCurve
    | Preview
    | Note
    | FrameReport
)
Listener = Callable[[Event], None]


class Aborted(Exception):
    """The job was asked to stop and leave nothing behind."""


class Control:
    """Requests to a running job, from any thread; the job looks at them between frames."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._paused = False
        self._finish = False
        self._abort = False
        self._target: float | None = None

    def pause(self) -> None:
        """Come to rest after the frames at hand."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        """Go on."""
        with self._lock:
            self._paused = False
            self._lock.notify_all()

    def set_target(self, bitrate: float) -> None:
        """Aim the rest of the clip at ``bitrate`` bits per second."""
        with self._lock:
            self._target = bitrate
            self._lock.notify_all()

    def finish_early(self) -> None:
        """Close the file after the frames at hand."""
        with self._lock:
            self._finish = True
            self._paused = False
            self._lock.notify_all()

    def abort(self) -> None:
        """Stop and leave nothing behind."""
        with self._lock:
            self._abort = True
            self._paused = False
            self._lock.notify_all()

    @property
    def finishing(self) -> bool:
        """Whether the file is to be closed early."""
        return self._finish

    def take_target(self) -> float | None:
        """A new target bitrate, once."""
        with self._lock:
            target, self._target = self._target, None
            return target

    def checkpoint(self, publish: Listener) -> None:
        """Called by the job between frames: waits out a pause. Raises Aborted."""
        with self._lock:
            if self._paused and not self._abort:
                publish(PauseChanged(True))
                self._lock.wait_for(lambda: not self._paused)
                publish(PauseChanged(False))
            if self._abort:
                raise Aborted
