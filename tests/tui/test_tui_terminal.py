"""The app in a real terminal, under tmux: keys in, screen out, the terminal as it was. And without one."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DEMO = HERE / "tui_demo.py"
RECORDING = HERE.parent / "assets" / "tui-recording.jsonl.gz"
needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed (apt-get install tmux)"
)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1]), "LC_ALL": "C.UTF-8"}


class Terminal:
    """A shell in a tmux of its own, 80×24."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "tmux.sock")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env PS1='$ ' sh")
        self.wait("$")

    def tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", self.socket, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout

    def type(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def run(self, mode: str, path: Path, *more: str) -> None:
        words = [sys.executable, str(DEMO), mode, str(path), *more]
        self.type(f"{shlex.join(words)}; echo ended=$?", "Enter")

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def wait(self, text: str, seconds: float = 30.0) -> str:
        end = time.monotonic() + seconds
        while text not in (screen := self.screen()):
            assert time.monotonic() < end, f"{text!r} is not in\n{screen}"
            time.sleep(0.05)
        return screen

    def is_as_before(self) -> None:
        """The shell echoes and answers, the cursor shows, nothing of the app is left."""
        self.type("clear; stty -a | grep -o ' -*echo ' ; echo all is well", "Enter")
        screen = self.wait("all is well\n")
        assert " echo" in screen
        assert "-echo " not in screen.replace("grep -o ' -*echo '", "")
        assert self.tmux(
            "display-message", "-p", "#{cursor_flag} #{alternate_on} #{mouse_any_flag}"
        ).split() == ["1", "0", "0"]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    session = Terminal(tmp_path)
    yield session
    session.tmux("kill-server")


@needs_tmux
def test_an_encode_is_paused_steered_and_finished_by_keys(terminal: Terminal, tmp_path: Path) -> None:
    terminal.run("live", tmp_path / "out", "3000")
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
    terminal.run("live", tmp_path / "out")
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
    terminal.run("crash", tmp_path / "out", "150")
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
    terminal.run("live", tmp_path / "out")
    terminal.wait("encode pass 2/2")
    shell = terminal.tmux("display-message", "-p", "#{pane_pid}").strip()
    child = subprocess.run(["pgrep", "-P", shell], check=True, capture_output=True, text=True).stdout.split()[
        0
    ]
    os.kill(int(child), number)
    terminal.wait("ended=0")
    assert (tmp_path / "out").read_text().split()[0] == "Phase.ABORTED"
    terminal.is_as_before()


@needs_tmux
def test_a_recording_is_inspected_and_left_by_q(terminal: Terminal) -> None:
    terminal.run("recording", RECORDING)
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
