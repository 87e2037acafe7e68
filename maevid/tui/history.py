"""The past of an encode in bounded memory: buckets of frames whose width doubles whenever the room is full.

60,000 frames take the room of 2,048. Sums, extremes and cuts of every frame survive the merging; only single
points of the rate-distortion scatter are thinned (each bucket keeps its first, and the worst is kept apart).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np

from maevid.report import FrameReport
from maevid.tui.session import FloatArray

CAPACITY = 2048


@dataclass(frozen=True, slots=True)
class Series:
    """A copy of the history for drawing; arrays of one length, one entry a bucket, in presentation order.

    ``seconds`` is the start of the bucket and ``duration`` the sum over its frames; ``bits`` is the sum,
    ``largest`` the largest frame; ``lam`` is the mean; ``rate``/``psnr`` (bits per pixel, dB) are one real frame's,
    with NaN where PSNR was not measured. ``cuts`` are the times of buckets with a scene cut.
    """

    frames: FloatArray
    seconds: FloatArray
    duration: FloatArray
    bits: FloatArray
    largest: FloatArray
    lam: FloatArray
    rate: FloatArray
    psnr: FloatArray
    cuts: FloatArray

    def __len__(self) -> int:
        return len(self.seconds)


def _doubles() -> array[float]:
    return array("d")


@dataclass(slots=True)
class History:
    """Takes every report in a few microseconds and holds at most ``capacity`` buckets."""

    capacity: int = CAPACITY
    stride: int = 1
    _frames: array[float] = field(default_factory=_doubles)
    _seconds: array[float] = field(default_factory=_doubles)
    _duration: array[float] = field(default_factory=_doubles)
    _bits: array[float] = field(default_factory=_doubles)
    _largest: array[float] = field(default_factory=_doubles)
    _lam: array[float] = field(default_factory=_doubles)
    _rate: array[float] = field(default_factory=_doubles)
    _psnr: array[float] = field(default_factory=_doubles)
    _cut: array[float] = field(default_factory=_doubles)

    def add(self, report: FrameReport) -> None:
        """Take the next frame."""
        psnr = report.psnr_yuv
        cut = report.scene_cut
        if self._frames and self._frames[-1] < self.stride:
            self._frames[-1] += 1
            self._duration[-1] += report.duration
            self._bits[-1] += report.bits
            self._largest[-1] = max(self._largest[-1], report.bits)
            self._lam[-1] += report.lam
            if cut and self._cut[-1] < 0:
                self._cut[-1] = report.seconds
            return
        if len(self._frames) == self.capacity:
            self._halve()
            self.add(report)
            return
        self._frames.append(1)
        self._seconds.append(report.seconds)
        self._duration.append(report.duration)
        self._bits.append(report.bits)
        self._largest.append(report.bits)
        self._lam.append(report.lam)
        self._rate.append(report.bits_per_pixel)
        self._psnr.append(float("nan") if psnr is None else psnr)
        self._cut.append(report.seconds if cut else -1.0)

    def _halve(self) -> None:
        """Merge neighbours two by two."""
        for name in ("_frames", "_duration", "_bits", "_lam"):
            values = np.frombuffer(getattr(self, name))
            setattr(self, name, array("d", (values[0::2] + values[1::2]).tobytes()))
        for name in ("_seconds", "_rate", "_psnr"):
            setattr(self, name, getattr(self, name)[0::2])
        largest, cut = np.frombuffer(self._largest), np.frombuffer(self._cut)
        self._largest = array("d", np.maximum(largest[0::2], largest[1::2]).tobytes())
        self._cut = array("d", np.where(cut[0::2] >= 0, cut[0::2], cut[1::2]).tobytes())
        self.stride *= 2

    def series(self) -> Series:
        """A copy for drawing."""
        frames = np.array(self._frames)
        cut = np.array(self._cut)
        return Series(
            frames=frames,
            seconds=np.array(self._seconds),
            duration=np.array(self._duration),
            bits=np.array(self._bits),
            largest=np.array(self._largest),
            lam=np.array(self._lam) / np.maximum(frames, 1),
            rate=np.array(self._rate),
            psnr=np.array(self._psnr),
            cuts=cut[cut >= 0],
        )
