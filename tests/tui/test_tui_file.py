"""Real maevid files under inspection: made by the real encoder, shown by the real screen, damage and all."""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from textual.pilot import Pilot
from tui_screen import read_screen, read_text

from maevid.codec.interface import CodecOptions
from maevid.errors import DamagedError, InputError
from maevid.pipeline.compress import CompressOptions, compress
from maevid.pipeline.inspection import Inspection
from maevid.pipeline.source_frames import SourceFrames
from maevid.rate import RateRequest
from maevid.report import FrameReport
from maevid.stream.reader import StreamReader
from maevid.tui.app import MaevidApp
from maevid.tui.file_session import FileSession
from maevid.tui.inspect import InspectScreen
from maevid.video.reader import VideoReader

OPTIONS = CodecOptions(device="cpu")
LARGE = (120, 40)


@pytest.fixture(scope="module")
def coded(hall: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[FrameReport]]:
    """The hall clip coded for real, and what the encoder said of its frames."""
    path = tmp_path_factory.mktemp("coded") / "hall.mkv"
    reports: list[FrameReport] = []
    compress(
        CompressOptions(str(hall), str(path), RateRequest(quality=20), codec_options=OPTIONS, measure=True),
        lambda event: reports.append(event) if isinstance(event, FrameReport) else None,
    )
    return path, reports


@pytest.fixture
def damaged(coded: tuple[Path, list[FrameReport]], tmp_path: Path) -> Path:
    """The same with a flipped bit in the payload of frame 2, frame 5's header gone, and its end cut off."""
    data = bytearray(coded[0].read_bytes())
    with StreamReader(coded[0]) as reader:
        packets = [reader.coded(i) for i in range(len(reader))]
    data[packets[2].offset + packets[2].size // 2] ^= 0x10
    data[packets[5].offset : packets[5].offset + 40] = bytes(40)
    path = tmp_path / "damaged.mkv"
    path.write_bytes(data[: packets[10].offset + 20])
    return path


def drive(
    path: Path, script: Callable[[Pilot[None], InspectScreen], object], folder: Path, source: Path | None
) -> None:
    """The screen on a real file, measured first as the command does."""
    inspection = Inspection(path, OPTIONS, source)
    if source is not None:
        inspection.measure(lambda event: None)
    screen = InspectScreen(FileSession(inspection), folder)
    app = MaevidApp(screen)

    async def run() -> None:
        async with app.run_test(size=LARGE, notifications=True) as pilot:
            await pilot.pause()
            await script(pilot, screen)

    asyncio.run(run())
    assert app.crash is None


async def shown(pilot: Pilot[None], text: str, seconds: float = 20.0) -> str:
    """Wait until the screen holds the text."""
    end = time.monotonic() + seconds
    while text not in (screen := read_text(pilot.app)):
        assert time.monotonic() < end, f"{text!r} is not in\n{screen}"
        await asyncio.sleep(0.05)
    return screen


def test_reports_of_the_file_are_those_of_the_encoder(
    coded: tuple[Path, list[FrameReport]], hall: Path
) -> None:
    path, told = coded
    inspection = Inspection(path, OPTIONS, hall)
    assert all(report.psnr_yuv is None for report in inspection.reports)
    inspection.measure(lambda event: None)
    for read, said in zip(inspection.reports, told, strict=True):
        assert (read.index, read.pts, read.bits, read.rate_index, read.lam) == (
            said.index, said.pts, said.bits, said.rate_index, said.lam,
        )  # fmt: skip
        assert read.psnr == pytest.approx(said.psnr, abs=1e-9)
        assert read.scene_cut == said.scene_cut
        assert read.duration == pytest.approx(said.duration)
    inspection.close()


def test_the_map_adds_up_to_the_frames_bits(coded: tuple[Path, list[FrameReport]]) -> None:
    inspection = Inspection(coded[0], OPTIONS)
    bits = inspection.block_bits(3)
    assert bits is not None
    assert bits.shape == (12, 20)
    parts = coded[1][3].parts
    assert bits.sum() == pytest.approx(parts["hyper"] + parts["latent"], rel=0.02)
    assert inspection.source(3) is None
    inspection.close()


def test_table_pictures_map_facts_check_and_export_of_a_real_file(
    coded: tuple[Path, list[FrameReport]], hall: Path, tmp_path: Path
) -> None:
    path, told = coded

    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        text = await shown(pilot, "coded 0 ")
        assert "source" in text
        assert "difference ×8" in text
        mean = np.mean([report.psnr_yuv for report in told])
        assert f"{mean:.2f} dB" in text
        await pilot.press("s")
        assert "kbit▼" in read_text(pilot.app)
        largest = max(told, key=lambda report: report.bits)
        assert screen.position == largest.index
        await pilot.press("w")
        worst = min(told, key=lambda report: report.psnr_yuv or 0)
        assert screen.position == worst.index
        await shown(pilot, f"coded {worst.index} ")
        plain = read_screen(pilot.app).styles
        await pilot.press("m")
        await shown(pilot, "picture + bits")
        assert "bits/block, mean" in read_text(pilot.app)
        assert read_screen(pilot.app).styles != plain
        await pilot.press("c")
        await shown(pilot, "✔ all good ")
        await pilot.press("i")
        text = await shown(pilot, "weights")
        for word in ("320x180", "hall.mkv", "MAEVID_VERSION", "✔ all good"):
            assert word in text
        await pilot.press("escape", "e")
        await shown(pilot, "hall-frames.csv")

    drive(path, script, tmp_path, hall)
    with (tmp_path / "hall-frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["bits"]) for row in rows] == [report.bits for report in told]
    assert [float(row["psnr_y"]) for row in rows] == pytest.approx([report.psnr["y"] for report in told])
    for name in ("rd", "bitrate", "lambda", "size"):
        assert ElementTree.parse(tmp_path / f"hall-{name}.svg").getroot() is not None


def test_without_a_source_there_is_no_psnr_anywhere(
    coded: tuple[Path, list[FrameReport]], tmp_path: Path
) -> None:
    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        text = await shown(pilot, "coded 0 ")
        assert "PSNR not measured (no --source given)" in text
        assert "difference" not in text
        await pilot.press("e")
        await shown(pilot, "hall-frames.csv")

    drive(coded[0], script, tmp_path, None)
    assert "psnr" not in (tmp_path / "hall-frames.csv").read_text()
    assert not (tmp_path / "hall-rd.svg").exists()


def test_a_damaged_file_opens_and_every_bad_frame_says_so(damaged: Path, hall: Path, tmp_path: Path) -> None:
    async def script(pilot: Pilot[None], screen: InspectScreen) -> None:
        await shown(pilot, "coded 0 ")
        await pilot.press("down", "down")
        await shown(pilot, "✘ frame 2:")
        assert "PSNR not measured (the frame or its source is missing)" in read_text(pilot.app)
        await pilot.press("down")
        await shown(pilot, "coded 3 ")
        await pilot.press("c")
        text = await shown(pilot, "✘ 2 bad ")
        for number in ("2", "5"):
            row = next(line for line in text.splitlines() if line[:7].strip("▸ ") == number)
            assert "✘" in row
        await pilot.press("i")
        text = await shown(pilot, "cut short")
        assert "yes" in text
        await pilot.press("escape", "e")
        await shown(pilot, "damaged-frames.csv")

    drive(damaged, script, tmp_path, hall)
    with (tmp_path / "damaged-frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert [i for i, row in enumerate(rows) if not row["psnr_y"]] == [2, 5]
    assert [i for i, row in enumerate(rows) if not row["lam"]] == [5]


def test_what_is_wrong_with_damaged_packets_is_told_by_number(damaged: Path) -> None:
    inspection = Inspection(damaged, OPTIONS)
    assert [i for i in range(10) if inspection.check(i)] == [2, 5]
    with pytest.raises(DamagedError, match="frame 2"):
        inspection.picture(2)
    with pytest.raises(DamagedError, match="frame 5"):
        inspection.block_bits(5)
    assert inspection.facts.damaged == 1
    inspection.close()


def test_a_source_of_another_size_is_refused(coded: tuple[Path, list[FrameReport]], tmp_path: Path) -> None:
    path = tmp_path / "other.y4m"
    picture = b"FRAME\n" + bytes(64 * 48 * 3 // 2)
    path.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n" + 2 * picture)
    with pytest.raises(InputError, match="is it the source of this file"):
        Inspection(coded[0], OPTIONS, path)


def test_source_frames_are_the_same_however_they_are_reached(
    bunny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VideoReader(bunny) as reader:
        frames = list(reader)
    monkeypatch.setattr("maevid.pipeline.source_frames.FAR", 4)
    monkeypatch.setattr("maevid.pipeline.source_frames.KEPT_BYTES", 3 * 320 * 180 * 3 // 2)
    times = [*(frame.seconds for frame in frames), frames[-1].seconds + 0.04]
    source = SourceFrames(bunny, (320, 180), times.__getitem__)
    for index in (0, 3, 50, 49, 48, 20, 59, 5, 4, 58):
        frame = source(index)
        assert frame is not None
        assert frame.pts == frames[index].pts
        assert np.array_equal(frame.y, frames[index].y), index
    assert source._jump(40)
    assert source(60) is None
    assert source(12) is not None
    source.close()


def test_a_source_with_other_times_is_read_by_number(bunny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with VideoReader(bunny) as reader:
        frames = list(reader)
    monkeypatch.setattr("maevid.pipeline.source_frames.FAR", 4)
    source = SourceFrames(bunny, (320, 180), lambda i: 1000.013 + i / 25)
    for index in (30, 10):
        frame = source(index)
        assert frame is not None
        assert frame.pts == frames[index].pts
    source.close()
