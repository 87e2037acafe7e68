"""Which rate indices to measure: even in ln λ, between those with the lowest and the highest rate of interest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from maevid.codec.interface import FrameCodec
from maevid.video.frame import Frame

LOWEST_RATE, HIGHEST_RATE = 0.1, 1.5
"""Bits a luma sample between which codecs are compared."""


def rate_points(codec: FrameCodec, frames: Sequence[Frame], count: int) -> list[int]:
    """At most ``count`` rate indices, rising, whose rates on ``frames`` span LOWEST_RATE..HIGHEST_RATE.

    The rate of an index is the geometric mean over the frames. Where the codec does not reach an end of the range,
    its own end counts.
    """
    known: dict[int, float] = {}

    def rate(index: int) -> float:
        if index not in known:
            sizes = [8 * len(codec.encode(f, index).packet.to_bytes()) / f.y.size for f in frames]
            known[index] = math.exp(fmean(map(math.log, sizes)))
        return known[index]

    indices = codec.rate_indices
    low = _last(indices, lambda index: rate(index) <= LOWEST_RATE)
    high = _last(indices, lambda index: rate(index) <= HIGHEST_RATE)
    return spread(codec, low, max(low, high), count)


def spread(codec: FrameCodec, low: int, high: int, count: int) -> list[int]:
    """At most ``count`` different rate indices from ``low`` to ``high``, as even in ln λ as they can be."""
    indices = range(low, high + 1)
    logs = [math.log(codec.lam(index)) for index in indices]
    if count == 1:
        wanted = [(logs[0] + logs[-1]) / 2]
    else:
        wanted = [logs[0] + (logs[-1] - logs[0]) * k / (count - 1) for k in range(count)]
    return sorted({min(indices, key=lambda index: abs(logs[index - low] - log)) for log in wanted})


def _last(indices: range, fits: Callable[[int], bool]) -> int:
    """The last index that fits, when every index below a fitting one fits; the first where none does."""
    below, above = indices[0], indices[-1] + 1
    while above - below > 1:
        middle = (below + above) // 2
        if fits(middle):
            below = middle
        else:
            above = middle
    return below
