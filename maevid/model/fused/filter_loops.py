"""The post filter's loops (see :mod:`maevid.model.post_filter`, whose arithmetic this is), compiled by Numba.

Rows are cut to the samples that a loop takes: a loop over indices that could be negative is not vectorised.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maevid.jit import loop, readable, types
from maevid.model.guide import MOST, RADII, UNIT
from maevid.model.post_filter import (
    BLOCK,
    CLEAR,
    DIRECTIONS,
    FEATURES,
    MARGIN,
    SHAPES,
    TAPS,
    UNIT_BITS,
    WEAK,
)

Samples = npt.NDArray[np.int16]
Whole = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

_TILE = 256
"""Samples of a row whose coefficients fit in the processor's first cache."""
_DOWN, _RIGHT = TAPS[:, 0].copy(), TAPS[:, 1].copy()
_RADII = np.array(RADII)
_MOST = np.float32(MOST)
_DIRECTIONS = np.int32(DIRECTIONS)


def _changes_of(samples: Samples, at: int, out: Whole) -> None:
    """|2p - p₋ - p₊| in four directions of the samples of row ``at`` but the first and last, (4, samples)."""
    count = out.shape[1]
    above, row, below = samples[at - 1], samples[at], samples[at + 1]
    left, middle, right = row[:count], row[1 : count + 1], row[2 : count + 2]
    north_west, north, north_east = above[:count], above[1 : count + 1], above[2 : count + 2]
    south_west, south, south_east = below[:count], below[1 : count + 1], below[2 : count + 2]
    across, down, falling, rising = out[0], out[1], out[2], out[3]
    for j in range(count):
        twice = np.int32(2) * middle[j]
        across[j] = abs(twice - left[j] - right[j])
        down[j] = abs(twice - north[j] - south[j])
        falling[j] = abs(twice - north_west[j] - south_east[j])
        rising[j] = abs(twice - north_east[j] - south_west[j])


def _cells_of(upper: Whole, lower: Whole, out: Whole) -> None:
    """Sums over the cells of two rows of changes; the first cell lies left of the plane, the last right of it."""
    for d in range(4):
        one, two, sums = upper[d, 1:], lower[d, 1:], out[d]
        for c in range(len(sums)):
            sums[c] = one[2 * c] + one[2 * c + 1] + two[2 * c] + two[2 * c + 1]


def _around(sums: Whole, column: Whole, out: Whole) -> None:
    """Sums (3, cells + 2) of three rows in one direction to those around each cell, (cells,)."""
    count = len(out)
    above, row, below = sums[0], sums[1], sums[2]
    for c in range(count + 2):
        column[c] = above[c] + row[c] + below[c]
    left, middle, right = column[:count], column[1 : count + 1], column[2 : count + 2]
    for c in range(count):
        out[c] = left[c] + middle[c] + right[c]


def _classes_of(across: Whole, down: Whole, falling: Whole, rising: Whole, limits: Whole, out: Whole) -> None:
    """The class of each cell of a row, as if it lay within its block."""
    for c in range(len(out)):
        most, least = max(across[c], down[c]), min(across[c], down[c])
        most_aslant, least_aslant = max(falling[c], rising[c]), min(falling[c], rising[c])
        straight = most * least_aslant >= most_aslant * least
        which = np.int32(down[c] > across[c]) if straight else np.int32(2) + np.int32(rising[c] > falling[c])
        most, least = (most, least) if straight else (most_aslant, least_aslant)
        clear = np.int32(1) + np.int32(4) * np.int32(4 * most >= CLEAR * least)
        out[c] = clear + which if most > 0 and 4 * most >= WEAK * least else np.int32(0)
    for limit in limits:
        for c in range(len(out)):
            out[c] += _DIRECTIONS * np.int32(across[c] + down[c] >= limit)


def _departures_of(
    samples: Samples,
    guide: Samples,
    at: int,
    radius: int,
    ridge: int,
    sums: Whole,
    around: Whole,
    out: Samples,
) -> None:
    """How far the fit of a window of this radius lies from each sample of row ``at`` of the padded plane."""
    sums[:] = 0
    sum_y, sum_c, sum_yy, sum_yc = sums[0], sums[1], sums[2], sums[3]
    for i in range(at - radius, at + radius + 1):
        row, luma = samples[i], guide[i]
        for j in range(len(row)):
            c, y = np.int32(row[j]), np.int32(luma[j])
            sum_y[j] += y
            sum_c[j] += c
            sum_yy[j] += y * y
            sum_yc[j] += y * c
    count = len(out)
    around[:] = 0
    for kind in range(4):
        total = around[kind]
        for start in range(MARGIN - radius, MARGIN + radius + 1):
            part = sums[kind, start : start + count]
            for j in range(count):
                total[j] += part[j]
    row, luma = samples[at, MARGIN : MARGIN + count], guide[at, MARGIN : MARGIN + count]
    all_y, all_c, all_yy, all_yc = around[0], around[1], around[2], around[3]
    size = np.int32((2 * radius + 1) ** 2)
    added, scale = np.int32(ridge), np.float32(UNIT / size)
    for j in range(count):
        spread = np.float32(size * all_yy[j] - all_y[j] * all_y[j] + added)
        slope = np.float32(size * all_yc[j] - all_y[j] * all_c[j]) / spread
        rise = slope * np.float32(size * np.int32(luma[j]) - all_y[j])
        apart = (rise + np.float32(all_c[j] - size * np.int32(row[j]))) * scale
        out[j] = np.int16(min(max(np.rint(apart), -_MOST), _MOST))


def _filter_row(
    samples: Samples,
    at: int,
    start: int,
    weights: Samples,
    cuts: Whole,
    constant: int,
    guided: Samples,
    change: Whole,
    out: Bytes,
) -> None:
    """Samples from ``start`` on of row ``at`` of the padded plane, with their coefficients (36 or 38, samples).

    ``constant`` is added to the products; ``guided`` are the row's features by its guide, (2, all samples), or none.
    """
    count = len(change)
    margin = MARGIN + start
    small, large = np.int16(cuts[0]), np.int16(cuts[1])
    least, less = np.int16(-small), np.int16(-large)
    row = samples[at, margin : margin + count]
    change[:] = constant
    for t in range(len(_DOWN)):
        left, right = margin - _RIGHT[t], margin + _RIGHT[t]
        before = samples[at - _DOWN[t], left : left + count]
        after = samples[at + _DOWN[t], right : right + count]
        whole, narrow, wide = weights[3 * t], weights[3 * t + 1], weights[3 * t + 2]
        for j in range(count):
            # In 16 bits as long as they suffice: twice as many at once.
            one, other = np.int16(before[j] - row[j]), np.int16(after[j] - row[j])
            both = np.int16(one + other)
            little = np.int16(min(max(one, least), small) + min(max(other, least), small))
            more = np.int16(min(max(one, less), large) + min(max(other, less), large))
            change[j] += np.int32(whole[j]) * np.int32(both)
            change[j] += np.int32(narrow[j]) * np.int32(little) + np.int32(wide[j]) * np.int32(more)
    for g in range(len(guided)):
        weight, feature = weights[FEATURES + g], guided[g, start : start + count]
        for j in range(count):
            change[j] += np.int32(weight[j]) * np.int32(feature[j])
    for j in range(len(out)):
        out[j] = min(max(row[j] + (change[j] >> UNIT_BITS), 0), 255)


def _filter_rows(
    samples: Samples,
    limits: Whole,
    cuts: Whole,
    filters: Samples,
    constant: int,
    guide: Samples,
    ridges: Whole,
    out: Bytes,
    start: int,
    end: int,
) -> None:
    height = out.shape[0]
    count = samples.shape[1] - 2 * MARGIN
    upper, lower = np.empty((4, count + 6), np.int32), np.empty((4, count + 6), np.int32)
    sums = np.empty((4, 3, count // 2 + 2), np.int32)
    cells = np.empty((4, count // 2 + 2), np.int32)
    column, around = np.empty(count // 2 + 2, np.int32), np.empty((4, count // 2), np.int32)
    found = np.empty(count // 2, np.int32)
    features = filters.shape[1]
    weights, change = np.empty((features, _TILE), np.int16), np.empty(_TILE, np.int32)
    windows, around_each = np.empty((4, count + 2 * MARGIN), np.int32), np.empty((4, count), np.int32)
    guided = np.empty((2, len(ridges), count), np.int16)
    # Both samples of a cell in a row have its coefficients: stored as one number.
    doubled = (filters.astype(np.int32) & np.int32(0xFFFF)) * np.int32(0x10001)
    pairs = weights.view(np.int32)
    for r in range(start - 1, end + 1):
        _changes_of(samples, MARGIN + 2 * r, upper)
        _changes_of(samples, MARGIN + 2 * r + 1, lower)
        _cells_of(upper, lower, cells)
        sums[:, (r + 1) % 3] = cells
        if r > start:
            for d in range(4):
                _around(sums[d], column, around[d])
            _classes_of(around[0], around[1], around[2], around[3], limits, found)
            # More classes than shapes tell where in its block a cell lies.
            aside = SHAPES if len(filters) > SHAPES else 0
            upright = 2 * aside * (r % BLOCK < 2)
            for line in range(2):
                for g in range(len(ridges)):
                    at = MARGIN + 2 * r - 2 + line
                    _departures_of(
                        samples, guide, at, _RADII[g], ridges[g], windows, around_each, guided[line, g]
                    )
            for tile in range(0, count, _TILE):
                size = min(_TILE, count - tile)
                for c in range(size // 2):
                    cell = tile // 2 + c
                    chosen = doubled[found[cell] + upright + aside * ((cell + 1) % BLOCK < 2)]
                    for t in range(features):
                        pairs[t, c] = chosen[t]
                for i in range(2 * r - 2, min(2 * r, height)):
                    target = out[i, tile : tile + size]
                    extra = guided[i - 2 * r + 2]
                    _filter_row(
                        samples, MARGIN + i, tile, weights, cuts, constant, extra, change[:size], target
                    )


_read, _read_limits = readable(types.int16, 2), readable(types.int32)
_row, _rows, _size = types.int32[::1], types.int32[:, ::1], types.int64
_changes_of = loop(_changes_of, _read, _size, _rows)
_cells_of = loop(_cells_of, _rows, _rows, _rows)
_around = loop(_around, _rows, _row, _row)
_classes_of = loop(_classes_of, *(_row,) * 4, _read_limits, _row)
_lines = types.int16[:, ::1]
_departures_of = loop(_departures_of, _read, _read, *(_size,) * 3, _rows, _rows, types.int16[::1])
_filter_row = loop(
    _filter_row, _read, _size, _size, _lines, _read_limits, types.int32, _lines, _row, types.uint8[::1]
)
filter_rows = loop(
    _filter_rows,
    _read,
    *(_read_limits,) * 2,
    _read,
    types.int32,
    _read,
    _read_limits,
    types.uint8[:, ::1],
    _size,
    _size,
)
