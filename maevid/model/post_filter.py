"""The decoder's last step: a filter of each sample, chosen by how much and which way the picture changes there.

The synthesis gives blocks of 8×8 samples, each a linear function of its features; along edges and in noise there is
something left that only a filter sample by sample can mend. A plane is cut into cells of 2×2 samples. Each has a class,
from sums over the 6×6 samples around it of |2p - p₋ - p₊| in four directions: its activity, the direction in which it
changes most, and how clearly. Each class has a symmetric filter of 12 pairs of neighbours with three coefficients each:
of their differences from the sample, and of these cut to a quarter of a quantiser step and to a whole one, which tells
noise from edges. Chroma's filters have two features more, which luma gives (:mod:`maevid.model.guide`). They are fitted
by least squares to training pictures (:mod:`maevid.training.filtering`) and part of the model, for 16 ranges of rate
indices, and for luma and chroma. A packet may hold what its picture adds to them (:mod:`maevid.model.adjustment`).

After the nonlinear adaptive loop filter of VVC, which sends its filters (Karczewicz et al., "VVC In-Loop Filters", IEEE
TCSVT 31(10), 2021). All arithmetic but the guide's is on integers: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from maevid.errors import ModelError
from maevid.model.bounds import taken
from maevid.model.config import RATE_INDICES
from maevid.model.guide import RADII, departures, guiding
from maevid.model.workers import share
from maevid.video.frame import Plane

NODES = 16
"""Ranges of rate indices that have filters of their own."""
ACTIVITIES = 20
DIRECTIONS = 9
"""None, four weak and four clear ones."""
SHAPES = ACTIVITIES * DIRECTIONS
OLDER_PHASES = 4
"""Where in its block of 8×8 a cell of luma lies: within, left or right, top or bottom, in a corner. Filters of models
whose blocks do not overlap may tell these apart; for others it is no use."""
KINDS = ("luma", "chroma", "chroma")
"""Of the planes Y, U and V."""
BLOCK = 4
"""Cells a side of a block of luma."""
TAPS = np.array(
    [
        (down, right)
        for down in range(4)
        for right in range(-3, 4)
        if (down, right) > (0, 0) and down + abs(right) <= 3
    ],
    np.int64,
)
"""Offsets (down, right) of the pairs of neighbours, (12, 2): a coefficient serves both."""
CUTS = 2
FEATURES = (1 + CUTS) * len(TAPS)
"""Of a plane without a guide."""
GUIDE = "guide.chroma"
UNIT_BITS = 10
"""Coefficients count 1/1024."""
LARGEST = 32767
"""Of a coefficient."""
GAIN_BITS = 3
"""A picture's gain counts eighths."""
_GAIN_HALF = 1 << (GAIN_BITS - 1)
MARGIN = 4
"""Samples around a plane that are looked at, and repeat its edge."""
_NO_GUIDE, _NO_RIDGES = np.empty((0, 0), np.int16), np.empty(0, np.int32)
WEAK, CLEAR = 6, 12
"""Quarters of the ratio of the largest to the smallest of two sums, from which on there is a direction."""


@dataclass(frozen=True)
class Adjustment:
    """What one picture changes of the filters of a plane (:mod:`maevid.model.adjustment`).

    Every coefficient of every class grows by ``gain`` eighths of itself, -127..127, and by what stands in its place in
    ``coefficients``, int32 (36 or 38,), in 1/1024; each sample by ``offset`` of the same. Both are within ±2¹⁵.
    """

    gain: int
    offset: int
    coefficients: npt.NDArray[np.int32]

    def changed(self, filters: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Filters (classes, 36 or 38) with the gain and the coefficients in them."""
        wide = filters.astype(np.int32)
        wide += ((wide * self.gain + _GAIN_HALF) >> GAIN_BITS) + self.coefficients
        return wide.clip(-LARGEST, LARGEST).astype(np.int16)


Adjustments = tuple[Adjustment | None, Adjustment | None, Adjustment | None]
"""Of planes Y, U, V."""
NOT_ADJUSTED: Adjustments = (None, None, None)


class PostFilter:
    """Filters and limits of activities of one model; ``arrays`` as :meth:`arrays` gives them.

    For each of ``luma`` and ``chroma``: ``filter.<plane>`` int16 (NODES, SHAPES, 36), in 1/1024, of luma maybe
    OLDER_PHASES times as many;
    ``limit.<plane>`` int32 (NODES, ACTIVITIES - 1), ascending: a cell's activity is how many of them its sum reaches;
    and ``cut.<plane>`` int32 (NODES, 2), the levels that differences are cut to, 1..255. Where there is
    ``guide.chroma`` int32 (NODES, 2), at least 1, chroma is guided by it and has 38 coefficients.
    Raises ModelError for arrays that are missing, of another type or shape, or do not hold this.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._guided = GUIDE in arrays
        if self._guided:
            self._arrays[GUIDE] = taken(arrays, GUIDE, np.int32, (NODES, len(RADII)))
            if self._arrays[GUIDE].min() < 1:
                raise ModelError(f"model file is damaged: {GUIDE} is not positive")
        for name in ("luma", "chroma"):
            count = FEATURES + (len(RADII) if self._guided and name == "chroma" else 0)
            many = OLDER_PHASES * SHAPES
            given = arrays.get(f"filter.{name}", np.empty(0))
            shapes = many if name == "luma" and given.shape[1:2] == (many,) else SHAPES
            filters = taken(arrays, f"filter.{name}", np.int16, (NODES, shapes, count))
            limits = taken(arrays, f"limit.{name}", np.int32, (NODES, ACTIVITIES - 1))
            cuts = taken(arrays, f"cut.{name}", np.int32, (NODES, CUTS))
            if (np.diff(limits) < 0).any():
                raise ModelError(f"model file is damaged: limit.{name} does not ascend")
            if cuts.min() < 1 or cuts.max() > 255:
                raise ModelError(f"model file is damaged: cut.{name} is not within 1..255")
            kinds = {"filter": filters, "limit": limits, "cut": cuts}
            self._arrays |= {f"{kind}.{name}": np.ascontiguousarray(array) for kind, array in kinds.items()}
        self._run = _compiled() or _interpreted

    @property
    def counts(self) -> tuple[int, int, int]:
        """Coefficients of a class of planes Y, U, V."""
        y, u, v = (self._arrays[f"filter.{name}"].shape[-1] for name in KINDS)
        return y, u, v

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What the filter is made of."""
        return dict(self._arrays)

    def __call__(
        self,
        planes: tuple[Plane, Plane, Plane],
        rate_index: int,
        adjustments: Adjustments = NOT_ADJUSTED,
    ) -> tuple[Plane, Plane, Plane]:
        """Planes Y, U, V of a picture that was coded at ``rate_index``, uint8 of any size, filtered.

        With the ``adjustments`` of the picture, one for each plane or None.
        """
        pairs = zip(self.views(planes, rate_index), adjustments, strict=True)
        y, u, v = (view.filtered(adjustment) for view, adjustment in pairs)
        return y, u, v

    def views(self, planes: tuple[Plane, Plane, Plane], rate_index: int) -> Iterator[PlaneView]:
        """The planes Y, U, V of a picture, one after the other, with what filters them."""
        node = node_of(rate_index)
        guide = padded(guiding(planes[0])) if self._guided else _NO_GUIDE
        for plane, name in zip(planes, KINDS, strict=True):
            guided = self._guided and name == "chroma"
            yield PlaneView(
                plane,
                padded(plane),
                self._arrays[f"limit.{name}"][node],
                self._arrays[f"cut.{name}"][node],
                self._arrays[f"filter.{name}"][node],
                guide if guided else _NO_GUIDE,
                self._arrays[GUIDE][node] if guided else _NO_RIDGES,
                self._run,
            )


@dataclass(frozen=True)
class PlaneView:
    """A plane and all that filters it: its padded samples, the tables of its range of rate indices, its guide."""

    plane: Plane
    samples: npt.NDArray[np.int16]
    limits: npt.NDArray[np.int32]
    cuts: npt.NDArray[np.int32]
    filters: npt.NDArray[np.int16]
    guide: npt.NDArray[np.int16]
    ridges: npt.NDArray[np.int32]
    run: Callable[..., None]

    def filtered(self, adjustment: Adjustment | None = None) -> Plane:
        """The plane filtered, with what the picture adds.

        Coefficients stay int16: then a sum is below 2³⁰, since 36 features lie within ±510 and two of a guide within
        ±2047, and an offset adds 2¹⁵ at most.
        """
        filters, constant = self.filters, 1 << (UNIT_BITS - 1)
        if adjustment is not None:
            filters, constant = adjustment.changed(filters), constant + adjustment.offset
        out = np.empty_like(self.plane)
        work = partial(
            self.run, self.samples, self.limits, self.cuts, filters, constant, self.guide, self.ridges, out
        )
        rows = -(-self.plane.shape[0] // 2)
        # Cells are counted, so that a thread has enough of them; whole rows are what it does.
        cells = -(-self.plane.shape[1] // 2)
        share(lambda start, end: work(-(-start // cells), -(-end // cells)), rows * cells)
        return out

    def features(self, start: int, end: int) -> Iterator[npt.NDArray[np.int16]]:
        """All that is filtered of the rows ``start`` to ``end``, an array of them for each coefficient."""
        rows = slice(start, end + 2 * MARGIN)
        width = self.plane.shape[1]
        for feature in filtered_features(self.samples[rows], self.cuts, self.guide[rows], self.ridges):
            yield feature[:, :width]


def node_of(rate_index: int) -> int:
    """The range, 0..15, of a rate index."""
    return rate_index * NODES // RATE_INDICES


def padded(plane: Plane) -> npt.NDArray[np.int16]:
    """A plane made even by repeating its edge, with :data:`MARGIN` samples more on each side."""
    below, right = plane.shape[0] % 2, plane.shape[1] % 2
    sides = ((MARGIN, MARGIN + below), (MARGIN, MARGIN + right))
    return np.pad(plane.astype(np.int16), sides, mode="edge")


def around(samples: npt.NDArray[np.int16], cuts: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int16]]:
    """What is filtered of a padded plane of H × W samples: 36 times (H, W).

    For each pair of neighbours the sum of their differences from the sample, and of these cut to plus or minus each of
    ``cuts`` (2,).
    """
    height, width = (n - 2 * MARGIN for n in samples.shape)

    def moved(down: int, right: int) -> npt.NDArray[np.int16]:
        return samples[MARGIN + down : MARGIN + down + height, MARGIN + right : MARGIN + right + width]

    for i, j in TAPS.tolist():
        # In 16 bits, which hold sums of two differences of bytes.
        one, other = moved(i, j) - moved(0, 0), moved(-i, -j) - moved(0, 0)
        yield one + other
        for cut in cuts.tolist():
            yield one.clip(-cut, cut) + other.clip(-cut, cut)


def filtered_features(
    samples: npt.NDArray[np.int16],
    cuts: npt.NDArray[np.int32],
    guide: npt.NDArray[np.int16],
    ridges: npt.NDArray[np.int32],
) -> Iterator[npt.NDArray[np.int16]]:
    """All that is filtered of a padded plane, 36 times (H, W), or 38 times where ``ridges`` (2,) are not empty."""
    yield from around(samples, cuts)
    if len(ridges):
        yield from departures(samples, guide, ridges, MARGIN)


def cell_sums(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]:
    """Sums of |2p - p₋ - p₊| around each cell, (4, H/2, W/2): horizontal, vertical, falling, rising."""
    wide = samples.astype(np.int32)
    twice = 2 * wide[1:-1, 1:-1]
    pairs = (
        (wide[1:-1, :-2], wide[1:-1, 2:]),
        (wide[:-2, 1:-1], wide[2:, 1:-1]),
        (wide[:-2, :-2], wide[2:, 2:]),
        (wide[:-2, 2:], wide[2:, :-2]),
    )
    changes = np.stack([np.abs(twice - one - other) for one, other in pairs])[:, 1:-1, 1:-1]
    cells = changes[:, ::2, ::2] + changes[:, 1::2, ::2] + changes[:, ::2, 1::2] + changes[:, 1::2, 1::2]
    rows = cells[:, :-2] + cells[:, 1:-1] + cells[:, 2:]
    sums: npt.NDArray[np.int32] = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    return sums


def classes(
    sums: npt.NDArray[np.int32], limits: npt.NDArray[np.int32], phases: int, first: int = 0
) -> npt.NDArray[np.int64]:
    """The class of each cell: SHAPES times its phase, plus DIRECTIONS times its activity, plus its direction.

    ``first`` is the row of cells of the plane that ``sums`` begin with.
    """
    across, down, falling, rising = sums
    activity = np.searchsorted(limits, across + down, side="right")
    straight = np.maximum(across, down), np.minimum(across, down)
    diagonal = np.maximum(falling, rising), np.minimum(falling, rising)
    is_straight = straight[0] * diagonal[1] >= diagonal[0] * straight[1]
    which = np.where(is_straight, np.where(across >= down, 0, 1), np.where(falling >= rising, 2, 3))
    most = np.where(is_straight, straight[0], diagonal[0])
    least = np.where(is_straight, straight[1], diagonal[1])
    clear, weak = 4 * most >= CLEAR * least, 4 * most >= WEAK * least
    direction = np.where(weak & (most > 0), np.where(clear, 5, 1) + which, 0)
    found: npt.NDArray[np.int64] = activity * DIRECTIONS + direction
    if phases > 1:
        rows, columns = (
            (np.arange(start, start + n) + 1) % BLOCK < 2
            for start, n in zip((first, 0), found.shape, strict=True)
        )
        found += SHAPES * (2 * rows[:, None] + columns)
    return found


def _interpreted(
    samples: npt.NDArray[np.int16],
    limits: npt.NDArray[np.int32],
    cuts: npt.NDArray[np.int32],
    filters: npt.NDArray[np.int16],
    constant: int,
    guide: npt.NDArray[np.int16],
    ridges: npt.NDArray[np.int32],
    out: Plane,
    start: int,
    end: int,
) -> None:
    """Filter rows of cells from ``start`` to ``end`` of a padded plane into ``out``.

    ``constant`` is added to the products before they are rounded down; ``guide`` is as large as the plane, and empty
    where there is none.
    """
    rows = slice(2 * start, 2 * end + 2 * MARGIN)
    part = samples[rows]
    found = classes(cell_sums(part), limits, len(filters) // SHAPES, start).repeat(2, 0).repeat(2, 1)
    change = np.full(found.shape, constant, np.int32)
    # One after the other: all at once are 36 pictures in 32 bits.
    features = filtered_features(part, cuts, guide[rows], ridges)
    for coefficients, feature in zip(filters.T.astype(np.int32), features, strict=True):
        change += coefficients[found] * feature
    height, width = out.shape[0] - 2 * start, out.shape[1]
    centre = part[MARGIN:-MARGIN, MARGIN:-MARGIN] + (change >> UNIT_BITS)
    count = min(2 * (end - start), height)
    out[2 * start : 2 * start + count] = centre.clip(0, 255)[:count, :width]


def _compiled() -> Any:
    from maevid.model import fused

    if not fused.available():
        return None
    from maevid.model.fused.filter_loops import filter_rows

    return filter_rows
