"""The leaky bucket of the receiver: it fills at the peak rate, and every frame takes its bits out when shown.

It starts full. Then the bound is the same for every part of the file: from any frame on, n frames shown
within T seconds have at most ``bufsize + maxrate·T`` bits, wherever a viewer or a cut begins.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peak:
    """A peak limit: ``maxrate`` in bit/s, ``bufsize`` in bits, both positive."""

    maxrate: float
    bufsize: float


class BufferModel:
    """The bucket along the frames coded so far; times are presentation times in seconds."""

    def __init__(self, peak: Peak) -> None:
        self.peak = peak
        self._level = peak.bufsize
        self._lacking = 0.0
        self._seconds: float | None = None

    def available(self, seconds: float) -> float:
        """Bits at hand for a frame shown at this time."""
        waited = 0.0 if self._seconds is None else max(0.0, seconds - self._seconds)
        return min(self.peak.bufsize, self._level + self.peak.maxrate * waited)

    def take(self, seconds: float, bits: float) -> bool:
        """Take out a frame's bits; False when they were not all there (the bucket is then empty)."""
        left = self.available(seconds) - bits
        self._level, self._lacking, self._seconds = max(0.0, left), max(0.0, -left), seconds
        return left >= 0

    def copy(self) -> BufferModel:
        """A bucket in the same state, to look ahead with."""
        twin = BufferModel(self.peak)
        twin._level, twin._lacking, twin._seconds = self._level, self._lacking, self._seconds
        return twin

    @property
    def fullness(self) -> float:
        """0..1, after the last frame taken; when its bits were not all there: below 0 by the part that lacked."""
        return (self._level - self._lacking) / self.peak.bufsize
