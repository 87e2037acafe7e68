"""The best levels under a peak limit: one λ between the points where the bucket is empty or full.

For separable convex distortion the optimum under nested bounds on cumulative bits has a level that falls only
where the bucket is full and rises only where it is empty (the taut string). It is found by solving a stretch
without bounds and splitting it at the point of greatest violation: there the bound is tight in the optimum.
For suppose it is not, and look at the widest stretch around that point free of tight bounds of this kind: the
optimum must use a lower level somewhere before the point and a higher one somewhere after it, but inside the
stretch levels can only move the other way.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from maevid.rate.buffer import Peak

Array = npt.NDArray[np.float64]
BitsAt = Callable[[float, int, int], Array]


def solve_level(
    total: Callable[[float], float], want: float, low: float, high: float, tolerance: float = 1e-6
) -> float:
    """The level in low..high where a non-decreasing positive total meets ``want``, or the nearer end.

    It is found to 0.001, or to a relative ``tolerance`` of the total: by regula falsi on ln(total), which is
    nearly straight, with the Illinois rule (M. Dowell and P. Jarratt, BIT 11, 1971) and some bisection.
    """
    if want <= 0:
        return low
    below, above = math.log(total(low) / want), math.log(total(high) / want)
    if below >= 0:
        return low
    if above <= 0:
        return high
    side = 0
    for turn in range(60):
        level = (low * above - high * below) / (above - below) if turn % 8 < 6 else (low + high) / 2
        miss = math.log(total(level) / want)
        if miss < 0:
            low, below = level, miss
            above = above / 2 if side < 0 else above
            side = -1
        else:
            high, above = level, miss
            below = below / 2 if side > 0 else below
            side = 1
        if high - low < 1e-3 or abs(miss) <= tolerance:
            return level
    return (low + high) / 2


def bucket_levels(bits: Array, times: Array, peak: Peak, available: float) -> tuple[Array, Array]:
    """Bits in the bucket before and after each frame; after an underflow they go on below zero."""
    filled = available + peak.maxrate * (times - times[0]) - (np.cumsum(bits) - bits)
    spilled = np.maximum(0.0, np.maximum.accumulate(filled - peak.bufsize))
    before = filled - spilled
    return before, before - bits


def peak_levels(
    bits_at: BitsAt, times: Array, cap: float, lowest: float, peak: Peak, available: float
) -> Array:
    """The level of every frame: at most ``cap``, at least ``lowest``, with no underflow where that can be.

    ``bits_at(level, start, stop)`` gives bits of frames; ``times`` are seconds; ``available`` is what the
    bucket holds for the first frame.
    """
    frames = len(times)
    levels = np.full(frames, cap)
    at_cap = bits_at(cap, 0, frames)
    tolerance = 1e-6 * peak.bufsize
    start = 0
    while start < frames:
        before, after = bucket_levels(at_cap[start:], times[start:], peak, available)
        broken = np.flatnonzero(after < -tolerance)
        if broken.size == 0:
            break
        full = np.flatnonzero(before >= peak.bufsize - tolerance)
        begin = int(max(full[full <= broken[0]], default=0))
        end = int(min(full[full > broken[0]], default=frames - start))
        worst = begin + int(np.argmin(after[begin:end]))
        _fixed_ends(
            bits_at,
            times,
            levels,
            (lowest, cap),
            peak,
            (start + begin, start + worst + 1, float(before[begin]), 0.0),
        )
        start += worst + 1
        if start < frames:
            available = min(peak.bufsize, peak.maxrate * float(times[start] - times[start - 1]))
    return levels


def _fixed_ends(
    bits_at: BitsAt,
    times: Array,
    levels: Array,
    reach: tuple[float, float],
    peak: Peak,
    stretch: tuple[int, int, float, float],
) -> None:
    """Set levels within ``reach`` for a stretch (start, stop, bits before and after it)."""
    tolerance = 1e-4 * peak.bufsize
    todo = [stretch]
    while todo:
        start, stop, available, rest = todo.pop()
        span = times[start:stop]
        want = available + peak.maxrate * float(span[-1] - span[0]) - rest
        level = _uniform_level(bits_at, start, stop, want, reach)
        levels[start:stop] = level
        bits = bits_at(level, start, stop)
        before = available + peak.maxrate * (span - span[0]) - (np.cumsum(bits) - bits)
        after = before - bits
        missing, spilled = -after[:-1], before[1:] - peak.bufsize
        if missing.size == 0 or max(missing.max(), spilled.max()) <= tolerance:
            continue
        if missing.max() >= spilled.max():
            split = start + int(np.argmax(missing)) + 1
            refilled = min(peak.bufsize, peak.maxrate * float(times[split] - times[split - 1]))
            todo += [(split, stop, refilled, rest), (start, split, available, 0.0)]
        else:
            split = start + int(np.argmax(spilled)) + 1
            left = max(0.0, peak.bufsize - peak.maxrate * float(times[split] - times[split - 1]))
            todo += [(split, stop, peak.bufsize, rest), (start, split, available, left)]


def _uniform_level(bits_at: BitsAt, start: int, stop: int, want: float, reach: tuple[float, float]) -> float:
    """The level at which a stretch has ``want`` bits."""
    return solve_level(lambda level: float(bits_at(level, start, stop).sum()), want, *reach, 1e-4)
