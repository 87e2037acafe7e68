"""Which rate indices the first pass tries on a frame: the whole range now and then, else two near the target.

Frames of a clip have curves of much the same shape at different heights. So a few key frames are tried over the whole
range, the others only near the level that the clip will get, and :class:`~maevid.rate.model.RateModel` lends them
the rest of the nearest key frame's curve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from maevid.rate.model import Curves, trial_indices

KEY_EVERY = 7
"""Every so many measured frames one is tried over the whole range."""
GRID = 16
"""Distance of the two indices near the target, which are multiples of it: few different ones keep the model small."""


class Trials:
    """Trial indices frame by frame, in lowest..highest.

    Without a ``bitrate`` (bits per second) to come near to, all frames are tried over the whole range. With
    ``whole_file`` it is that of the file, and the pictures get what is left of it.
    """

    def __init__(
        self, lowest: int, highest: int, bitrate: float | None = None, *, whole_file: bool = False
    ) -> None:
        self._ladder = trial_indices(lowest, highest)
        self._ends = lowest, highest
        self._bitrate = bitrate
        self._whole_file = whole_file
        self._measured = 0
        self._key: Curves | None = None
        self._sum = np.zeros(len(self._ladder))

    @property
    def together(self) -> int:
        """How many frames are measured together: one that is tried over the whole range, and those after it."""
        return 1 if self._bitrate is None else KEY_EVERY

    def over_range(self, number: int) -> tuple[int, ...]:
        """Indices over the range for the measured frame of a number, where it is to be tried so; none for others."""
        return self._ladder if number % self.together == 0 else ()

    def near(
        self, bits: Mapping[int, float], seconds_per_frame: float, beside: float = 0.0
    ) -> tuple[int, ...]:
        """The indices near the target for the frames measured together, the first of which has ``bits`` over the range.

        ``beside`` are the bits per second that a file has beside its pictures.
        """
        if self._bitrate is None:
            return ()
        heights = np.log([[max(bits[i], 1.0) for i in self._ladder]])
        self._key = Curves([float(i) for i in self._ladder], heights)
        if self._measured == 0:
            self._sum = np.exp(heights[0])
        bitrate = self._bitrate - beside if self._whole_file else self._bitrate
        wanted = math.log(max(bitrate * seconds_per_frame, 1.0))
        means = np.maximum.accumulate(np.log(self._sum / max(self._measured, 1)))
        level = float(np.interp(wanted, means + np.arange(means.size) * 1e-9, self._ladder))
        low, high = self._ends
        below = GRID * math.floor(level / GRID)
        return tuple(sorted({min(max(index, low), high) for index in (below, below + GRID)}))

    def learn(self, bits: Mapping[int, float]) -> None:
        """Take all bits of a measured frame: where the target lies is a matter of all frames so far."""
        if self._bitrate is None or self._key is None:
            return
        key = self._key
        excess = [math.log(max(b, 1.0)) - float(key.at(float(i))[0]) for i, b in bits.items()]
        own = np.exp(key.values[0] + np.mean(excess))
        self._sum = own if self._measured == 0 else self._sum + own
        self._measured += 1
