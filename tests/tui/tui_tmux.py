"""A real terminal for tests: a shell under tmux, whose keys are sent and whose screen is read."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DEMO = HERE / "tui_demo.py"
needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed (apt-get install tmux)"
)
_SIZE = ("LINES", "COLUMNS")
"""Readline, which pytest's workers import, exports the size of their terminal: an app would take it for its own."""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _SIZE} | {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(HERE.parents[1]),
    "LC_ALL": "C.UTF-8",
}


class Terminal:
    """A shell in a tmux of its own, 80×24."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "tmux.sock")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env PS1='$ ' sh")
        self.wait("$")

    def tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", self.socket, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout

    def child(self) -> int:
        """Process id of what the shell runs."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        found = subprocess.run(["pgrep", "-P", shell], check=True, capture_output=True, text=True).stdout
        return int(found.split()[0])

    def close(self) -> None:
        """End tmux, and with it the terminal."""
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True)

    def type(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def run(self, *words: object, after: str = "") -> None:
        """Start a Python program and have the shell tell its exit code; ``after`` may redirect its output."""
        line = f"{shlex.join([sys.executable, *map(str, words)])} {after}"
        self.type(f"clear; {line}; echo ended=$?", "Enter")

    def demo(self, *words: object) -> None:
        self.run(DEMO, *words)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def wait(self, text: str, seconds: float = 30.0) -> str:
        end = time.monotonic() + seconds
        while text not in (screen := self.screen()):
            assert time.monotonic() < end, f"{text!r} is not in\n{screen}"
            time.sleep(0.05)
        return screen

    def wait_wrapped(self, text: str, seconds: float = 30.0) -> str:
        """As :meth:`wait`, for what may go over the end of a line, where a space is lost."""
        end, wanted = time.monotonic() + seconds, "".join(text.split())
        while wanted not in "".join((screen := self.screen()).split()):
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
