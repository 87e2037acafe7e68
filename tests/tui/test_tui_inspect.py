"""The inspect screen: table, sorting, worst, scrubbing, maps, facts, check, export; files and recordings."""

from __future__ import annotations

import asyncio
import csv
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from textual.pilot import Pilot
from tui_screen import read_screen, read_text
from tui_simulated import SimulatedFile, many, numbers

from maevid.errors import InputError, OutputError
from maevid.report_io import write_recording
from maevid.tui.app import MaevidApp
from maevid.tui.columns import FrameColumns
from maevid.tui.dialogs import TextScreen
from maevid.tui.export import export_all
from maevid.tui.fetch import Fetcher
from maevid.tui.figures import Scene
from maevid.tui.frame_table import FrameTable
from maevid.tui.inspect import InspectScreen
from maevid.tui.replay import RecordedSession
from maevid.tui.session import FramePicture, InspectSession

SMALL, LARGE = (80, 24), (120, 40)
Script = Callable[[Pilot[None], InspectScreen], Awaitable[None]]


def drive(
    session: InspectSession,
    script: Script,
    folder: Path = Path("/nonexistent"),
    size: tuple[int, int] = SMALL,
) -> None:
    screen = InspectScreen(session, folder)
    app = MaevidApp(screen)

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await script(pilot, screen)

    asyncio.run(run())
    assert app.crash is None


async def shown(pilot: Pilot[None], text: str, seconds: float = 8.0) -> str:
    """Wait until the screen holds the text."""
    end = time.monotonic() + seconds
    while text not in (screen := read_text(pilot.app)):
        assert time.monotonic() < end, f"{text!r} is not in\n{screen}"
        await asyncio.sleep(0.02)
    return screen


def column(pilot: Pilot[None], left: int, right: int) -> list[str]:
    """Cells of the table between two columns of the screen, header left out."""
    return [line[left:right].strip() for line in read_text(pilot.app).splitlines()[2:-1]]


def test_s_sorts_by_bits_psnr_and_lambda_and_r_turns_round() -> None:
    session = SimulatedFile()
    reports = session.reports

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        assert column(pilot, 0, 7)[1] == "1"
        for title, key in (
            ("kbit▼", lambda r: -r.bits),
            ("λ▼", lambda r: -r.lam),
            ("PSNR▲", lambda r: r.psnr_yuv),
        ):
            while title not in read_text(pilot.app).splitlines()[1]:
                await pilot.press("s")
            expected = [str(r.index) for r in sorted(reports, key=key)[:20]]
            assert [cell.strip("▸ ") for cell in column(pilot, 0, 7)][:20] == expected
            assert reports[screen.position].index == int(expected[0])
        while "PSNR▲" not in read_text(pilot.app).splitlines()[1]:
            await pilot.press("s")
        await pilot.press("r")
        assert "PSNR▼" in read_text(pilot.app).splitlines()[1]
        assert reports[screen.position].psnr_yuv == max(r.psnr_yuv for r in reports)

    drive(session, script)


def test_w_jumps_to_the_worst_and_then_to_the_next() -> None:
    session = SimulatedFile()
    order = sorted(session.reports, key=lambda r: r.psnr_yuv)

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        for rank in range(3):
            await pilot.press("w")
            assert session.reports[screen.position] is order[rank]
            await shown(pilot, f"coded {order[rank].index} ")
        await pilot.press("home", "w")
        assert session.reports[screen.position] is order[0]

    drive(session, script)


def test_without_psnr_the_worst_has_most_bits_and_nothing_is_invented() -> None:
    session = SimulatedFile(psnr=False)

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        text = await shown(pilot, "coded 0")
        assert "PSNR not measured" in text
        assert "dB" not in text
        assert "difference" not in text
        assert set(column(pilot, 25, 32)) == {"–"}
        await pilot.press("w")
        assert session.reports[screen.position].bits == max(r.bits for r in session.reports)
        await pilot.press("s", "s", "s")
        assert "frame▲" in read_text(pilot.app)

    drive(session, script)


def test_keys_scrub_through_pictures() -> None:
    session = SimulatedFile(broken=None)

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await shown(pilot, "coded 0")
        for key, position in (
            ("down", 1), ("right", 2), ("left", 1), ("up", 0), ("up", 0), ("end", 299), ("down", 299), ("home", 0),
            ("pagedown", 20), ("pageup", 0),
        ):  # fmt: skip
            await pilot.press(key)
            assert screen.position == position, key
        await pilot.press("end")
        text = await shown(pilot, "coded 299")
        assert "▸   299" in text
        assert "frame 299  0:11.960" in text

    drive(session, script)


def test_a_slow_decoder_is_skipped_over_not_waited_for() -> None:
    gate = threading.Event()

    class Slow(SimulatedFile):
        def picture(self, index: int) -> FramePicture:
            gate.wait(10)
            return super().picture(index)

    session = Slow(broken=None)

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        began = time.monotonic()
        for _ in range(30):
            screen.query_one(FrameTable).action_move(1)
            await asyncio.sleep(0)
        assert time.monotonic() - began < 2
        assert screen.position == 30
        gate.set()
        await shown(pilot, "coded 30")

    drive(session, script)
    assert len(session.asked) <= 6  # each picture is asked for itself and for its map
    assert session.closed == 1


def test_m_lays_the_map_of_bits_over_the_picture() -> None:
    session = SimulatedFile()

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await shown(pilot, "coded 0 ")
        plain = read_screen(pilot.app).styles
        await pilot.press("m")
        bits = session.block_bits(0)
        await shown(pilot, "coded 0, picture + bits")
        await shown(pilot, f"{bits.max():.0f} bits/block")
        over = read_screen(pilot.app).styles
        await pilot.press("m")
        await shown(pilot, "coded 0, bits")
        alone = read_screen(pilot.app).styles
        assert plain[5][45:75] != over[5][45:75] != alone[5][45:75]
        await pilot.press("m")
        await shown(pilot, "coded 0 ")
        assert read_screen(pilot.app).styles[5] == plain[5]

    drive(session, script)


def test_m_says_when_the_codec_cannot_tell() -> None:
    class NoMap(SimulatedFile):
        def block_bits(self, index: int) -> None:
            return None

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await shown(pilot, "coded 0")
        await pilot.press("m")
        await shown(pilot, "does not tell bits by block")

    drive(NoMap(), script)


def test_a_damaged_frame_says_so_in_the_place_of_its_picture() -> None:
    session = SimulatedFile(broken=1)

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await pilot.press("down")
        await shown(pilot, "✘ frame 1: CRC-32 differs")
        await pilot.press("down")
        await shown(pilot, "coded 2")

    drive(session, script)


def test_c_checks_every_packet_and_marks_the_bad_one() -> None:
    session = SimulatedFile(broken=17)

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await pilot.press("c")
        text = await shown(pilot, "✘ 1 bad ")
        row = next(line for line in text.splitlines() if line[:7].strip() == "17")
        assert "✘" in row
        await pilot.press("i")
        text = await shown(pilot, "SHA-256")
        assert "Weights" in text
        await pilot.press("end")
        await shown(pilot, "CRC-32 differs")
        await pilot.press("escape")
        await pilot.press("home", *["down"] * 17)
        await shown(pilot, "✘ CRC-32 differs")

    drive(session, script)


def test_i_shows_facts_and_v_the_plots_and_t_the_light_theme_and_help() -> None:
    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await pilot.press("i")
        text = await shown(pilot, "V_MAEVID/INTRA")
        assert "Park run" in text
        assert "not run yet" in text
        assert isinstance(pilot.app.screen, TextScreen)
        await pilot.press("i", "v")
        text = await shown(pilot, "rate-distortion")
        assert "bitrate Mb/s" in text
        assert "lambda λ" in text
        await pilot.press("v")
        await shown(pilot, "coded 0")
        await pilot.press("t")
        assert not pilot.app.current_theme.dark
        await pilot.press("?")
        text = await shown(pilot, "map of bits per 16×16 block")
        for word in ("sort by", "worst", "export" if "export" in text else "save", "leave"):
            assert word in text

    drive(SimulatedFile(), script)


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
def test_q_leaves_at_once_and_closes_the_session(key: str) -> None:
    session = SimulatedFile()

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await pilot.press(key)
        assert not pilot.app.is_running or pilot.app._exit

    drive(session, script)
    assert session.closed == 1


def test_every_key_is_in_the_footer_at_both_sizes() -> None:
    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        footer = (await shown(pilot, "? help")).splitlines()[-1]
        for word in (
            "↑↓ go", "s sort", "r rev", "w worst", "m map", "v view", "c CRC", "i info", "e save", "t dark",
            "q quit", "? help",
        ):  # fmt: skip
            assert word in footer
        # Where there is room for them: keys that scroll every list.
        assert all((word in footer) == (pilot.app.size.width > 80) for word in ("PgUp PgDn", "Home End"))

    for size in (SMALL, LARGE):
        drive(SimulatedFile(), script, size=size)


def test_e_exports_csv_and_svg_and_never_overwrites(tmp_path: Path) -> None:
    session = SimulatedFile()

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await pilot.press("e")
        await shown(pilot, "park_run-frames.csv")
        await pilot.press("e")
        await shown(pilot, "park_run-2-frames.csv")

    drive(session, script, tmp_path, LARGE)
    names = {"frames.csv", "rd.svg", "bitrate.svg", "lambda.svg", "size.svg"}
    assert {p.name for p in tmp_path.iterdir()} == {f"park_run-{a}{n}" for a in ("", "2-") for n in names}
    with (tmp_path / "park_run-frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300
    for row, report in zip(rows, session.reports, strict=True):
        assert int(row["bits"]) == report.bits
        assert float(row["lam"]) == report.lam
        assert float(row["psnr_yuv"]) == report.psnr_yuv
        assert int(row["bits_latent"]) == report.parts["latent"]
    for name in sorted(names - {"frames.csv"}):
        root = ElementTree.parse(tmp_path / f"park_run-{name}").getroot()
        drawn = root.iter(
            "{http://www.w3.org/2000/svg}circle" if name == "rd.svg" else "{http://www.w3.org/2000/svg}path"
        )
        assert len(list(drawn)) >= (300 if name == "rd.svg" else 5)


def test_an_export_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    session = SimulatedFile(30)
    missing = tmp_path / "no" / "such"
    with pytest.raises(OutputError, match="No such file"):
        export_all(missing, "a", session.reports, Scene(FrameColumns(session.reports).series))

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await pilot.press("e")
        await shown(pilot, "cannot write")

    drive(session, script, missing, LARGE)


def test_an_export_without_psnr_has_no_psnr_columns_and_no_rd_plot(tmp_path: Path) -> None:
    reports = SimulatedFile(30, psnr=False).reports
    paths = export_all(tmp_path, "a", reports, Scene(FrameColumns(reports).series))
    assert "a-rd.svg" not in {p.name for p in paths}
    assert "psnr" not in paths[0].read_text().splitlines()[0]


def test_a_recording_is_shown_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    write_recording(path, numbers(50), clip={"target_bitrate": 2e6, "device": "cpu"})
    session = RecordedSession(path)
    assert session.target_bitrate == 2e6
    assert len(session.reports) == 50

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await shown(pilot, "numbers only, no pictures")
        await pilot.press("v")
        await shown(pilot, "╌ 2.00")
        await pilot.press("c", "i")
        text = await shown(pilot, "target bitrate")
        assert "Check" not in text

    drive(session, script)


def test_a_recording_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    path.write_text('{"type":"clip"}\n')
    with pytest.raises(InputError, match="no frame reports"):
        RecordedSession(path)


def test_a_click_on_the_header_sorts_and_on_a_row_selects() -> None:
    session = SimulatedFile()

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await pilot.click(FrameTable, offset=(12, 0))
        assert "kbit▼" in read_text(pilot.app)
        await pilot.click(FrameTable, offset=(12, 0))
        assert "kbit▲" in read_text(pilot.app)
        await pilot.click(FrameTable, offset=(4, 6))
        order = np.argsort([r.bits for r in session.reports], kind="stable")
        assert screen.position == order[5]

    drive(session, script)


def test_60000_frames_in_the_table_are_exact_and_as_quick_as_300() -> None:
    def measure(session: SimulatedFile) -> dict[str, float]:
        took: dict[str, float] = {}

        async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
            table = screen.query_one(FrameTable)

            def clocked(name: str, act: Callable[[], object]) -> None:
                start = time.thread_time()
                act()
                for y in range(table.size.height):
                    table.render_line(y)
                took[name] = time.thread_time() - start

            clocked("sort", lambda: table.sort("bits", True))
            clocked("end", lambda: table.action_edge(-1))
            clocked("page", lambda: table.action_page(-1))
            await pilot.pause()
            smallest = min(session.reports, key=lambda r: r.bits)
            table.action_edge(-1)
            await pilot.pause()
            assert session.reports[screen.position].bits == smallest.bits
            assert f"{smallest.bits / 1000:.2f}" in read_text(pilot.app).splitlines()[-2]

        drive(session, script)
        return took

    few = measure(SimulatedFile(300, broken=None))
    reports = many()
    tracemalloc.start()
    columns = FrameColumns(reports)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(columns) == 60_000
    assert held < 8_000_000  # beside the reports themselves: three numbers a frame
    long = measure(SimulatedFile(reports=reports, broken=None))
    assert long["page"] < 3 * few["page"] + 0.01, (few, long)
    assert long["end"] < 3 * few["end"] + 0.01, (few, long)
    assert long["sort"] < 0.25, long


def test_a_defect_while_decoding_is_told_and_the_worker_lives_on() -> None:
    class Odd(SimulatedFile):
        def picture(self, index: int) -> FramePicture:
            if index == 0:
                raise IndexError("latents")
            return super().picture(index)

    session = Odd(broken=None)
    came = []
    ready = threading.Semaphore(0)

    def keep(fetched: object) -> None:
        came.append(fetched)
        ready.release()

    fetcher = Fetcher(session, keep, keep, keep)
    fetcher.want_picture(0)
    assert ready.acquire(timeout=5)
    fetcher.want_picture(3)
    assert ready.acquire(timeout=5)
    fetcher.close()
    assert "IndexError" in came[0].error
    assert came[1].position == 3
    assert came[1].picture is not None
    assert session.closed == 1
