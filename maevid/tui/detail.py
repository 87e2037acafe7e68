"""Text about one frame of a finished file, below its picture."""

from __future__ import annotations

import numpy as np
from rich.color import Color
from rich.style import Style
from rich.text import Text
from textual.content import Content
from textual.widget import Widget

from maevid.report import FrameReport
from maevid.tui.fetch import Checked
from maevid.tui.picture import heat
from maevid.tui.session import FloatArray
from maevid.tui.units import significant, timestamp

_LEGEND = 12


class FrameDetail(Widget):
    """Time, λ, bits by part, PSNR by plane, the scale of the block map, what the check found."""

    DEFAULT_CSS = """
    FrameDetail { height: 5; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._content = Content("")

    def show(self, report: FrameReport, bits: FloatArray | None, wrong: str) -> None:
        """Take a frame; ``bits`` is its block map when that is shown, ``wrong`` what the check found in it."""
        self._content = detail_content(report, bits, wrong)
        self.refresh()

    def render(self) -> Content:
        """The lines."""
        return self._content


def detail_content(report: FrameReport, bits: FloatArray | None, wrong: str) -> Content:
    """Three to five short lines, most important first."""
    label = "$plot-label"
    lines = [
        Content.assemble(
            (f"frame {report.index}", "bold $heading"),
            f"  {timestamp(report.seconds)}  {report.bits / 1000:.1f} kbit  ",
            ("λ ", label),
            significant(report.lam),
            ("  index ", label),
            str(report.rate_index),
            ("  ▾ cut", "$plot-cut") if report.scene_cut else "",
        )
    ]
    if wrong:
        lines.append(Content.assemble((f"✘ {wrong}", "bold $error")))
    lines.append(
        _pairs({name: 100 * part / max(report.bits, 1) for name, part in report.parts.items()}, 1, " %  ")
    )
    if report.psnr_yuv is not None:
        planes = {name.upper(): db for name, db in report.psnr.items()}
        psnr = _pairs({**planes, "YUV": report.psnr_yuv}, 2, " ")
        lines.append(Content.assemble(("PSNR ", label), psnr, "dB"))
    else:
        lines.append(Content.assemble(("PSNR not measured (no --source given)", label)))
    if bits is not None:
        lines.append(legend(bits))
    return Content("\n").join(lines)


def _pairs(values: dict[str, float], places: int, after: str) -> Content:
    """Names and numbers on one line."""
    pieces: list[str | tuple[str, str]] = []
    for name, value in values.items():
        pieces += [(f"{name} ", "$plot-label"), f"{value:.{places}f}{after}"]
    return Content.assemble(*pieces)


def legend(bits: FloatArray) -> Content:
    """The colours of the block map with the bits that they stand for."""
    text = Text("0 ")
    for rgb in heat(np.linspace(0, 1, _LEGEND)).astype(int).tolist():
        text.append("█", Style(color=Color.from_rgb(*rgb)))
    row, column = np.unravel_index(int(np.argmax(bits)), bits.shape)
    text.append(f" {bits.max():.0f} bits/block, mean {bits.mean():.0f}, most at {16 * column},{16 * row}")
    return Content.from_rich_text(text)


def check_text(checked: Checked, total: int) -> str:
    """The result of the check in a few words; empty before it began."""
    if not checked.done:
        return ""
    state = "" if checked.done == total else f" of {checked.done}/{total}"
    return f"✘ {len(checked.bad)} bad{state}" if checked.bad else f"✔ all good{state}"
