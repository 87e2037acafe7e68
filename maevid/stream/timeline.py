"""The times of all coded pictures on one line, whatever tools have cut or joined the file since.

A packet tells its exact pts, in the source's unit; its block tells a time in whole milliseconds. In a file
as maevid wrote it the two differ by one constant: the *shift* by which a muxer moves all tracks so that
none starts before 0. It is taken back here. A tool that cuts or joins moves the blocks and leaves the
packets alone: from there on the difference is another constant. So a file is a row of runs with one
difference each, and within a run the exact pts count. A short run between two that agree is a damaged
block time, not a cut.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median

import numpy as np

from maevid.stream.index import GOOD, LOST, Columns

LEAST_BLOCK = 32
"""Bytes of the shortest block that holds a packet; a smaller gap lost none."""
MOST_LOST = 10_000
"""Pictures that one gap may stand for."""
_EARLIEST, _LATEST = -(2**62), 2**62


@dataclass(slots=True)
class Timeline:
    """One entry for each picture that is or was there: its ``row`` in the columns (-1: lost) and its ``pts``
    in the stream's unit. ``runs`` counts the stretches of one difference (1: nothing was joined)."""

    row: array[int] = field(default_factory=lambda: array("q"))
    pts: array[int] = field(default_factory=lambda: array("q"))
    runs: int = 1
    shift: int = 0

    def append(self, row: int, pts: int) -> None:
        """Add a picture; a pts out of all bounds, which only a forged file has, is moved to the bound."""
        self.row.append(row)
        self.pts.append(max(_EARLIEST, min(pts, _LATEST)))


@dataclass(slots=True)
class _Run:
    """Rows ``start`` to ``stop`` (not included) whose block times are ``difference`` ms after their pts."""

    start: int
    stop: int
    difference: int


def milliseconds(pts: int, time_base: Fraction) -> int:
    """A time in whole milliseconds, halves rounded up, as the writer rounds it."""
    return _rounded(pts * time_base.numerator * 1000, time_base.denominator)


def make_timeline(rows: Columns, time_base: Fraction | None, is_intact: Callable[[int], bool]) -> Timeline:
    """Place every row in time.

    ``time_base`` is the unit of the packets' pts; None when its tag is lost: then block times count, and
    pts are in milliseconds. ``is_intact(row)`` reads a packet and checks its CRC; it is asked only where a
    new run seems to start.
    """
    if time_base is not None and (shift := _common_difference(rows, time_base)) is not None:
        return Timeline(array("q", range(len(rows))), rows.pts[:], shift=shift)
    blocks = [_rounded(time, 1_000_000) for time in rows.time]
    if time_base is None:
        return _fill_gaps(rows, blocks, Timeline(), in_units=False)
    runs, doubtful = _find_runs(rows, blocks, time_base, is_intact)
    # A muxer's shift is never negative: blocks before their pts were cut out of a longer file, and stay.
    shift = runs[0].difference if runs and runs[0].difference >= -1 else 0
    pts = [_units(block - shift, time_base) for block in blocks]
    for run in runs:
        moved = _units(run.difference - shift, time_base)
        for row in range(run.start, run.stop):
            if rows.state[row] == GOOD and row not in doubtful:
                pts[row] = rows.pts[row] + moved
    return _fill_gaps(rows, pts, Timeline(runs=max(1, len(runs)), shift=shift), in_units=True)


def _common_difference(rows: Columns, time_base: Fraction) -> int | None:
    """How many ms all blocks are after their pts, when all are good and that is a muxer's shift; else None.

    It is the usual case, told fast."""
    pts, time = np.array(rows.pts), np.array(rows.time)
    n, d = 2000 * time_base.numerator, 2 * time_base.denominator
    if any(rows.state) or not len(rows) or max(-int(pts.min()), int(pts.max())) > (2**62 - d) // n:
        return None
    differences = (time + 500_000) // 1_000_000 - (pts * n + d // 2) // d
    first = int(differences[0])
    return first if first >= -1 and (abs(differences - first) <= 1).all() else None


def _find_runs(
    rows: Columns, blocks: list[int], time_base: Fraction, is_intact: Callable[[int], bool]
) -> tuple[list[_Run], set[int]]:
    """The runs, and the rows whose pts cannot be believed: they fit no run, and their CRC is wrong."""
    runs: list[_Run] = []
    doubtful = set()
    for row, state in enumerate(rows.state):
        if state != GOOD:
            continue
        difference = blocks[row] - milliseconds(rows.pts[row], time_base)
        # Rounding to milliseconds, once here and once by another tool, moves a time by 1 at most.
        if runs and abs(difference - runs[-1].difference) <= 1:
            runs[-1].stop = row + 1
        elif is_intact(row):
            runs.append(_Run(row, row + 1, difference))
        else:
            doubtful.add(row)
    return _without_damaged_times(rows, runs), doubtful


def _without_damaged_times(rows: Columns, runs: list[_Run]) -> list[_Run]:
    """Merge into its neighbours each run of one cluster between two runs that agree."""
    merged: list[_Run] = []
    for run in runs:
        merged.append(run)
        while len(merged) >= 3:
            before, middle, after = merged[-3:]
            one_cluster = rows.cluster[middle.start] == rows.cluster[middle.stop - 1]
            if not one_cluster or abs(before.difference - after.difference) > 1:
                break
            merged[-3:] = [_Run(before.start, after.stop, before.difference)]
    return merged


def _fill_gaps(rows: Columns, pts: list[int], line: Timeline, *, in_units: bool) -> Timeline:
    """Enter all pictures, and those that a gap has swallowed as far as the times around it tell.

    ``in_units`` says that the packets' durations are in the unit of ``pts``.
    """
    there = [row for row, state in enumerate(rows.state) if state != LOST]
    steps = [pts[b] - pts[a] for a, b in pairwise(there) if pts[b] > pts[a]]
    usual = round(median(steps)) if steps and len(there) < len(rows) else 0
    gap = 0
    before: int | None = None
    for row, state in enumerate(rows.state):
        if state == LOST:
            gap += rows.size[row]
            continue
        if gap:
            step = rows.duration[before] if before is not None and in_units else 0
            _append_lost(line, gap, step or usual, None if before is None else pts[before], pts[row])
        line.append(row, pts[row])
        gap, before = 0, row
    _append_lost(line, gap, usual, None if before is None else pts[before], None)
    return line


def _append_lost(line: Timeline, gap: int, step: int, before: int | None, after: int | None) -> None:
    """Add the pictures that ``gap`` bytes between two pts may have held; ``step`` (0: unknown) is a duration.

    Where the times do not tell, a gap stands for one picture.
    """
    most = min(gap // LEAST_BLOCK, MOST_LOST)
    count = min(1, most)
    if before is not None and after is not None and step > 0:
        count = min(most, max(0, _rounded(after - before, step) - 1))
    first = before + step if before is not None else (after or 0) - step * count
    for number in range(count):
        line.append(-1, first + step * number)


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _units(time: int, unit: Fraction) -> int:
    """Milliseconds in units of ``unit`` seconds."""
    return _rounded(time * unit.denominator, 1000 * unit.numerator)
