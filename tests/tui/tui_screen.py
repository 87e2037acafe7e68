"""What is on the screen, read from Textual's public SVG export: a grid of characters with their styles."""

from __future__ import annotations

import html
import os
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import pytest
from textual.app import App

SNAPSHOTS = Path(__file__).parent / "snapshots"
_CELL, _LINE = 12.2, 24.4
_SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Screen:
    """Lines of text, and for each cell the name of its style: colour, and ``b``/``i``/``u`` marks."""

    lines: list[str]
    styles: list[list[str]]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def described(self) -> str:
        """Text, then the runs of equal style of each line: no ids, no coordinates."""
        runs = [" ".join(f"{len(list(run))}{style}" for style, run in groupby(row)) for row in self.styles]
        return "\n".join([*(line.rstrip() for line in self.lines), "", *runs]) + "\n"


def read_screen(app: App[object]) -> Screen:
    """The whole screen of an app that runs."""
    width, height = app.size
    svg = app.export_screenshot()
    rules = dict(re.findall(r"\.terminal-\d+-(r\d+) \{ ([^}]*) \}", svg))
    names = {name: _style(rule) for name, rule in rules.items()}
    grid = [[" "] * width for _ in range(height)]
    styles = [["-"] * width for _ in range(height)]
    for text in ElementTree.fromstring(svg).iter(f"{_SVG}text"):
        kind = re.fullmatch(r"terminal-\d+-(r\d+)", text.get("class", ""))
        if kind is None:
            continue
        column = round(float(text.get("x", "0")) / _CELL)
        row = round((float(text.get("y", "0")) - 20) / _LINE)
        for offset, char in enumerate(html.unescape(text.text or "").rstrip("\n").replace("\u00a0", " ")):
            grid[row][column + offset] = char
            styles[row][column + offset] = names[kind[1]]
    return Screen(["".join(row) for row in grid], styles)


def _style(rule: str) -> str:
    color = re.search(r"fill: (#[0-9a-f]{6})", rule)
    marks = (
        ("b" if "bold" in rule else "")
        + ("i" if "italic" in rule else "")
        + ("u" if "underline" in rule else "")
    )
    return (color[1] if color else "") + marks


def compare(app: App[object], name: str) -> None:
    """Compare with the kept snapshot; ``MAEVID_UPDATE_SNAPSHOTS=1`` writes it anew instead."""
    path = SNAPSHOTS / f"{name}.txt"
    now = read_screen(app).described()
    if os.environ.get("MAEVID_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")
        return
    if not path.exists():
        pytest.fail(f"no snapshot {path.name}: run with MAEVID_UPDATE_SNAPSHOTS=1 and look at it")
    kept = path.read_text(encoding="utf-8")
    assert now.splitlines() == kept.splitlines()
