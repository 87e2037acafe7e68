"""Overlapping blocks (:mod:`maevid.model.lapping`) for the fused transforms.

A strip is two rows of blocks that meet in an edge, and is done in one go. It is held as (line, place in its group,
group): a group is two blocks of a row that meet in an edge, so a loop runs over samples of all groups at once. The
first and last strip and group have one row or one block, and nothing is done across.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maevid.jit import loop, readable, types
from maevid.model.fused.compiled import Floats, Halves, narrow, widen
from maevid.model.fused.places import numbers, pictures, places
from maevid.model.lapping import forward_changes, inverse_changes
from maevid.model.representation import CHROMA_STEP, LUMA_STEP
from maevid.model.workers import share
from maevid.video.frame import Plane

Bytes = npt.NDArray[np.uint8]
Changes = npt.NDArray[np.float32]
Strip = npt.NDArray[np.float32]
Samples = npt.NDArray[np.float32]

_AT = np.array((0, LUMA_STEP**2, LUMA_STEP**2 + CHROMA_STEP**2))
"""Where in a block's channels its planes begin."""
_TILE = 256
"""Samples of a line whose differences fit in the processor's first cache."""
_HALF, _BLACK, _WHITE = np.float32(0.5), np.float32(0), np.float32(255)
_ONE, _LEVEL = np.float32(1), np.float32(1 / 255)


def lap(blocks: Tensor, table: Tensor) -> Tensor:
    """Blocks (B, 96, h, w) of levels around zero, bfloat16, to such that overlap, by rows (B, 160) of changes.

    What comes counts 1/255 of them. Rounded before and after it, bits would be lost: 0.3 % more of them at high rates.
    """
    rows = places(blocks)
    out = torch.empty_like(rows)
    height, width = blocks.shape[-2:]
    luma, chroma = (numbers(change) for change in forward_changes(table))
    _share(
        partial(_lap, numbers(rows), height, width, luma, chroma, numbers(out)), len(blocks), height, width
    )
    return pictures(out, blocks)


def levels(decoded: Tensor, table: Tensor, height: int, width: int) -> list[tuple[Plane, Plane, Plane]]:
    """Blocks that overlap (B, 96, h, w), bfloat16 around zero, to planes of ``height`` × ``width`` luma samples."""
    batch, _, rows, columns = decoded.shape
    half = (batch, -(-height // 2), -(-width // 2))
    y, u, v = (np.empty(size, np.uint8) for size in ((batch, height, width), half, half))
    luma, chroma = (numbers(change) for change in inverse_changes(table))
    work = partial(_to_planes, numbers(places(decoded)), rows, columns, luma, chroma, y, u, v)
    _share(work, batch, rows, columns)
    return [(y[i], u[i], v[i]) for i in range(batch)]


def _share(work: partial[None], batch: int, rows: int, columns: int) -> None:
    # Blocks are counted, so that a thread has enough of them; whole strips are what it does.
    share(
        lambda start, end: work(-(-start // columns), -(-end // columns)), batch * (rows // 2 + 1) * columns
    )


def _gather(
    blocks: Halves, row: int, rows: int, columns: int, at: int, scale: np.float32, strip: Strip
) -> None:
    """One plane of the rows ``row`` and behind it of a picture's blocks, as far as there are, times ``scale``."""
    side = strip.shape[0] // 2
    for i in range(max(0, -row) * side, min(2, rows - row) * side):
        first, start = (row + i // side) * columns, at + i % side * side
        line = strip[i]
        for c in range(columns):
            block, group, place = blocks[first + c], (c + 1) // 2, (c + 1) % 2 * side
            for j in range(side):
                line[place + j, group] = widen(block[start + j]) * scale


def _scatter(strip: Strip, row: int, rows: int, columns: int, at: int, blocks: Halves) -> None:
    """The inverse of :func:`_gather`."""
    side = strip.shape[0] // 2
    for i in range(max(0, -row) * side, min(2, rows - row) * side):
        first, start = (row + i // side) * columns, at + i % side * side
        line = strip[i]
        for c in range(columns):
            block, group, place = blocks[first + c], (c + 1) // 2, (c + 1) % 2 * side
            for j in range(side):
                block[start + j] = narrow(line[place + j, group])


def _to_bytes(strip: Strip, top: int, rounded: Bytes, plane: Bytes) -> None:
    """The lines of a strip, the first of them line ``top`` of the plane, as far as they lie in it."""
    side = strip.shape[0] // 2
    height, width = plane.shape
    for i in range(max(0, -top), min(2 * side, height - top)):
        for place in range(2 * side):
            line, target = strip[i, place], rounded[place]
            for g in range(len(line)):
                level = np.rint((line[g] + _HALF) * _WHITE)
                target[g] = np.uint8(min(max(level, _BLACK), _WHITE))
        out = plane[top + i]
        for g in range(rounded.shape[1]):
            left = (2 * g - 1) * side
            for place in range(max(0, -left), min(2 * side, width - left)):
                out[left + place] = rounded[place, g]


def _across(x: Floats, change: Changes, start: int, end: int, differences: Floats, more: Samples) -> None:
    """The lines (2K, ·) on both sides of an edge, from ``start`` to ``end``."""
    side = len(change)
    for tile in range(start, end, _TILE):
        size = min(_TILE, end - tile)
        for k in range(side):
            before, behind = x[side - 1 - k, tile : tile + size], x[side + k, tile : tile + size]
            difference = differences[k, :size]
            for j in range(size):
                difference[j] = before[j] - behind[j]
        for k in range(side):
            before, behind = x[side - 1 - k, tile : tile + size], x[side + k, tile : tile + size]
            total = more[:size]
            total[:] = 0
            for m in range(side):
                weight, difference = change[k, m], differences[m, :size]
                for j in range(size):
                    total[j] += weight * difference[j]
            for j in range(size):
                before[j] += total[j]
                behind[j] -= total[j]


def _overlap(strip: Strip, both: bool, change: Changes) -> None:
    """What is to be done with a strip; ``both`` says that it has both its rows."""
    differences, more = np.empty((LUMA_STEP, _TILE), np.float32), np.empty(_TILE, np.float32)
    side, groups = strip.shape[1], strip.shape[2]
    if both:
        _across(strip.reshape(side, side * groups), change, 0, side * groups, differences, more)
    for i in range(side):
        _across(strip[i], change, 1, groups - 1, differences, more)


def _lap_loop(
    blocks: Halves,
    rows: int,
    columns: int,
    luma: Changes,
    chroma: Changes,
    out: Halves,
    start: int,
    end: int,
) -> None:
    groups, strips = columns // 2 + 1, rows // 2 + 1
    large = np.zeros((2 * LUMA_STEP, 2 * LUMA_STEP, groups), np.float32)
    small = np.zeros((2 * CHROMA_STEP, 2 * CHROMA_STEP, groups), np.float32)
    for number in range(start, end):
        picture, row = number // strips, 2 * (number % strips) - 1
        source = blocks[picture * rows * columns : (picture + 1) * rows * columns]
        target = out[picture * rows * columns : (picture + 1) * rows * columns]
        for plane in range(3):
            strip, change = (large, luma[picture]) if plane == 0 else (small, chroma[picture])
            _gather(source, row, rows, columns, _AT[plane], _LEVEL, strip)
            _overlap(strip, 0 <= row < rows - 1, change)
            _scatter(strip, row, rows, columns, _AT[plane], target)


def _to_planes_loop(
    blocks: Halves,
    rows: int,
    columns: int,
    luma: Changes,
    chroma: Changes,
    y: Bytes,
    u: Bytes,
    v: Bytes,
    start: int,
    end: int,
) -> None:
    groups, strips = columns // 2 + 1, rows // 2 + 1
    large = np.zeros((2 * LUMA_STEP, 2 * LUMA_STEP, groups), np.float32)
    small = np.zeros((2 * CHROMA_STEP, 2 * CHROMA_STEP, groups), np.float32)
    rounded = np.empty((2 * LUMA_STEP, groups), np.uint8)
    for number in range(start, end):
        picture, row = number // strips, 2 * (number % strips) - 1
        source = blocks[picture * rows * columns : (picture + 1) * rows * columns]
        for plane in range(3):
            strip, change = (large, luma[picture]) if plane == 0 else (small, chroma[picture])
            _gather(source, row, rows, columns, _AT[plane], _ONE, strip)
            _overlap(strip, 0 <= row < rows - 1, change)
            target = y[picture] if plane == 0 else u[picture] if plane == 1 else v[picture]
            _to_bytes(strip, row * (LUMA_STEP if plane == 0 else CHROMA_STEP), rounded, target)


_size, _strip, _line = types.int64, types.float32[:, :, ::1], types.float32[:, ::1]
_blocks, _changes = readable(types.uint16, 2), readable(types.float32, 3)
_out, _planes = types.uint16[:, ::1], types.uint8[:, :, ::1]
_gather = loop(_gather, _blocks, *(_size,) * 4, types.float32, _strip)
_scatter = loop(_scatter, _strip, *(_size,) * 4, _out)
_to_bytes = loop(_to_bytes, _strip, _size, *(types.uint8[:, ::1],) * 2)
_across = loop(_across, _line, readable(types.float32, 2), *(_size,) * 2, _line, types.float32[::1])
_overlap = loop(_overlap, _strip, types.boolean, readable(types.float32, 2))
_lap = loop(_lap_loop, _blocks, *(_size,) * 2, *(_changes,) * 2, _out, *(_size,) * 2)
_to_planes = loop(_to_planes_loop, _blocks, *(_size,) * 2, *(_changes,) * 2, *(_planes,) * 3, *(_size,) * 2)
