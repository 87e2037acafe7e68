"""Cheap luma statistics of a picture, and the cuts and fades that show in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CELL = 8
BINS = 32


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """What a controller knows of a frame before it is coded.

    ``seconds`` is its presentation time. ``mean`` and ``contrast`` (standard deviation) are luma levels
    0..255; ``activity`` is the mean absolute difference of neighbouring samples; ``difference`` is the mean
    absolute difference to the previous frame's thumbnail (0..255) and ``histogram_distance`` half the L1
    distance of the luma histograms (0..1). The last two are 0 for a first frame.
    """

    seconds: float
    mean: float
    contrast: float
    activity: float
    difference: float = 0.0
    histogram_distance: float = 0.0


class LumaAnalyser:
    """Statistics of consecutive luma planes; it keeps only a thumbnail and a histogram of the last one."""

    def __init__(self) -> None:
        self._thumbnail: npt.NDArray[np.float32] | None = None
        self._histogram: npt.NDArray[np.float64] | None = None

    def __call__(self, y: npt.NDArray[np.uint8], seconds: float) -> FrameStatistics:
        """Statistics of a plane of shape (height, width), one sample at least, shown at ``seconds``."""
        rows = y[:: max(1, y.shape[0] // 270)].astype(np.int16)
        across = float(np.abs(np.diff(rows, axis=1)).mean()) if rows.shape[1] > 1 else 0.0
        pairs = y[: y.shape[0] // 2 * 2]
        step = max(1, y.shape[0] // 540)
        upper, lower = pairs[0 :: 2 * step].astype(np.int16), pairs[1 :: 2 * step].astype(np.int16)
        down = float(np.abs(upper - lower).mean()) if lower.size else 0.0
        thumbnail = self._shrink(y)
        counts = np.bincount((y[::2, ::2] >> 3).ravel(), minlength=BINS)
        histogram = counts / counts.sum()
        difference = distance = 0.0
        last, before = self._thumbnail, self._histogram
        if last is not None and before is not None and last.shape == thumbnail.shape:
            difference = float(np.abs(thumbnail - last).mean())
            distance = float(np.abs(histogram - before).sum() / 2)
        elif before is not None:
            difference, distance = 255.0, 1.0
        self._thumbnail, self._histogram = thumbnail, histogram
        return FrameStatistics(
            seconds=seconds,
            mean=float(rows.mean()),
            contrast=float(rows.std()),
            activity=(across + down) / 2,
            difference=difference,
            histogram_distance=distance,
        )

    @staticmethod
    def _shrink(y: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Means over cells of 8×8 (sampled every second row and column); small planes are kept whole."""
        height, width = y.shape[0] // CELL, y.shape[1] // CELL
        if height == 0 or width == 0:
            return y.astype(np.float32)
        cells = y[: height * CELL : 2, : width * CELL : 2]
        half = CELL // 2
        return cells.reshape(height, half, width, half).mean(axis=(1, 3), dtype=np.float32)


def is_cut(here: FrameStatistics, previous: Sequence[FrameStatistics]) -> bool:
    """Whether a scene starts with this frame, given the frames before it (the last few are enough).

    A cut moves the whole picture at once: the thumbnails differ by far more than the usual motion, and by
    more than the change of mean brightness explains (a fade or a flash moves the mean alone).
    """
    if not previous:
        return True
    usual = float(np.median([s.difference for s in previous[-8:]]))
    last = previous[-1]
    brightness = abs(here.mean - last.mean)
    structure = here.difference - 0.7 * brightness
    scale = max(here.contrast, last.contrast, 4.0)
    sudden = here.difference > 2.5 * usual + 1.0
    return sudden and (
        structure > 0.3 * scale or (structure > 0.12 * scale and here.histogram_distance > 0.35)
    )


def is_fade(window: Sequence[FrameStatistics]) -> bool:
    """Whether brightness moves steadily one way over a window of at least three frames, contrast with it."""
    if len(window) < 3:
        return False
    steps = [b.mean - a.mean for a, b in zip(window, window[1:], strict=False)]
    contrast = window[-1].contrast - window[0].contrast
    one_way = all(s > 0.25 for s in steps) or all(s < -0.25 for s in steps)
    return one_way and abs(sum(steps)) > 1.0 and abs(contrast) > 0.05 * max(window[-1].contrast, 1.0)


def find_cuts(statistics: Sequence[FrameStatistics]) -> list[int]:
    """First frames of scenes, frame 0 not counted."""
    return [i for i in range(1, len(statistics)) if is_cut(statistics[i], statistics[max(0, i - 8) : i])]


def log_activity(statistics: FrameStatistics) -> float:
    """ln of activity, with a floor that keeps black frames finite."""
    return math.log(statistics.activity + 0.25)
