"""The shipped commands in a real terminal: the real encoder on a real clip, steered by keys, its screen read."""

from __future__ import annotations

import re
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from tui_tmux import Terminal, needs_tmux

from maevid.report_io import read_recording
from maevid.stream.reader import StreamReader

FRAMES = 300


@pytest.fixture
def long_clip(bunny: Path, tmp_path: Path) -> Path:
    """The bunny five times: long enough to be caught at work."""
    path = tmp_path / "long.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25, width=320, height=180)
        for turn in range(5):
            with av.open(str(bunny)) as source:
                for number, frame in enumerate(source.decode(video=0)):
                    frame.pts, frame.time_base = turn * FRAMES // 5 + number, Fraction(1, 25)
                    out.mux(video.encode(frame.reformat(format="yuv420p")))
        out.mux(video.encode(None))
    return path


def frame_number(terminal: Terminal) -> int:
    """From the progress line, once it is painted whole."""
    end = time.monotonic() + 10
    while (found := re.search(rf"frame (\d+)/{FRAMES} ", terminal.screen())) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    return int(found[1])


@needs_tmux
def test_a_real_encode_is_paused_steered_finished_verified_and_inspected(
    terminal: Terminal, long_clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mkv"
    terminal.run("-m", "maevid", "compress", long_clip, out, "-b", "300k", "--maxrate", "900k", "--tui")
    terminal.wait("encode pass 2/2", 60)
    terminal.type("p")
    terminal.wait("encode pass paused")
    terminal.wait("p go on")
    resting = frame_number(terminal)
    terminal.type("+", "+")
    terminal.wait("target 363 kb/s")
    assert frame_number(terminal) == resting
    terminal.type("-", "p", "f")
    terminal.wait("✔ done")
    for text in ("330.0", "RATE", "LAMBDA", "PSNR dB", "BUFFER", "STAGES", "bitrate kb/s", "rate-distortion"):
        terminal.wait(text)
    terminal.type("v", "v")
    assert "▀" in terminal.wait("difference ×8")
    terminal.type("q")
    screen = terminal.wait("ended=0")
    assert "PSNR-Y" in screen
    with StreamReader(out) as reader:
        frames = len(reader)
    assert 0 < frames < FRAMES
    assert f"{frames} frames" in screen.replace("\n", "")
    terminal.run("-m", "maevid", "verify", out)
    terminal.wait_wrapped(f"all {frames} frames are good")
    terminal.wait("ended=0")
    terminal.is_as_before()

    terminal.run("-m", "maevid", "inspect", out, "--source", long_clip, "--export", tmp_path)
    terminal.wait("coded 0 ", 60)
    terminal.wait_wrapped(f"{frames} frames")
    terminal.wait("▀")
    terminal.type("w", "m")
    terminal.wait("bits/block")
    terminal.type("c")
    terminal.wait("✔ all good")
    terminal.type("e")
    terminal.wait("out-frames.csv")
    terminal.type("q")
    terminal.wait("ended=0")
    assert (tmp_path / "out-frames.csv").read_text().count("\n") == frames + 1
    terminal.is_as_before()


@needs_tmux
def test_a_real_encode_that_is_aborted_leaves_nothing(
    terminal: Terminal, bunny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "kept.mkv"
    out.write_bytes(b"what was here before")
    terminal.run("-m", "maevid", "compress", bunny, out, "--quality", "60", "--tui", "--json")
    assert "> FILE" in terminal.wait("ended=2")
    told = tmp_path / "told.jsonl"
    terminal.tmux("resize-window", "-x", "100", "-y", "30")
    terminal.run(
        "-m", "maevid", "compress", bunny, out, "--quality", "60", "--tui", "--json", after=f"> {told}"
    )
    end = time.monotonic() + 60
    while not (told.exists() and '"frame"' in told.read_text()):
        assert time.monotonic() < end, terminal.screen()
        time.sleep(0.02)
    terminal.type("p")
    terminal.wait("encode pass paused")
    # The whole terminal is used, with standard output in a file too. (What "p" does flips a moment after the pause.)
    assert "+ raise" in terminal.screen().splitlines()[29]
    terminal.type("q")
    terminal.wait("Abort the encode?")
    terminal.type("y")
    assert "Traceback" not in terminal.wait("ended=130")
    assert out.read_bytes() == b"what was here before"
    assert {path.name for path in tmp_path.iterdir()} == {"kept.mkv", "told.jsonl", "tmux.sock"}
    assert [report.index for report in read_recording(told).reports][:1] == [0]
    terminal.is_as_before()


@needs_tmux
def test_local_workers_start_under_the_terminal_ui(terminal: Terminal, bunny: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask distributed is not installed")
    out = tmp_path / "out.mkv"
    terminal.run("-m", "maevid", "compress", bunny, out, "--quality", "60", "--cluster", "local", "--tui")
    terminal.wait("✔ done", 120)
    terminal.type("q")
    terminal.wait("ended=0")
    terminal.wait_wrapped("60 frames")
    terminal.is_as_before()
