"""Rate and distortion of every frame as functions of the rate index, from a few measured points.

Bits follow ln R = a_i + b_i·ln λ only roughly: the header flattens the low end and real frames curve. So the
measured points are joined by a monotone cubic in (index, ln R) (F. N. Fritsch and R. E. Carlson, "Monotone
Piecewise Cubic Interpolation", SIAM J. Numer. Anal. 17, 1980, with the harmonic-mean slopes of F. N. Fritsch
and J. Butland, 1984) and continued by straight lines, that is by the power law, beyond them.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from maevid.rate.costs import FrameCost

Array = npt.NDArray[np.float64]

KEYS_ABOUT = 4
"""How many frames tried over the whole range are looked at, on either side, for the curve of one that is not."""


class Curves:
    """Many non-decreasing functions on common knots: ``values`` has shape (curves, knots), knots ascend.

    A single knot gives constants.
    """

    def __init__(self, knots: Sequence[float], values: Array) -> None:
        self.knots = np.asarray(knots, dtype=np.float64)
        if self.knots.size == 0 or np.any(np.diff(self.knots) <= 0):
            raise ValueError("a curve needs at least one rate index, each only once")
        if self.knots.size == 1:
            self.knots, values = self.knots[0] + np.arange(2.0), np.repeat(values, 2, axis=1)
        self.values = np.maximum.accumulate(np.asarray(values, dtype=np.float64), axis=1)
        step = np.diff(self.knots)
        secant = np.diff(self.values, axis=1) / step
        slopes = np.concatenate((secant[:, :1], secant[:, 1:], secant[:, -1:]), axis=1)
        left, right = secant[:, :-1], secant[:, 1:]
        weight_left = 2 * step[1:] + step[:-1]
        weight_right = step[1:] + 2 * step[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = (weight_left + weight_right) / (weight_left / left + weight_right / right)
        slopes[:, 1:-1] = np.where((left > 0) & (right > 0), inner, 0.0)
        self.slopes = slopes
        self._ladder: list[float] = self.knots.tolist()

    def __len__(self) -> int:
        return len(self.values)

    def at(self, positions: Array | float, start: int = 0, stop: int | None = None) -> Array:
        """Values of the curves ``start``..``stop`` at one position, or at one each."""
        values, slopes = self.values[start:stop], self.slopes[start:stop]
        knots = self.knots
        x = np.asarray(positions, dtype=np.float64)
        if x.ndim == 0:
            return self._at_one(float(x), values, slopes)
        cell = np.minimum(np.maximum(np.searchsorted(knots, x, side="right") - 1, 0), knots.size - 2)
        inside = np.minimum(np.maximum(x, knots[0]), knots[-1])
        width = knots[cell + 1] - knots[cell]
        rows = np.arange(len(values))
        ends = values[rows, cell], values[rows, cell + 1]
        cubic = _cubic(
            (inside - knots[cell]) / width, *ends, slopes[rows, cell] * width, slopes[rows, cell + 1] * width
        )
        if np.all(x == inside):
            return cubic
        beyond = np.where(x < inside, slopes[:, 0], slopes[:, -1])
        return np.asarray(cubic + (x - inside) * beyond, dtype=np.float64)

    def _at_one(self, x: float, values: Array, slopes: Array) -> Array:
        """The same for one position, which plans ask for by the thousand."""
        knots = self._ladder
        cell = min(max(bisect_right(knots, x) - 1, 0), len(knots) - 2)
        inside = min(max(x, knots[0]), knots[-1])
        width = knots[cell + 1] - knots[cell]
        m0, m1 = slopes[:, cell] * width, slopes[:, cell + 1] * width
        cubic = _cubic((inside - knots[cell]) / width, values[:, cell], values[:, cell + 1], m0, m1)
        return cubic if x == inside else cubic + (x - inside) * slopes[:, 0 if x < inside else -1]


def _cubic(t: Array | float, y0: Array, y1: Array, m0: Array, m1: Array) -> Array:
    """The cubic with values y0, y1 and slopes m0, m1 at t = 0 and 1."""
    rise = y1 - y0
    return y0 + t * (m0 + t * (3 * rise - 2 * m0 - m1 + t * (m0 + m1 - 2 * rise)))


def _rows(points: Callable[[int], Mapping[int, float]], count: int, logarithm: bool) -> tuple[Array, Array]:
    """Common knots, and the values of ``count`` rows on them; ``points(n)`` are those of row n.

    A row that lacks knots lies between rows near it that span the whole range: between those two whose heights enclose
    its own, for easy pictures have other curves than hard ones.
    """
    knots = sorted({index for n in range(count) for index in points(n)})
    grid = np.asarray(knots, dtype=np.float64)

    def own(n: int) -> tuple[Array, Array]:
        row = points(n)
        if not row:
            raise ValueError("a measured frame needs at least one rate index")
        heights = np.array([row[i] for i in sorted(row)], dtype=np.float64)
        places = np.array(sorted(row), dtype=np.float64)
        return places, np.log(np.maximum(heights, 1.0)) if logarithm else heights

    spans = np.zeros(count, dtype=bool)
    for n in range(count):
        places = own(n)[0]
        spans[n] = places[0] == grid[0] and places[-1] == grid[-1]
    keys = np.flatnonzero(spans).tolist()
    values = np.empty((count, len(knots)))
    for n in keys or range(count):
        places, heights = own(n)
        whole = places.size == grid.size
        curve = None if whole else Curves(places.tolist(), heights[None])
        values[n] = heights if curve is None else [curve.at(float(k))[0] for k in knots]
    for n in range(count) if keys else ():
        if spans[n]:
            continue
        after = bisect_left(keys, n)
        near = values[keys[max(after - KEYS_ABOUT, 0) : after + KEYS_ABOUT]]
        places, heights = own(n)
        at = np.searchsorted(grid, places)
        shape = _between(near, near[:, at].mean(axis=1), float(heights.mean()))
        values[n] = shape + np.interp(grid, places, heights - shape[at])
    return grid, values


def _between(curves: Array, heights: Array, height: float) -> Array:
    """What two of the curves, the nearest below a height and the nearest above it, have at that height."""
    order = np.argsort(heights, kind="stable")
    above = int(np.searchsorted(heights[order], height))
    low, high = order[max(above - 1, 0)], order[min(above, len(order) - 1)]
    rise = heights[high] - heights[low]
    part = (height - heights[low]) / rise if rise > 0 else 0.0
    return np.asarray(curves[low] + part * (curves[high] - curves[low]), dtype=np.float64)


class _Table:
    """Curves of all ``frames`` frames, of which only those of the ``measured`` ones are kept.

    ``values`` has shape (measured frames, knots). The others lie between them in a straight line, never across a cut
    if the scene has a measured frame of its own. They are worked out by blocks, a few of which stay at hand: whoever
    asks for one frame asks for the next one soon.
    """

    BLOCK, KEPT = 1024, 8

    def __init__(
        self, knots: Array, values: Array, measured: Array, frames: int, cuts: Sequence[int]
    ) -> None:
        self.frames = frames
        self._knots = knots.tolist()
        self._measured = measured
        self._columns = np.ascontiguousarray(values.T)
        self._bounds = sorted({0, frames, *(c for c in cuts if 0 < c < frames)})
        self._blocks: dict[int, Curves] = {}

    def at(self, positions: Array | float, start: int, stop: int | None) -> Array:
        """Values of the frames ``start``..``stop`` at one position, or at one each."""
        stop = self.frames if stop is None else min(stop, self.frames)
        x = np.asarray(positions, dtype=np.float64)
        result = np.empty(max(stop - start, 0))
        for first in range(start - start % self.BLOCK, stop, self.BLOCK):
            low, high = max(first, start), min(first + self.BLOCK, stop)
            inside = slice(low - start, high - start)
            curves = self._block(first // self.BLOCK)
            result[inside] = curves.at(x if x.ndim == 0 else x[inside], low - first, high - first)
        return result

    def _block(self, block: int) -> Curves:
        curves = self._blocks.get(block)
        if curves is None:
            first = block * self.BLOCK
            curves = Curves(self._knots, self._spread(first, min(first + self.BLOCK, self.frames)))
            while len(self._blocks) >= self.KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[block] = curves
        return curves

    def _spread(self, start: int, stop: int) -> Array:
        """Values of the frames ``start``..``stop``, of shape (frames, knots)."""
        if len(self._measured) == self.frames:
            return self._columns[:, start:stop].T
        result = np.empty((stop - start, len(self._knots)))
        scene = bisect_right(self._bounds, start) - 1
        while scene + 1 < len(self._bounds) and (first := self._bounds[scene]) < stop:
            last = self._bounds[scene + 1]
            low, high = np.searchsorted(self._measured, (first, last)).tolist()
            own = slice(low, high) if high > low else slice(None)
            frames = np.arange(max(first, start), min(last, stop), dtype=np.float64)
            for k, column in enumerate(self._columns):
                values = np.interp(frames, self._measured[own], column[own])
                result[max(first, start) - start : min(last, stop) - start, k] = values
            scene += 1
        return result


class RateModel:
    """Bits and PSNR of every frame at any position of the rate scale.

    ``costs`` may cover a sample of the ``frames`` frames; ``cuts`` are the first frames of scenes. PSNR is
    known when every cost has it. Raises ValueError without costs, or with a cost without indices.
    """

    def __init__(self, costs: Sequence[FrameCost], frames: int, cuts: Sequence[int] = ()) -> None:
        numbers = np.fromiter((c.frame for c in costs), np.int64, len(costs))
        # Of several measurements of one frame the last counts.
        found, backwards = np.unique(numbers[::-1], return_index=True)
        inside = (found >= 0) & (found < frames)
        measured = np.asarray(found[inside], dtype=np.float64)
        places: list[int] = (len(costs) - 1 - backwards[inside]).tolist()
        if not places:
            raise ValueError("a rate model needs at least one measured frame")
        self.frames = frames
        rows = _rows(lambda n: costs[places[n]].bits, len(places), logarithm=True)
        self._log_bits = _Table(*rows, measured, frames, cuts)
        self._psnr: _Table | None = None
        if all(costs[place].psnr for place in places):
            rows = _rows(lambda n: costs[places[n]].psnr, len(places), logarithm=False)
            self._psnr = _Table(*rows, measured, frames, cuts)

    @property
    def has_psnr(self) -> bool:
        """Whether PSNR was measured."""
        return self._psnr is not None

    def bits(self, positions: Array | float, start: int = 0, stop: int | None = None) -> Array:
        """Estimated bits of the frames ``start``..``stop`` at one position, or at one each."""
        return np.asarray(np.exp(self._log_bits.at(positions, start, stop)), dtype=np.float64)

    def psnr(self, positions: Array | float, start: int = 0, stop: int | None = None) -> Array:
        """PSNR-Y in dB of the frames ``start``..``stop``. Raises ValueError when it was not measured."""
        if self._psnr is None:
            raise ValueError("the first pass did not measure PSNR")
        return self._psnr.at(positions, start, stop)


def trial_indices(lowest: int, highest: int, count: int = 5) -> tuple[int, ...]:
    """Rate indices for the first pass: both ends of the allowed range and evenly between them."""
    steps = max(1, min(count - 1, highest - lowest))
    return tuple(sorted({lowest + round((highest - lowest) * k / steps) for k in range(steps + 1)}))


def sample_frames(frames: int, cuts: Sequence[int] = (), every: int = 4, at_least: int = 24) -> list[int]:
    """Frames that the first pass measures: every ``every``-th of each scene, its first and its last.

    Short clips (``at_least`` frames or fewer) are measured whole.
    """
    if frames <= at_least or every <= 1:
        return list(range(frames))
    bounds = sorted({0, frames, *(c for c in cuts if 0 < c < frames)})
    chosen: set[int] = set()
    for first, last in itertools.pairwise(bounds):
        chosen |= {*range(first, last, every), last - 1}
    return sorted(chosen)
