"""Cheap luma statistics of a picture, and the cuts and fades that show in them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CELL = 8
BINS = 32
ABRUPT = 1.5
"""A cut differs by so many times what the frame before it did."""


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """What a controller knows of a frame before it is coded.

    ``seconds`` is its presentation time. ``mean`` and ``contrast`` (standard deviation) are luma levels
    0..255; ``activity`` is the mean absolute difference of neighbouring samples; ``difference`` is the mean
    absolute difference to the previous frame's thumbnail (0..255), ``structure`` the same with the means
    taken out, and ``histogram_distance`` half the L1 distance of the luma histograms (0..1). These three
    are 0 for the first frame of a clip, which ``first`` marks.
    """

    seconds: float
    mean: float
    contrast: float
    activity: float
    difference: float = 0.0
    structure: float = 0.0
    histogram_distance: float = 0.0
    first: bool = False


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
        difference = structure = distance = 0.0
        last, before = self._thumbnail, self._histogram
        if last is not None and before is not None and last.shape == thumbnail.shape:
            change = thumbnail - last
            difference = float(np.abs(change).mean())
            structure = float(np.abs(change - change.mean()).mean())
            distance = float(np.abs(histogram - before).sum() / 2)
        elif before is not None:
            difference, structure, distance = 255.0, 255.0, 1.0
        self._thumbnail, self._histogram = thumbnail, histogram
        return FrameStatistics(
            seconds=seconds,
            mean=float(rows.mean()),
            contrast=float(rows.std()),
            activity=(across + down) / 2,
            difference=difference,
            structure=structure,
            histogram_distance=distance,
            first=before is None,
        )

    @staticmethod
    def _shrink(y: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Means over cells of 8x8 (sampled every second row and column); small planes are kept whole."""
        height, width = y.shape[0] // CELL, y.shape[1] // CELL
        if height == 0 or width == 0:
            return y.astype(np.float32)
        cells = y[: height * CELL : 2, : width * CELL : 2]
        half = CELL // 2
        means = cells.reshape(height, half, width, half).mean(axis=(1, 3), dtype=np.float32)
        return np.asarray(means, dtype=np.float32)


def is_cut(here: FrameStatistics, previous: Sequence[FrameStatistics]) -> bool:
    """Whether a scene starts with this frame, given the frames before it (the last few are enough).

    A cut changes the whole picture at once: thumbnails differ, their means taken out, by far more than the
    usual motion. A flash moves the mean alone, and a fade moves everything slowly.
    """
    if not previous:
        return True
    known = [s.structure for s in previous[-8:] if not s.first]
    usual = float(np.median(known)) if known else here.structure / 3
    share = here.structure / max(here.contrast, previous[-1].contrast, 12.0)
    sudden = here.structure > 2.5 * usual + 1.0
    changed = share > (0.3 if known else 0.5) or (share > 0.12 and here.histogram_distance > 0.35)
    # Motion or a dissolve that has been growing is no cut; a second cut right after a first one is.
    abrupt = here.structure > ABRUPT * previous[-1].structure
    return sudden and changed and (abrupt or is_cut(previous[-1], previous[:-1]))


class SceneWatcher:
    """Statistics of consecutive luma planes, and whether a scene starts with each."""

    def __init__(self) -> None:
        self._analyser = LumaAnalyser()
        self._recent: list[FrameStatistics] = []

    def __call__(self, y: npt.NDArray[np.uint8], seconds: float) -> tuple[FrameStatistics, bool]:
        """Statistics of a plane as :class:`LumaAnalyser` gives them, and what :func:`is_cut` says of it."""
        here = self._analyser(y, seconds)
        cut = is_cut(here, self._recent)
        self._recent = [*self._recent[-7:], here]
        return here, cut


def is_fade(window: Sequence[FrameStatistics]) -> bool:
    """Whether brightness moves steadily one way over a window of at least three frames, contrast with it."""
    if len(window) < 3:
        return False
    steps = [b.mean - a.mean for a, b in itertools.pairwise(window)]
    contrast = window[-1].contrast - window[0].contrast
    one_way = all(s > 0.25 for s in steps) or all(s < -0.25 for s in steps)
    return one_way and abs(sum(steps)) > 1.0 and abs(contrast) > 0.05 * max(window[-1].contrast, 1.0)


def find_cuts(statistics: Sequence[FrameStatistics]) -> list[int]:
    """First frames of scenes, frame 0 not counted."""
    return [i for i in range(1, len(statistics)) if is_cut(statistics[i], statistics[max(0, i - 8) : i])]


def log_activity(statistics: FrameStatistics) -> float:
    """ln of activity, with a floor that keeps black frames finite."""
    return math.log(statistics.activity + 0.25)
