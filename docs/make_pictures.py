"""Makes docs/tui.png and docs/inspect.png: both screens at 120×40 on a real encode of a clip.

Run: ``python docs/make_pictures.py CLIP [--bitrate RATE] [--frame N]``. Needs rsvg-convert, the font DejaVu Sans
Mono and Pillow. Textual's SVG export is laid out anew on a grid of whole pixels: characters that fill their cell
(blocks, braille, lines) become shapes, so that the picture does not depend on how a font draws them.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import io
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image
from textual.pilot import Pilot

from maevid.codec.interface import CodecOptions
from maevid.pipeline.compress import CompressOptions, CompressResult, compress
from maevid.pipeline.events import Control
from maevid.pipeline.inspection import Inspection
from maevid.rate import RateRequest, parse_rate
from maevid.tui.app import MaevidApp
from maevid.tui.file_session import FileSession
from maevid.tui.inspect import InspectScreen
from maevid.tui.job import JobSession
from maevid.tui.live import LiveScreen
from maevid.tui.mailbox import Mailbox
from maevid.tui.session import Publisher

COLUMNS, ROWS = 120, 40
CELL_WIDTH, CELL_HEIGHT = 12, 24
_FROM_WIDTH, _FROM_HEIGHT = 12.2, 24.4
_FONT_SIZE = CELL_WIDTH / 0.60205  # DejaVu Sans Mono: advance over size
HERE = Path(__file__).parent

# Which arms (left, right, up, down) a line character has, and how thick they are.
_ARMS = {
    "─": ("lr", 1), "━": ("lr", 3), "│": ("ud", 1), "┤": ("lud", 1), "┬": ("lrd", 1), "└": ("ru", 1),
}  # fmt: skip
_EIGHTHS = "▁▂▃▄▅▆▇█"


def shapes(char: str, x: int, y: int) -> Iterator[str]:
    """SVG shapes for a character that fills its cell; nothing for any other."""
    width, height = CELL_WIDTH, CELL_HEIGHT
    if "\u2800" <= char <= "\u28ff":
        for bit, (column, row) in enumerate(((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))):
            if (ord(char) - 0x2800) >> bit & 1:
                yield f'<circle cx="{x + 3 + 6 * column}" cy="{y + 3 + 6 * row}" r="1.7"/>'
    elif char == "▀":
        yield f'<rect x="{x}" y="{y}" width="{width}" height="{height // 2}"/>'
    elif char in _EIGHTHS:
        tall = 3 * (_EIGHTHS.index(char) + 1)
        yield f'<rect x="{x}" y="{y + height - tall}" width="{width}" height="{tall}"/>'
    elif char == "╌":
        for part in (0, 1):
            yield f'<rect x="{x + 6 * part + 1}" y="{y + height // 2}" width="4" height="1"/>'
    elif char == "┊":
        for part in range(4):
            yield f'<rect x="{x + width // 2}" y="{y + 6 * part + 1}" width="1" height="4"/>'
    elif char in _ARMS:
        arms, thick = _ARMS[char]
        middle, centre, half = x + width // 2, y + height // 2, thick // 2
        if "l" in arms or "r" in arms:
            left, right = (x if "l" in arms else middle), (x + width if "r" in arms else middle)
            yield f'<rect x="{left}" y="{centre - half}" width="{right - left}" height="{thick}"/>'
        if "u" in arms or "d" in arms:
            top, bottom = (y if "u" in arms else centre), (y + height if "d" in arms else centre)
            yield f'<rect x="{middle - half}" y="{top}" width="{thick}" height="{bottom - top}"/>'


def on_grid(svg: str) -> str:
    """Textual's export as an SVG on whole pixels, without the window around it."""
    rules = dict(re.findall(r"\.terminal-\d+-(r\d+) \{ ([^}]*) \}", svg))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * CELL_WIDTH}" height="{ROWS * CELL_HEIGHT}" '
        f'font-family="DejaVu Sans Mono" font-size="{_FONT_SIZE:.3f}">'
    ]
    rect = r'<rect fill="(#[0-9a-f]{6})" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="[\d.]+" shape'
    for fill, x, y, width in re.findall(rect, svg):
        column, count = round(float(x) / _FROM_WIDTH), round(float(width) / _FROM_WIDTH)
        row = round((float(y) - 1.5) / _FROM_HEIGHT)
        out.append(
            f'<rect fill="{fill}" x="{column * CELL_WIDTH}" y="{row * CELL_HEIGHT}" '
            f'width="{count * CELL_WIDTH}" height="{CELL_HEIGHT}"/>'
        )
    text = r'<text class="terminal-\d+-(r\d+)" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>'
    for rule, x, y, content in re.findall(text, svg):
        column, row = round(float(x) / _FROM_WIDTH), round((float(y) - 20) / _FROM_HEIGHT)
        style = rules[rule]
        color = re.search(r"fill: (#[0-9a-f]{6})", style)
        marks = ' font-weight="bold"' * ("bold" in style) + ' font-style="italic"' * ("italic" in style)
        out.append(f'<g fill="{color[1] if color else "#ffffff"}"{marks}>')
        out += _characters(html.unescape(content).replace("\u00a0", " ").rstrip("\n"), column, row)
        out.append("</g>")
    return "\n".join([*out, "</svg>"])


def _characters(text: str, column: int, row: int) -> Iterator[str]:
    for piece in re.finditer(r"[!-~]+|[^ ]", text):
        x, y = (column + piece.start()) * CELL_WIDTH, row * CELL_HEIGHT
        drawn = list(shapes(piece[0], x, y)) if len(piece[0]) == 1 else []
        yield from drawn or (f'<text x="{x}" y="{y + 18}">{escape(piece[0])}</text>',)


def save(app: MaevidApp, path: Path) -> None:
    """The screen as a PNG."""
    svg = on_grid(app.export_screenshot())
    png = subprocess.run(["rsvg-convert"], input=svg.encode(), capture_output=True, check=True).stdout
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.save(path, optimize=True)
    print(f"{path}: {picture.width}×{picture.height}, {path.stat().st_size} bytes")


async def live(clip: str, out: str, bitrate: float, frame: int) -> None:
    """Encode until ``frame`` is coded, take the picture, and finish the file there."""

    def work(publisher: Publisher, control: Control) -> CompressResult:
        request = RateRequest(bitrate=bitrate, maxrate=1.5 * bitrate)
        job = CompressOptions(clip, out, request, codec_options=CodecOptions(), measure=True)
        return compress(job, publisher.publish, control, publisher.wants_preview)

    session, mailbox = JobSession(work), Mailbox()
    screen = LiveScreen(session, mailbox)
    app = MaevidApp(screen)
    session.start(mailbox)
    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        while (last := mailbox.snapshot().last) is None or last.index < frame:
            await asyncio.sleep(0.5)
            screen.look()
            if session.wait(0):
                session.result()
                raise SystemExit(f"the clip has no frame {frame}")
        await pilot.pause()
        save(app, HERE / "tui.png")
        session.finish_early()
    session.wait()
    session.result()


async def inspected(clip: str, file: str) -> None:
    """The finished file at its worst frame, with its map of bits."""
    inspection = Inspection(Path(file), CodecOptions(), Path(clip))
    inspection.measure(lambda event: None)
    screen = InspectScreen(FileSession(inspection), Path.cwd())
    app = MaevidApp(screen)

    async def shown(pilot: Pilot[None]) -> None:
        for _ in range(200):
            await asyncio.sleep(0.05)
            if screen._fetched.position == screen.position:
                break
        await pilot.pause()

    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        await shown(pilot)
        await pilot.press("w")
        await shown(pilot)
        await pilot.press("m", "c")
        await asyncio.sleep(5)
        await shown(pilot)
        save(app, HERE / "inspect.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--bitrate", default="700k")
    parser.add_argument("--frame", type=int, default=80, help="when the live picture is taken")
    options = parser.parse_args()
    clip = options.clip.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path(clip.name).symlink_to(clip)
        out = f"{clip.stem}.mkv"
        asyncio.run(live(clip.name, out, parse_rate(options.bitrate), options.frame))
        asyncio.run(inspected(clip.name, out))
        os.chdir(HERE)


if __name__ == "__main__":
    main()
