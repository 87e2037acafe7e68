"""Text about one frame of a finished file, below its picture."""

from __future__ import annotations

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

import numpy as np  # isort: skip

_LEGEND = 16


class FrameDetail(Widget):
    """Time, λ, bits by part, PSNR by plane, the scale of the block map, what the check found."""

    DEFAULT_CSS = """
    FrameDetail { height: 5; padding: 0 1; }
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
    """Four or five short lines, most important first."""
    label = "$plot-label"
    cut = ("  ▾ cut", "$plot-cut") if report.scene_cut else ""
    lines = [
        Content.assemble(
            (f"frame {report.index}", "bold $heading"),
            f"  {timestamp(report.seconds)}  ",
            ("λ ", label),
            f"{significant(report.lam)}  ",
            ("index ", label),
            str(report.rate_index),
            cut,
        )
    ]
    if wrong:
        lines.append(Content.assemble((f"✘ {wrong}", "bold $error")))
    whole = max(report.bits, 1)
    parts = [(f"  {name} ", label) for name in report.parts]
    sizes = [f"{100 * part / whole:.1f} %" for part in report.parts.values()]
    lines.append(
        Content.assemble(
            f"{report.bits / 1000:.2f} kbit",
            *(piece for pair in zip(parts, sizes, strict=True) for piece in pair),
        )
    )
    if report.psnr:
        planes = [item for name in report.psnr for item in ((f"{name.upper()} ", label), f"{report.psnr[name]:.2f} ")]
        lines.append(
            Content.assemble(("PSNR ", label), *planes, ("YUV ", label), f"{report.psnr_yuv:.2f} dB")
        )
    else:
        lines.append(Content.assemble(("PSNR not measured (give --source)", label)))
    if bits is not None:
        lines.append(legend(bits))
    return Content("\n").join(lines)


def legend(bits: FloatArray) -> Content:
    """The colours of the block map with the bits that they stand for."""
    text = Text("0 ")
    for rgb in heat(np.linspace(0, 1, _LEGEND)).astype(int).tolist():
        text.append("█", Style(color=Color.from_rgb(*rgb)))
    row, column = np.unravel_index(int(np.argmax(bits)), bits.shape)
    text.append(f" {bits.max():.0f} bits/block  mean {bits.mean():.1f}  most at {16 * column},{16 * row}")
    return Content.from_rich_text(text)


def check_text(checked: Checked, total: int) -> str:
    """The result of the check in a few words; empty before it began."""
    if not checked.done:
        return ""
    state = "" if checked.done == total else f" of {checked.done}/{total}"
    return f"✘ {len(checked.bad)} bad{state}" if checked.bad else f"✔ all good{state}"
