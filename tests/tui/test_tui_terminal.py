"""The app in a real terminal, under tmux: keys in, screen out, the terminal as it was. And without one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tui_tmux import DEMO, ENVIRONMENT, Terminal, needs_tmux

RECORDING = Path(__file__).parents[1] / "assets" / "tui-recording.jsonl.gz"


@needs_tmux
def test_an_encode_is_paused_steered_and_finished_by_keys(terminal: Terminal, tmp_path: Path) -> None:
    terminal.demo("live", tmp_path / "out", "3000")
    screen = terminal.wait("encode pass 2/2")
    assert "p pause" in screen
    terminal.wait("◆")
    terminal.type("p")
    terminal.wait("encode pass paused")
    terminal.type("+")
    terminal.type("p")
    terminal.wait("2.200")
    terminal.type("?")
    terminal.wait("raise, lower the target")
    terminal.type("q")
    terminal.wait("bitrate Mb/s")
    terminal.type("v", "v")
    assert "▀" in terminal.wait("difference ×8")
    terminal.type("f")
    terminal.wait("✔ done")
    terminal.type("q")
    terminal.wait("ended=0")
    outcome, written, seen, *log = (tmp_path / "out").read_text().split()
    assert outcome == "Phase.DONE"
    assert 0 < int(written) == int(seen) < 3000
    assert log == ["pause", "target", "2200000", "resume", "finish"]
    terminal.is_as_before()


@needs_tmux
def test_abort_asks_and_leaves_the_terminal_as_it_was(terminal: Terminal, tmp_path: Path) -> None:
    terminal.demo("live", tmp_path / "out")
    terminal.wait("encode pass 2/2")
    terminal.type("q")
    terminal.wait("Abort the encode?")
    terminal.type("y")
    terminal.wait("ended=0")
    assert (tmp_path / "out").read_text().split()[0] == "Phase.ABORTED"
    terminal.is_as_before()


@needs_tmux
def test_a_crash_of_the_display_is_one_line_and_the_encode_ends_well(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.demo("crash", tmp_path / "out", "150")
    screen = terminal.wait("ended=0")
    assert (
        "the display failed (ZeroDivisionError: a defect in a widget); the encode goes on"
        in screen.replace("\n", "")
    )
    assert "Traceback" not in screen
    assert (tmp_path / "out").read_text().split() == ["Phase.DONE", "150", "150"]
    terminal.is_as_before()


@needs_tmux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_aborts_and_leaves_the_terminal_as_it_was(
    terminal: Terminal, tmp_path: Path, number: signal.Signals
) -> None:
    terminal.demo("live", tmp_path / "out")
    terminal.wait("encode pass 2/2")
    os.kill(terminal.child(), number)
    terminal.wait("ended=0")
    assert (tmp_path / "out").read_text().split()[0] == "Phase.ABORTED"
    terminal.is_as_before()


@needs_tmux
def test_a_terminal_that_is_closed_takes_the_process_along(terminal: Terminal, tmp_path: Path) -> None:
    terminal.demo("live", tmp_path / "out")
    terminal.wait("encode pass 2/2")
    process = Path(f"/proc/{terminal.child()}")
    terminal.close()
    end = time.monotonic() + 20
    while process.exists():
        assert time.monotonic() < end
        time.sleep(0.1)


@needs_tmux
def test_a_recording_is_inspected_and_left_by_q(terminal: Terminal) -> None:
    terminal.demo("recording", RECORDING)
    terminal.wait("numbers only, no pictures")
    terminal.type("w")
    terminal.wait("▸   290")
    terminal.type("q")
    terminal.wait("ended=0")
    terminal.is_as_before()


@pytest.mark.parametrize("mode", ["live", "inspect"])
def test_without_a_terminal_there_is_one_clear_line_and_nothing_starts(mode: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO), mode, str(tmp_path / "out")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "needs a terminal" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_dumb_terminal_is_refused_too(tmp_path: Path) -> None:
    code = "import pty,sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, str(DEMO), "live", str(tmp_path / "out")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**ENVIRONMENT, "TERM": "dumb"}, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "set TERM" in done.stdout


def test_the_boundary_loads_no_textual_no_torch_no_av() -> None:
    code = (
        "import sys, maevid, maevid.report_io, maevid.tui, maevid.tui.session, maevid.tui.mailbox, maevid.tui.job,"
        " maevid.pipeline.preview, maevid.tui.replay, maevid.tui.export;"
        "print([m for m in ('textual', 'torch', 'av', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
