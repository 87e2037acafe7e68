"""Ticks, units, plots in cells and in SVG, pictures: what a reader of the screen relies on."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tui_simulated import CURVE, many, numbers, pictures

from maevid.pipeline.events import BesideVideo, Event, Phase, PhaseChanged, Totals
from maevid.pipeline.preview import HEIGHT, WIDTH, make_preview, reduce_planes
from maevid.tui.canvas import Canvas
from maevid.tui.columns import FrameColumns, moment_of
from maevid.tui.figure import Axis, Figure, Kind, Scale, Trace
from maevid.tui.figures import (
    Scene,
    all_figures,
    bitrate_figure,
    lambda_figure,
    rd_figure,
    smooth_bitrate,
    smooth_lambda,
)
from maevid.tui.history import History
from maevid.tui.mailbox import Mailbox, Snapshot
from maevid.tui.numbers import WIDTH as PANEL
from maevid.tui.numbers import average_fps, eta, final_bits, final_file_bits, gauge, number_rows
from maevid.tui.picture import block_map_rgb, difference_rgb, fit, heat, picture_rgb, shrink
from maevid.tui.picture_widget import Panel, arrange
from maevid.tui.plot_draw import draw
from maevid.tui.svg import figure_svg
from maevid.tui.units import (
    bitrate,
    clock,
    linear_ticks,
    log_ticks,
    significant,
    size,
    time_ticks,
    timestamp,
)
from maevid.video.frame import ColorTags


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
def test_linear_ticks_are_round_inside_and_at_least_two(low: float, span: float, count: int) -> None:
    high = low + span
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        return
    ticks = linear_ticks(low, high, count)
    assert 2 <= len(ticks) <= 2 * count + 2
    steps = np.diff([t.value for t in ticks])
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-3
    for tick in ticks:
        assert low - 1e-6 * span <= tick.value <= high + 1e-6 * span
        assert float(tick.text) == pytest.approx(tick.value, abs=1e-6 * span)


def test_ticks_of_logs_and_times() -> None:
    assert [t.text for t in log_ticks(0.001, 1.0, 5)] == ["0.001", "0.01", "0.1", "1"]
    assert [t.text for t in log_ticks(0.25, 0.45, 5)] == ["0.25", "0.30", "0.35", "0.40", "0.45"]
    assert [t.text for t in log_ticks(0.09, 11, 9)] == ["0.1", "0.2", "0.5", "1", "2", "5", "10"]
    assert [t.text for t in time_ticks(0, 12, 4)] == ["0:00", "0:05", "0:10"]
    assert [t.text for t in time_ticks(0, 7200, 4)] == ["0:00", "30:00", "1:00:00", "1:30:00", "2:00:00"]
    assert [t.text for t in time_ticks(0, 1, 5)] == ["0.0s", "0.2s", "0.4s", "0.6s", "0.8s", "1.0s"]
    assert time_ticks(0, 0, 4) == linear_ticks(1, 1, 3) == []
    assert len(time_ticks(0, 1e6, 4)) <= 5


def test_numbers_for_people() -> None:
    assert (significant(1234.5), significant(0.0123456), significant(0.0), significant(None)) == (
        "1234", "0.01235", "0", "–",
    )  # fmt: skip
    assert (bitrate(2_034_000), bitrate(612_300), bitrate(None)) == ("2.03 Mb/s", "612 kb/s", "–")
    assert (size(8 * 12_345_678), size(8 * 900), size(None)) == ("12.3 MB", "900 B", "–")
    assert (clock(7.9), clock(3723), clock(None), timestamp(67.04), timestamp(-0.5)) == (
        "0:07", "1:02:03", "–", "1:07.040", "-0:00.500",
    )  # fmt: skip


def cells(figure: Figure, columns: int = 60, rows: int = 14) -> list[str]:
    return ["".join(cell.char for cell in row) for row in draw(figure, columns, rows)]


def scene(count: int = 300) -> Scene:
    history = History()
    last = None
    for last in numbers(count):
        history.add(last)
    return Scene(history.series(), 20.0, ((0.0, 2e6), (6.0, 1e6)), CURVE, moment_of(last) if last else None)


@pytest.mark.parametrize("size", [(16, 4), (41, 12), (44, 10), (200, 50)])
@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_every_plot_fills_exactly_its_cells(size: tuple[int, int], count: int) -> None:
    for name, figure in all_figures(scene(count)).items():
        rows = draw(figure, *size)
        assert [len(row) for row in rows] == [size[0]] * size[1], name
        assert ("◆" in "".join(cells(figure, *size))) == (count > 0), name


@pytest.mark.parametrize("size", [(0, 0), (3, 3), (15, 9), (40, 2)])
def test_a_plot_without_room_is_blank(size: tuple[int, int]) -> None:
    assert set("".join(cells(rd_figure(scene()), *size))) <= {" "}


def test_points_and_marks_stand_where_the_axes_say() -> None:
    x, y = np.array([0.0, 10.0]), np.array([0.0, 5.0])
    figure = Figure(
        "t", Axis("", 0, 10), Axis("", 0, 5), (Trace(Kind.POINTS, "points", "", x, y),), now=(5.0, 2.5)
    )
    lines = cells(figure, 26, 13)
    plot = [line[6:] for line in lines[1:-2]]
    assert plot[0][-1] == chr(0x2808)  # upper right dot
    assert plot[-1][0] == chr(0x2840)  # lower left dot
    assert plot[5][10] == "◆"
    assert lines[-2][6 + 19] == "┬" == lines[-2][6]
    assert lines[1].startswith("    5┤")
    assert lines[-3].startswith("    0┤")


def test_a_line_has_no_gaps_and_stops_at_unknown_values() -> None:
    canvas = Canvas(20, 5)
    canvas.line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "line")
    filled = [[canvas.row(row)[column].char != " " for column in range(20)] for row in range(5)]
    assert all(any(filled[row][column] for row in range(5)) for column in range(20))
    canvas = Canvas(20, 5)
    canvas.line(np.array([0.0, 0.2, 0.5, 0.8, 1.0]), np.array([0.5, 0.5, np.nan, 0.5, 0.5]), "line")
    row = "".join(cell.char for cell in canvas.row(2))
    assert row.strip()
    assert row[6:14].strip(" \u2800") == ""


def test_bars_are_as_high_as_their_values() -> None:
    canvas = Canvas(4, 2)
    canvas.bars(np.array([0.0, 0.5, 1.0, 0.25]), "bar", np.array([0.0, 1.0, 1.0, 0.25]), "peak")
    top, bottom = canvas.row(0), canvas.row(1)
    assert [c.char for c in bottom] == [" ", " ", " ", "▄"]
    assert [c.back for c in bottom] == ["", "bar", "bar", ""]
    assert [c.back for c in top] == ["", "peak", "bar", ""]


def test_the_bitrate_line_is_bits_over_seconds() -> None:
    history = History()
    for report in numbers(100):
        history.add(report)
    series = history.series()
    seconds, rate = smooth_bitrate(series, 1.0)
    assert seconds[-1] == pytest.approx(4.0)
    assert rate[-1] == pytest.approx(series.bits[-25:].sum(), rel=1e-6)
    assert rate[10] == pytest.approx(series.bits[:11].sum() / (11 / 25), rel=1e-6)
    figure = bitrate_figure(Scene(series, targets=((0.0, 2e6),)))
    assert figure.y.low < 2.0 < figure.y.high


def test_lambda_of_a_long_clip_is_a_line_and_not_a_band() -> None:
    history = History()
    for report in many():
        history.add(report)
    series = history.series()
    seconds, lam = smooth_lambda(series)
    assert 50 < len(seconds) <= 100
    mean = np.log([report.lam for report in many()]).mean()
    assert np.log(lam).mean() == pytest.approx(mean, abs=0.01)
    drawn = draw(lambda_figure(Scene(series)), 60, 14)
    dots = sum(cell.role == "line" for row in drawn for cell in row)
    assert dots < 0.35 * 54 * 11
    few = History()
    for report in numbers(300):
        few.add(report)
    assert np.array_equal(smooth_lambda(few.series())[1], few.series().lam)


def test_unknown_lambdas_leave_a_gap_only_where_all_are_unknown() -> None:
    history = History()
    for report in numbers(700):
        bad = report.index == 5 or 300 <= report.index < 316
        history.add(replace(report, lam=math.nan) if bad else report)
    _, lam = smooth_lambda(history.series())
    assert np.isfinite(lam[1])
    assert np.isnan(lam).sum() in (1, 2, 3)


def test_svg_plots_are_well_formed_and_hold_every_point() -> None:
    for name, figure in all_figures(scene()).items():
        root = ElementTree.fromstring(figure_svg(figure))
        texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
        assert figure.title in texts, name
    circles = ElementTree.fromstring(figure_svg(rd_figure(scene()))).iter(
        "{http://www.w3.org/2000/svg}circle"
    )
    assert len(list(circles)) == 300
    odd = Figure('<&">', Axis("a<b", 0, 1), Axis("", 0, 1), empty="no & nothing")
    assert ElementTree.fromstring(figure_svg(odd)) is not None


def test_log_axes_place_by_ratio() -> None:
    axis = Axis("", 0.01, 1.0, Scale.LOG)
    assert axis.place_one(0.1) == pytest.approx(0.5)


def test_grey_and_primary_colours_convert_exactly() -> None:
    def flat(y: int, u: int, v: int, tags: ColorTags) -> list[int]:
        planes = (np.full((4, 4), y, np.uint8), np.full((2, 2), u, np.uint8), np.full((2, 2), v, np.uint8))
        return picture_rgb(planes, tags, 2, 2)[0, 0].tolist()

    assert flat(16, 128, 128, ColorTags()) == [0, 0, 0]
    assert flat(235, 128, 128, ColorTags()) == [255, 255, 255]
    assert flat(255, 128, 128, ColorTags(full_range=True)) == [255, 255, 255]
    assert flat(76, 85, 255, ColorTags(matrix=6, full_range=True)) == pytest.approx([254, 0, 0], abs=2)
    assert flat(63, 102, 240, ColorTags(matrix=1)) == pytest.approx([255, 0, 0], abs=2)


def test_shrinking_is_the_mean_and_enlarging_repeats() -> None:
    plane = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert shrink(plane, 3, 2).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    assert shrink(plane, 12, 4)[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert shrink(plane, 6, 4).tolist() == plane.tolist()


def test_the_difference_shows_sign_and_gain_and_grey_for_none() -> None:
    source, _ = pictures(0)
    coded = (source[0].copy(), source[1], source[2])
    coded[0][:90, :160] += 3
    coded[0][90:, 160:] -= 2
    rgb = difference_rgb(source, coded, 20, 10)
    assert rgb[0, 0].tolist() == [152] * 3
    assert rgb[-1, -1].tolist() == [112] * 3
    assert rgb[0, -1].tolist() == [128] * 3


def test_the_block_map_puts_blocks_where_they_are() -> None:
    bits = np.zeros((3, 5))
    bits[1, 4] = 100.0
    rgb = block_map_rgb(bits, (72, 40), 72, 40, None)  # last column of blocks 8 wide, last row 8 high
    bright = rgb.sum(axis=2) > 600
    assert bright[16:32, 64:72].all()
    assert bright.sum() == 16 * 8
    steps = heat(np.linspace(0, 1, 50)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(steps) > 0).all()  # reads in grey, too


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (15, 17), (4096, 16), (16, 4096), (1280, 720)])
def test_previews_and_pictures_of_any_shape(width: int, height: int) -> None:
    y = np.full((height, width), 90, np.uint8)
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    preview = make_preview(3, (y, chroma, chroma), (y, chroma, chroma))
    small = preview.coded[0].shape
    assert small[0] <= HEIGHT
    assert small[1] <= WIDTH
    assert preview.coded[1].shape == ((small[0] + 1) // 2, (small[1] + 1) // 2)
    columns, rows = fit(width / height, 1.0, 40, 20)
    assert 1 <= columns <= 40
    assert 2 <= rows <= 20
    assert rows % 2 == 0
    assert picture_rgb(preview.coded, ColorTags(), columns, rows).shape == (rows, columns, 3)
    assert difference_rgb(preview.source, preview.coded, columns, rows).shape == (rows, columns, 3)


def test_reduced_planes_are_copies() -> None:
    source, _ = pictures(0)
    small = reduce_planes(source)
    assert not any(np.shares_memory(a, b) for a, b in zip(small, source, strict=True))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("aspect", [0.4, 1.0, 16 / 9, 4.0])
@pytest.mark.parametrize("size", [(45, 17), (66, 17), (118, 13), (118, 37), (8, 4), (3, 1)])
def test_pictures_never_overlap_nor_leave_the_widget(
    count: int, aspect: float, size: tuple[int, int]
) -> None:
    panels = [
        Panel("x", aspect, (640, 360), lambda c, r: np.zeros((r, c, 3), np.uint8)) for _ in range(count)
    ]
    boxes = arrange(panels, *size)
    assert len(boxes) == count
    taken = np.zeros((size[1], size[0]), int)
    for box in boxes:
        assert box.left + box.width <= size[0]
        assert box.top + box.height <= size[1]
        taken[box.top : box.top + box.height, box.left : box.left + box.width] += 1
    assert taken.max() <= 1


def snapshot_of(count: int, **fields: object) -> Snapshot:
    clock_now = [0.0]
    mailbox = Mailbox(lambda: clock_now[0])
    mailbox.publish(Totals("a", "b", 100, 4.0, 640, 360, 2e6, **fields))
    mailbox.publish(PhaseChanged(Phase.ENCODE))
    for report in numbers(count):
        clock_now[0] += 0.02
        mailbox.publish(report)
    return mailbox.snapshot()


def test_time_left_speed_and_final_size() -> None:
    now = snapshot_of(50)
    assert eta(now) == pytest.approx(1.0)
    assert average_fps(now) == pytest.approx(50)
    assert final_bits(now) == pytest.approx(2e6 * 4.0)
    assert eta(snapshot_of(0)) is None
    assert final_bits(snapshot_of(0)) is None
    assert final_file_bits(now) is None


def test_the_final_size_counts_sound_and_container() -> None:
    def told(*events: Event) -> Snapshot:
        mailbox = Mailbox(lambda: 0.0)
        mailbox.publish(Totals("a", "b", 100, 4.0, 640, 360, 2e6))
        mailbox.publish(PhaseChanged(Phase.ENCODE))
        for report in numbers(50):
            mailbox.publish(report)
        for event in events:
            mailbox.publish(event)
        return mailbox.snapshot()

    video = final_bits(told())
    assert final_file_bits(told(BesideVideo(5000, whole=True))) == pytest.approx(video + 40_000)
    # Half of the clip is through, and so is half of the sound.
    assert final_file_bits(told(BesideVideo(5000, whole=False))) == pytest.approx(video + 80_000)
    done = told(BesideVideo(7000, whole=True), PhaseChanged(Phase.DONE))
    assert final_file_bits(done) == done.summary.bits + 56_000
    labels = [
        [row.label for row in number_rows(s, 40)] for s in (told(), told(BesideVideo(1, whole=True)), done)
    ]
    for words, expected in zip(labels, ("final video", "final file", "file size"), strict=True):
        assert expected in words


@pytest.mark.parametrize("height", [5, 17, 21, 24, 40])
@pytest.mark.parametrize("count", [0, 50])
def test_the_numbers_panel_fits_its_width_and_height(height: int, count: int) -> None:
    rows = number_rows(snapshot_of(count), height)
    assert len(rows) <= height
    assert max(len(row.text) for row in rows) <= PANEL


def test_gauge_marks_the_lowest_level() -> None:
    assert gauge(0.75, 0.25, 8) == "[██▓▓▓▓░░]"
    assert gauge(1.2, -0.1, 4) == "[▓▓▓▓]"
    assert gauge(0.0, 0.0, 4) == "[░░░░]"


def test_order_is_stable_and_puts_unknown_values_last() -> None:
    reports = list(numbers(5))
    blind = list(numbers(5, psnr=False))
    columns = FrameColumns([*reports[:2], blind[2], *reports[3:]])
    assert columns.order("psnr", True)[-1] == columns.order("psnr", False)[-1] == 2
    assert FrameColumns(blind).order("psnr", False).tolist() == [0, 1, 2, 3, 4]
