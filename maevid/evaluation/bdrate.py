"""Bjøntegaard delta rate: how much more or less rate one codec needs than another for the same quality.

G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33 (2001), with the cubic
polynomial replaced by piecewise-cubic Hermite interpolation (PCHIP), as JCT-VC has done since 2011.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from scipy.interpolate import PchipInterpolator

Point = tuple[float, float]
"""Rate (any unit, positive) and quality (dB, or any number that rises with quality)."""


class CurveError(ValueError):
    """Two curves that cannot be compared: too few points, or no quality that both reach."""


def frontier(points: Iterable[Point]) -> list[Point]:
    """The points that no other point beats in rate and quality together, by rising rate.

    An encoder now and then gives less quality for more bits. Such a point is no reason to give up the curve, nor one
    that anybody would choose. Points without a positive rate or a finite quality are left out.
    """
    kept: list[Point] = []
    for rate, quality in sorted(points, key=lambda p: (p[0], -p[1])):
        usable = rate > 0 and math.isfinite(rate) and math.isfinite(quality)
        if usable and (not kept or quality > kept[-1][1]):
            kept.append((rate, quality))
    return kept


def bd_rate(reference: Iterable[Point], test: Iterable[Point]) -> float:
    """Mean difference in rate of ``test`` against ``reference`` at equal quality, in percent (−20: a fifth saved).

    The mean is that of ln(rate) over the range of quality that both curves reach. Raises CurveError.
    """
    first, second = frontier(reference), frontier(test)
    for name, curve in (("reference", first), ("test", second)):
        if len(curve) < 2:
            raise CurveError(f"the {name} curve has fewer than two points that rise in rate and quality")
    low = max(first[0][1], second[0][1])
    high = min(first[-1][1], second[-1][1])
    if not low < high:
        raise CurveError("the curves have no quality in common")
    return 100 * math.expm1((_log_rate(second, low, high) - _log_rate(first, low, high)) / (high - low))


def _log_rate(curve: list[Point], low: float, high: float) -> float:
    """The integral of ln(rate) over quality from ``low`` to ``high``."""
    qualities = [quality for _, quality in curve]
    logs = [math.log(rate) for rate, _ in curve]
    return float(PchipInterpolator(qualities, logs).integrate(low, high))
