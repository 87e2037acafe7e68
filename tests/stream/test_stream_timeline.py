"""The times of pictures from made rows: shifts, cuts, joins, damaged times, and what a gap has swallowed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from streamfiles import MODEL

from maevid.stream.index import DAMAGED, GOOD, LOST, Columns
from maevid.stream.packet import PacketHeader
from maevid.stream.timeline import LEAST_BLOCK, MOST_LOST, Timeline, make_timeline, milliseconds

NTSC = Fraction(1, 30000)
STEP = 1001


def never(row: int) -> bool:
    raise AssertionError(f"row {row} need not be read")


def good(rows: Columns, pts: int, ms: int, *, cluster: int = 1, duration: int = STEP) -> None:
    """A picture in a block ``ms`` milliseconds late in the file."""
    header = PacketHeader(MODEL, 9, 320, 240, pts, duration, (100,), 0, 0, 30)
    rows.append(GOOD, 0, 130, ms * 1_000_000, cluster, header)


def exact(pts: list[int], *, shift: int = 0, unit: Fraction = NTSC) -> Columns:
    rows = Columns()
    for one in pts:
        good(rows, one, milliseconds(one, unit) + shift)
    return rows


def times(line: Timeline) -> list[tuple[int, int]]:
    return list(zip(line.row, line.pts, strict=True))


def test_milliseconds_are_rounded_as_the_writer_does() -> None:
    assert [milliseconds(pts, Fraction(1, 2000)) for pts in (0, 1, 2, 3, -1, -2, -3)] == [
        0,
        1,
        1,
        2,
        0,
        -1,
        -1,
    ]
    assert [milliseconds(pts, Fraction(3, 2)) for pts in (1, 7, -1)] == [1500, 10500, -1500]


@pytest.mark.parametrize("shift", [-1, 0, 23, 5000])
def test_a_whole_file_keeps_its_exact_times_and_no_packet_is_read(shift: int) -> None:
    pts = [STEP * n for n in range(40)]
    line = make_timeline(exact(pts, shift=shift), NTSC, never)
    assert times(line) == list(enumerate(pts))
    assert (line.runs, line.shift) == (1, shift)


def test_a_part_cut_out_of_a_longer_file_starts_where_its_blocks_do() -> None:
    pts = [9 * STEP + STEP * n for n in range(10)]
    rows = exact(pts, shift=-300)
    line = make_timeline(rows, NTSC, lambda row: True)
    # 300 ms are 9000 units: 9 pictures are 300.3 ms.
    assert list(line.pts) == [one - 9000 for one in pts]
    assert (line.runs, line.shift) == (1, 0)


def test_files_joined_are_runs_with_exact_times_each() -> None:
    rows = Columns()
    starts = (0, 10, 20)
    for start in starts:
        for n in range(10):
            good(rows, STEP * n, milliseconds(STEP * (start + n), NTSC) + 50, cluster=start + 1)
    read: list[int] = []
    line = make_timeline(rows, NTSC, lambda row: read.append(row) or True)
    assert read == list(starts), "the first packet of each run alone"
    assert (line.runs, line.shift) == (3, 50)
    # A join is a whole number of milliseconds, within it steps are exact.
    assert list(line.pts) == [round(start * STEP / 30) * 30 + STEP * n for start in starts for n in range(10)]


def test_a_damaged_block_time_of_one_cluster_is_not_a_cut() -> None:
    rows = Columns()
    for n in range(9):
        wrong = 7777 if n in (4, 5) else 0
        good(rows, STEP * n, milliseconds(STEP * n, NTSC) + wrong, cluster=2 if n in (4, 5) else 1)
    line = make_timeline(rows, NTSC, lambda row: True)
    assert list(line.pts) == [STEP * n for n in range(9)]
    assert (line.runs, line.shift) == (1, 0)


def test_the_same_over_several_clusters_is_two_cuts() -> None:
    rows = Columns()
    for n in range(9):
        moved = 7777 if n in (4, 5) else 0
        good(rows, STEP * n, milliseconds(STEP * n, NTSC) + moved, cluster=n)
    line = make_timeline(rows, NTSC, lambda row: True)
    assert line.runs == 3
    assert [one - STEP * n for n, one in enumerate(line.pts)] == [0] * 4 + [7777 * 30] * 2 + [0] * 3


def test_a_damaged_pts_is_not_believed() -> None:
    """The header reads well, but the packet's CRC tells that it is not what was written."""
    rows = Columns()
    for n in range(9):
        good(rows, 10**9 if n == 4 else STEP * n, milliseconds(STEP * n, NTSC))
    line = make_timeline(rows, NTSC, lambda row: row != 4)
    assert list(line.pts) == [STEP * n if n != 4 else 133 * 30 for n in range(9)]
    assert line.runs == 1


def test_a_damaged_packet_has_the_time_of_its_block() -> None:
    rows = Columns()
    for n in range(5):
        if n == 2:
            rows.append(DAMAGED, 0, 130, (milliseconds(STEP * n, NTSC) + 40) * 1_000_000, 1)
        else:
            good(rows, STEP * n, milliseconds(STEP * n, NTSC) + 40)
    line = make_timeline(rows, NTSC, lambda row: True)
    assert list(line.pts) == [0, STEP, 67 * 30, 3 * STEP, 4 * STEP]


def gap_of(
    size: int, *, before: bool = True, after: int | None = 5, unit: Fraction | None = NTSC
) -> Timeline:
    """Pictures 0 and 1 (with ``before``), a gap of ``size`` bytes in two parts, pictures from ``after`` on."""
    rows = Columns()
    for n in range(2 if before else 0):
        good(rows, STEP * n, milliseconds(STEP * n, NTSC))
    rows.append(LOST, 0, size // 2, 0, 1)
    rows.append(LOST, 0, size - size // 2, 0, 1)
    for n in range(3 if after is not None else 0):
        good(rows, STEP * ((after or 0) + n), milliseconds(STEP * ((after or 0) + n), NTSC))
    return make_timeline(rows, unit, lambda row: True)


def test_a_gap_stands_for_as_many_pictures_as_the_times_around_it_tell() -> None:
    line = gap_of(1000)
    assert times(line)[:6] == [(0, 0), (1, STEP), *((-1, STEP * n) for n in (2, 3, 4)), (4, 5 * STEP)]
    assert [row for row, _ in times(gap_of(1000, after=2))] == [0, 1, 4, 5, 6], "there is no room for one"


def test_a_gap_holds_no_more_pictures_than_its_bytes_do() -> None:
    for size, count in ((LEAST_BLOCK - 1, 0), (LEAST_BLOCK, 1), (3 * LEAST_BLOCK - 1, 2), (10**6, 3)):
        assert list(gap_of(size).row).count(-1) == count, size
    far = gap_of(10**9, after=10**6)
    assert list(far.row).count(-1) == MOST_LOST


def test_a_gap_at_an_end_stands_for_one_picture() -> None:
    line = gap_of(1000, before=False)
    assert times(line) == [(-1, 4 * STEP), (2, 5 * STEP), (3, 6 * STEP), (4, 7 * STEP)]
    line = gap_of(1000, after=None)
    assert times(line) == [(0, 0), (1, STEP), (-1, 2 * STEP)]
    assert times(gap_of(LEAST_BLOCK - 1, after=None)) == [(0, 0), (1, STEP)]


def test_without_a_time_base_block_times_count_and_the_usual_step_fills_gaps() -> None:
    line = gap_of(1000, unit=None)
    assert times(line) == [(0, 0), (1, 33), (-1, 67), (-1, 101), (-1, 135), (4, 167), (5, 200), (6, 234)]
    assert (line.runs, line.shift) == (1, 0)


def test_forged_times_are_moved_to_a_bound() -> None:
    rows = exact([0, STEP])
    good(rows, 2**63 - 1, 100)
    good(rows, -(2**63), 134)
    line = make_timeline(rows, NTSC, lambda row: True)
    assert line.pts[:2].tolist() == [0, STEP]
    assert all(abs(pts) <= 2**62 for pts in line.pts)
    assert make_timeline(Columns(), NTSC, never) == Timeline(runs=1)
