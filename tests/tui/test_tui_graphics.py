"""Pictures in pixels: the question to the terminal, what is sent to it, and the cells that show it.

The terminal is a pseudo-terminal whose other end answers as kitty does, or as others do.
"""

from __future__ import annotations

import base64
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from tui_simulated import pictures
from tui_tmux import DEMO, ENVIRONMENT

from maevid.tui.graphics import MOST_CELLS, Graphics, forget_picture, placeholders, send_picture
from maevid.tui.picture import picture_rgb
from maevid.video.frame import ColorTags

QUESTION = b"\x1b[c"
KITTY = b"\x1b_Gi=31;OK\x1b\\\x1b[6;18;9t\x1b[?62;c"
WITHOUT_PICTURES = b"\x1b[?62;c"


def pictures_in(output: str) -> list[tuple[dict[str, str], np.ndarray]]:
    """Every picture sent whole: its keys, and its samples."""
    found: list[tuple[dict[str, str], np.ndarray]] = []
    keys: dict[str, str] = {}
    data = ""
    for head, piece in re.findall(r"\x1b_G([^;\x1b]*);([A-Za-z0-9+/=]*)\x1b\\", output):
        own = dict(pair.split("=", 1) for pair in head.split(","))
        if own.get("a") == "T":
            keys, data = own, ""
        elif own.get("a") == "q":
            continue
        data += piece
        if own["m"] == "0":
            samples = np.frombuffer(zlib.decompress(base64.b64decode(data)), np.uint8)
            found.append((keys, samples.reshape(int(keys["v"]), int(keys["s"]), 3)))
    return found


class Far:
    """The far end of a terminal in which the demo runs."""

    def __init__(self, path: Path, answer: bytes, **environment: str) -> None:
        self._end, near = pty.openpty()
        fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.output, self._answer, self.asked = b"", answer, False
        self._program = subprocess.Popen(
            [sys.executable, str(DEMO), "inspect", str(path)],
            stdin=near,
            stdout=near,
            stderr=near,
            env={**ENVIRONMENT, "COLORTERM": "truecolor", **environment},
            start_new_session=True,
        )
        os.close(near)

    def wait(self, text: str, seconds: float = 60.0) -> None:
        """Read until the text came; answer the first question."""
        end = time.monotonic() + seconds
        while text.encode() not in self.output:
            assert time.monotonic() < end, self.output[-2000:]
            if select.select([self._end], [], [], 0.2)[0]:
                self.output += os.read(self._end, 65536)
            if QUESTION in self.output and not self.asked:
                self.asked = True
                os.write(self._end, self._answer)

    def leave(self) -> str:
        """Press q and read to the end."""
        os.write(self._end, b"q")
        end = time.monotonic() + 60
        while self._program.poll() is None or select.select([self._end], [], [], 0)[0]:
            assert time.monotonic() < end
            try:
                if select.select([self._end], [], [], 0.1)[0]:
                    self.output += os.read(self._end, 65536)
            except OSError:
                break
        os.close(self._end)
        assert self._program.wait() == 0
        return self.output.decode()


def test_a_terminal_like_kitty_gets_pictures_in_pixels_and_is_told_to_forget_them(tmp_path: Path) -> None:
    far = Far(tmp_path / "out", KITTY, TERM="xterm-kitty")
    far.wait("\U0010eeee")
    output = far.leave()
    sent = pictures_in(output)
    assert len(sent) >= 3
    keys, samples = sent[0]
    assert keys["U"] == "1"
    assert keys["q"] == "2"
    # Cells of 9×18 pixels; the picture has no more samples than its source.
    assert samples.shape[:2] == (min(int(keys["r"]) * 18, 180), min(int(keys["c"]) * 9, 320))
    expected = picture_rgb(pictures(0)[1], ColorTags(), samples.shape[1], samples.shape[0])
    assert np.array_equal(samples, expected)
    number = int(keys["i"])
    colour = f"38;2;{number >> 16};{number >> 8 & 255};{number & 255}"
    assert re.search(rf"\x1b\[{colour}[0-9;]*m\U0010eeee", output)
    for keys, _ in sent:
        assert forget_picture(int(keys["i"])) in output


@pytest.mark.parametrize(
    ("answer", "asked", "environment"),
    [
        (WITHOUT_PICTURES, True, {"TERM": "xterm-kitty"}),
        (KITTY, False, {"TERM": "xterm-256color"}),
        (KITTY, False, {"TERM": "xterm-kitty", "MAEVID_PICTURES": "blocks"}),
    ],
)
def test_elsewhere_half_blocks_have_to_do(
    tmp_path: Path, answer: bytes, asked: bool, environment: dict[str, str]
) -> None:
    far = Far(tmp_path / "out", answer, **environment)
    far.wait("▀")
    output = far.leave()
    assert ("\x1b_Gi=31" in output) == asked
    assert "a=T" not in output
    assert "\U0010eeee" not in output


def test_a_picture_survives_the_way_in_pieces() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    text = send_picture(77, rgb, 40, 12)
    assert max(len(piece) for piece in text.split("\x1b\\")) < 4096 + 100
    ((keys, samples),) = pictures_in(text)
    assert (keys["i"], keys["c"], keys["r"]) == ("77", "40", "12")
    assert np.array_equal(samples, rgb)


def test_every_placeholder_is_one_cell_and_no_two_are_equal() -> None:
    cells = [cell for row in (0, 1, MOST_CELLS - 1) for cell in placeholders(row, MOST_CELLS)]
    assert {cell_len(cell) for cell in cells} == {1}
    assert len(set(cells)) == len(cells)
    assert placeholders(2, 2) == ["\U0010eeee\u030e\u0305", "\U0010eeee\u030e\u030d"]


def test_numbers_of_pictures_differ_and_fit_a_colour() -> None:
    graphics = Graphics()
    numbers = [graphics.number() for _ in range(1000)]
    assert len(set(numbers)) == 1000
    assert 0 < min(numbers) <= max(numbers) <= 0xFFFFFF
