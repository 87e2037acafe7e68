"""Which rate indices to use where all frames of a clip are alike.

From one index to the next the bits and the distortion of a picture move unevenly: some indices have more of both than a
mixture of their neighbours. Over frames that differ this averages out, but a slide or a title has the luck of its one
picture throughout. There the indices near the level are tried for real, and those kept that no mixture of others beats:
the corners of the lower convex hull of bits and distortion, its *rungs*.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from statistics import fmean

from maevid.rate.costs import Costs, FrameCost

REACH = 4
"""Indices tried on either side of the level."""
FEW = 10
"""Clips of fewer frames spend more on the trials than the rungs could give."""
SHARE, HEADER_BITS = 0.005, 16
"""Share of their bits by which frames that are alike may differ, and what their headers may: times have one to three
bytes."""


def alike(costs: Sequence[FrameCost]) -> bool:
    """Whether all measured frames have the same bits, nearly, at every index that was tried on several of them."""
    ends: dict[int, tuple[float, float]] = {}
    tried: dict[int, int] = {}
    for cost in costs:
        for index, bits in cost.bits.items():
            low, high = ends.get(index, (math.inf, 0.0))
            ends[index] = min(low, bits), max(high, bits)
            tried[index] = tried.get(index, 0) + 1
            if ends[index][1] - ends[index][0] > max(HEADER_BITS, SHARE * ends[index][0]):
                return False
    return max(tried.values(), default=0) > 1


def lower_hull(points: Mapping[int, tuple[float, float]]) -> tuple[int, ...]:
    """The indices, ascending like their bits, that no mixture of others with as many bits beats; ``points`` are their
    bits and PSNR in dB.

    The last has the most bits even where it is none the better for them: a target may want them.
    """
    # Of equal bits the best counts, of equal points the lowest index.
    order = sorted(points, key=lambda i: (points[i][0], -points[i][1], i))
    place = {i: (points[i][0], 10 ** (-points[i][1] / 10)) for i in order}
    hull: list[int] = []
    for index in order:
        bits, error = place[index]
        # Bits that fall while the index rises would turn the controllers around.
        if hull and (bits == place[hull[-1]][0] or index < hull[-1]):
            continue
        while len(hull) > 1:
            (b0, e0), (b1, e1) = place[hull[-2]], place[hull[-1]]
            if (e1 - e0) * (bits - b0) < (error - e0) * (b1 - b0):
                break
            hull.pop()
        hull.append(index)
    return tuple(hull)


def around(position: float, rungs: Sequence[int] = ()) -> tuple[int, ...]:
    """The two indices nearest to a position, below and above it, or the one that it is: rungs where it lies between
    rungs."""
    if rungs and rungs[0] <= position <= rungs[-1]:
        at = bisect_right(rungs, position)
        return tuple(rungs[at - 1 : at] if rungs[at - 1] == position else rungs[at - 1 : at + 1])
    low = math.floor(position)
    return (low,) if position == low else (low, low + 1)


def with_rungs(
    costs: Sequence[FrameCost], points: Mapping[int, tuple[float, float]], rungs: Sequence[int]
) -> Costs:
    """The costs of frames that are alike, with what the first of them has at the rungs."""
    first = costs[0].bits
    found = Costs()
    for cost in costs:
        more = fmean(cost.bits[i] - first[i] for i in cost.bits if i in first)
        bits = {**cost.bits, **{i: max(points[i][0] + more, 1.0) for i in rungs}}
        psnr = {**cost.psnr, **{i: points[i][1] for i in rungs}} if cost.psnr else {}
        found.append(FrameCost(cost.frame, bits, psnr))
    return found
