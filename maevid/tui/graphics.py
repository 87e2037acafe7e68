"""Pictures in pixels, where the terminal draws kitty's graphics protocol: it is asked before the display starts.

A picture is sent once, and cells of a placeholder character, which are text like any other, show it: their colour is
its number, and combining marks name their row and column (https://sw.kovidgoyal.net/kitty/graphics-protocol/).
"""

from __future__ import annotations

import base64
import itertools
import os
import re
import select
import sys
import termios
import time
import tty
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from maevid.tui.picture import Rgb

CHOICE = "MAEVID_PICTURES"
"""Environment variable: ``blocks`` draws pictures from half-block cells everywhere."""
_KNOWN = ("kitty", "ghostty")
"""Terminals, by TERM, that know placeholders. No other is asked: an answer that comes late would count as keys."""
_PATIENCE = 1.0
_ASK = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"
"""Is a picture welcome; how large is a cell; and what every terminal answers, which ends the wait."""
_END = re.compile(rb"\x1b\[\?[0-9;]*c")
_CELL = re.compile(rb"\x1b\[6;(\d+);(\d+)t")
_CHUNK = 4096
_PLACEHOLDER = "\U0010eeee"
_MARKS = (
    "0305 030D-030E 0310 0312 033D-033F 0346 034A-034C 0350-0352 0357 035B 0363-036F 0483-0487 0592-0595 0597-0599 "
    "059C-05A1 05A8-05A9 05AB-05AC 05AF 05C4 0610-0617 0657-065B 065D-065E 06D6-06DC 06DF-06E2 06E4 06E7-06E8 "
    "06EB-06EC 0730 0732-0733 0735-0736 073A 073D 073F-0741 0743 0745 0747 0749-074A 07EB-07F1 07F3 0816-0819 "
    "081B-0823 0825-0827 0829-082D 0951 0953-0954 0F82-0F83 0F86-0F87 135D-135F 17DD 193A 1A17 1A75-1A7C 1B6B "
    "1B6D-1B73 1CD0-1CD2 1CDA-1CDB 1CE0 1DC0-1DC1 1DC3-1DC9 1DCB-1DCC 1DD1-1DE6 1DFE 20D0-20D1 20D4-20D7 20DB-20DC "
    "20E1 20E7 20E9 20F0 2CEF-2CF1 2DE0-2DFF"
)
"""The protocol's marks for the numbers from 0 on, code points in hexadecimal digits."""


def _marks() -> Iterator[str]:
    for part in _MARKS.split():
        first, _, last = part.partition("-")
        yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))


MARKS = tuple(_marks())
MOST_CELLS = len(MARKS)
"""Rows and columns that a picture can have."""


@dataclass
class Graphics:
    """A terminal that draws pictures. ``cell`` is (width, height) of a cell in pixels."""

    cell: tuple[int, int] = (10, 20)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(os.getpid() % 0x7FFF * 0x100 + 1))

    def number(self) -> int:
        """A number for a picture, new each time, 1..0xFFFFFF."""
        return next(self._numbers) % 0xFFFFFF or 1


def ask_terminal() -> Graphics | None:
    """What the terminal at standard input and error can; None where half-block cells have to do.

    Waits a second at most, and only for terminals that are known to answer; keys typed meanwhile are lost.
    """
    term = os.environ.get("TERM", "")
    if os.environ.get(CHOICE) == "blocks" or not any(name in term for name in _KNOWN):
        return None
    keys, screen = sys.__stdin__, sys.__stderr__
    if keys is None or screen is None or not (keys.isatty() and screen.isatty()):
        return None
    before = termios.tcgetattr(keys)
    try:
        tty.setcbreak(keys, termios.TCSANOW)
        screen.write(_ASK)
        screen.flush()
        answer = _answer(keys.fileno())
    finally:
        termios.tcsetattr(keys, termios.TCSAFLUSH, before)
    if b"_Gi=31;OK" not in answer:
        return None
    cell = _CELL.search(answer)
    return Graphics() if cell is None else Graphics((max(int(cell[2]), 1), max(int(cell[1]), 1)))


def _answer(descriptor: int) -> bytes:
    answer, end = b"", time.monotonic() + _PATIENCE
    while not _END.search(answer) and (left := end - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            piece = os.read(descriptor, 1024)
            if not piece:
                break
            answer += piece
    return answer


def send_picture(number: int, rgb: Rgb, columns: int, rows: int) -> str:
    """The sequences that give the terminal a picture (height, width, 3), to be shown in so many cells."""
    height, width = rgb.shape[:2]
    data = base64.b64encode(zlib.compress(rgb.tobytes(), 1)).decode("ascii")
    head = f"a=T,U=1,i={number},f=24,o=z,s={width},v={height},c={columns},r={rows},q=2,"
    pieces = []
    for start in range(0, len(data), _CHUNK):
        more = int(start + _CHUNK < len(data))
        pieces.append(f"\x1b_G{head}m={more};{data[start : start + _CHUNK]}\x1b\\")
        head = ""
    return "".join(pieces)


def forget_picture(number: int) -> str:
    """The sequence that frees a picture."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\"


def placeholders(row: int, columns: int) -> list[str]:
    """The cells of one row of a picture; their foreground colour has to be its number."""
    # Each cell names both: a dialog may lie over its neighbours.
    return [f"{_PLACEHOLDER}{MARKS[row]}{MARKS[column]}" for column in range(columns)]
