"""Planes of bytes to and from what the fused transforms multiply, without a picture in float32 in between.

A sample has 256 values and what the synthesis gives 65536, so tables hold what the layers' arithmetic makes of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maevid.jit import inlined, loop, readable, types
from maevid.model.fused.compiled import Halves
from maevid.model.fused.places import numbers, places
from maevid.model.representation import CHROMA_STEP, INPUTS, LUMA_STEP, to_levels
from maevid.model.workers import share
from maevid.video.frame import Plane

Bytes = npt.NDArray[np.uint8]
_PER_SIDE = LUMA_STEP // CHROMA_STEP


def load(
    frames: Sequence[tuple[Plane, Plane, Plane]], rows: int, columns: int, *, levels: bool = False
) -> Tensor:
    """Planes of frames of one size to blocks (B, 96, rows, columns) around zero, bfloat16; edges are repeated.

    With ``levels`` they count levels, -127.5..127.5, which bfloat16 holds exactly.
    """
    stacks = [np.stack([frame[number] for frame in frames]) for number in range(3)]
    out = torch.empty((len(frames) * rows * columns, INPUTS), dtype=torch.bfloat16)
    inputs = (*stacks, _of_bytes(levels), rows, columns)
    share(partial(_to_blocks, *inputs, numbers(out)), len(out))
    return out.view(len(frames), rows, columns, INPUTS).permute(0, 3, 1, 2)


def levels(decoded: Tensor, height: int, width: int) -> list[tuple[Plane, Plane, Plane]]:
    """Blocks (B, 96, h, w) around zero, bfloat16, to planes of a picture of ``height`` × ``width`` luma samples."""
    batch, _, rows, columns = decoded.shape
    half = (batch, -(-height // _PER_SIDE), -(-width // _PER_SIDE))
    planes = [np.empty(size, np.uint8) for size in ((batch, height, width), half, half)]
    share(
        partial(_to_planes, numbers(places(decoded)), _of_halves(), rows, columns, *planes),
        batch * rows * columns,
    )
    return [(planes[0][i], planes[1][i], planes[2][i]) for i in range(batch)]


@cache
def _of_bytes(levels: bool) -> Halves:
    every = torch.arange(256, dtype=torch.float32)
    table: Halves = numbers((every - 127.5 if levels else every.div_(255) - 0.5).bfloat16())
    return table


@cache
def _of_halves() -> Bytes:
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    table: Bytes = numbers(to_levels(every.float().add_(0.5)))
    return table


def _blocks_of(
    planes: Bytes, table: Halves, picture: int, row: int, column: int, side: int, at: int, out: Halves
) -> None:
    """One block of a plane, ``side`` samples wide, to channels from ``at`` on."""
    height, width = planes.shape[1:]
    for i in range(side):
        line = planes[picture, min(row * side + i, height - 1)]
        for j in range(side):
            out[at + i * side + j] = table[line[min(column * side + j, width - 1)]]


def _plane_of(
    block: Halves, at: int, side: int, table: Bytes, picture: int, row: int, column: int, planes: Bytes
) -> None:
    """The inverse of :func:`_blocks_of`; what lies outside the plane is left out."""
    height, width = planes.shape[1:]
    for i in range(min(side, height - row * side)):
        line = planes[picture, row * side + i]
        for j in range(min(side, width - column * side)):
            line[column * side + j] = table[block[at + i * side + j]]


def _to_blocks_loop(
    y: Bytes, u: Bytes, v: Bytes, table: Halves, rows: int, columns: int, out: Halves, start: int, end: int
) -> None:
    chroma = CHROMA_STEP**2
    for p in range(start, end):
        picture, row, column = p // (rows * columns), p // columns % rows, p % columns
        _blocks_of(y, table, picture, row, column, LUMA_STEP, 0, out[p])
        _blocks_of(u, table, picture, row, column, CHROMA_STEP, LUMA_STEP**2, out[p])
        _blocks_of(v, table, picture, row, column, CHROMA_STEP, LUMA_STEP**2 + chroma, out[p])


def _to_planes_loop(
    blocks: Halves,
    table: Bytes,
    rows: int,
    columns: int,
    y: Bytes,
    u: Bytes,
    v: Bytes,
    start: int,
    end: int,
) -> None:
    chroma = CHROMA_STEP**2
    for p in range(start, end):
        picture, row, column = p // (rows * columns), p // columns % rows, p % columns
        _plane_of(blocks[p], 0, LUMA_STEP, table, picture, row, column, y)
        _plane_of(blocks[p], LUMA_STEP**2, CHROMA_STEP, table, picture, row, column, u)
        _plane_of(blocks[p], LUMA_STEP**2 + chroma, CHROMA_STEP, table, picture, row, column, v)


_blocks_of, _plane_of = inlined(_blocks_of), inlined(_plane_of)
_size, _planes, _read_planes = types.int64, types.uint8[:, :, ::1], readable(types.uint8, 3)
_to_blocks = loop(
    _to_blocks_loop,
    *(_read_planes,) * 3,
    readable(types.uint16),
    *(_size,) * 2,
    types.uint16[:, ::1],
    *(_size,) * 2,
)
_to_planes = loop(
    _to_planes_loop,
    readable(types.uint16, 2),
    readable(types.uint8),
    *(_size,) * 2,
    *(_planes,) * 3,
    *(_size,) * 2,
)
