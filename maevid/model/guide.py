"""Chroma that follows luma: what the post filter of chroma sees of luma's edges.

Around each sample, in windows of 3×3 and of 7×7, chroma c is fitted by a line in luma y, at chroma's resolution:
c ≈ c̄ + s·(y - ȳ), with s = cov(y, c)/(var(y) + ε). Where luma has an edge the fit has it too, elsewhere it is the mean.
How far that fit lies from the sample is a feature of the filter. After the guided filter (He, Sun and Tang, "Guided
Image Filtering", IEEE Trans. Pattern Analysis and Machine Intelligence 35(6), 2013), without its averaging of s.

The few operations in float32 are one of IEEE 754 each, in this order: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from maevid.video.frame import Plane

RADII = (1, 3)
"""Of the windows."""
UNIT = 8
"""The features count eighths of a level."""
MOST = 2047
"""No feature is larger."""


def window(radius: int) -> int:
    """Samples of a window."""
    return (2 * radius + 1) ** 2


def guiding(luma: Plane) -> Plane:
    """Luma at chroma's resolution: means of 2×2 samples, the edge repeated where a side is odd."""
    wide = np.pad(luma, [(0, side % 2) for side in luma.shape], mode="edge").astype(np.uint16)
    sums = wide[::2, ::2] + wide[::2, 1::2] + wide[1::2, ::2] + wide[1::2, 1::2]
    return ((sums + 2) >> 2).astype(np.uint8)


def departures(
    samples: npt.NDArray[np.int16], guide: npt.NDArray[np.int16], ridges: npt.NDArray[np.int32], margin: int
) -> Iterator[npt.NDArray[np.int16]]:
    """How far the fit of each window lies from each sample, twice (H, W), in 1/8 of a level.

    ``samples`` and ``guide`` are padded by ``margin`` on each side; ``ridges`` (2,) are ε times the square of the
    windows' samples.
    """
    c, y = samples.astype(np.int32), guide.astype(np.int32)
    for radius, ridge in zip(RADII, ridges, strict=True):
        count = window(radius)
        sum_y, sum_c, sum_yy, sum_yc = (_sums(x, radius, margin) for x in (y, c, y * y, y * c))
        inner = (slice(margin, -margin),) * 2
        spread = (count * sum_yy - sum_y * sum_y + ridge).astype(np.float32)
        slope = (count * sum_yc - sum_y * sum_c).astype(np.float32) / spread
        rise = slope * (count * y[inner] - sum_y).astype(np.float32)
        apart = (rise + (sum_c - count * c[inner]).astype(np.float32)) * np.float32(UNIT / count)
        yield np.rint(apart).clip(-MOST, MOST).astype(np.int16)


def _sums(x: npt.NDArray[np.int32], radius: int, margin: int) -> npt.NDArray[np.int32]:
    height, width = (n - 2 * margin for n in x.shape)
    places = range(margin - radius, margin + radius + 1)
    rows = np.zeros((height, x.shape[1]), np.int32)
    for start in places:
        rows += x[start : start + height]
    out = np.zeros((height, width), np.int32)
    for start in places:
        out += rows[:, start : start + width]
    return out
