"""The text widgets of the live screen: title line, progress line, numbers panel."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from maevid.pipeline.events import Phase
from maevid.tui.mailbox import Snapshot
from maevid.tui.numbers import WIDTH, Row, eta, number_rows
from maevid.tui.units import NONE, clock

_SIGNS = {
    Phase.OPENING: ("○", "$text-muted"),
    Phase.ANALYSIS: ("●", "$primary"),
    Phase.ENCODE: ("●", "$primary"),
    Phase.DONE: ("✔", "$success"),
    Phase.FAILED: ("✘", "$error"),
    Phase.ABORTED: ("✘", "$warning"),
}


def joined(words: Sequence[str], room: int) -> str:
    """Words with dots between; the first ones go where there is no room for all."""
    for first in range(len(words)):
        text = " · ".join(words[first:])
        if len(text) <= room:
            return text
    return ""


def spread(left: Content, right: Content, width: int) -> Content:
    """Left and right on one line; the right part goes when there is no room for both."""
    space = width - left.cell_length - right.cell_length
    if space < 1:
        return left.truncate(max(width, 1), ellipsis=True)
    return Content.assemble(left, " " * space, right)


class TitleLine(Widget):
    """Program and file on the left, picture size, codec and device on the right."""

    DEFAULT_CSS = """
    TitleLine { height: 1; width: 1fr; background: $panel; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left = Content.assemble((" maevid ", "bold $primary"))
        self._right: Sequence[str] = ()

    def show(self, words: Sequence[str], right: Sequence[str]) -> None:
        """``words`` follow the program's name, the first in bold; of ``right`` the last are the most important."""
        parts = [(words[0], "bold"), *((f" {word}", "$text-muted") for word in words[1:])] if words else []
        self._left = Content.assemble(("maevid  ", "bold $primary"), *parts)
        self._right = right
        self.refresh()

    def render(self) -> Content:
        """The line."""
        width = self.size.width
        right = joined(self._right, width - self._left.cell_length - 2)
        return spread(self._left, Content.assemble((right, "$text-muted")), width)


class ProgressLine(Widget):
    """Phase and pass, frame n of N, a bar, per cent and the time left; the error's line when it failed."""

    DEFAULT_CSS = """
    ProgressLine { height: 1; width: 1fr; padding: 0 1; background: $surface; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Take the present state."""
        self._snapshot = snapshot
        self.refresh()

    def render(self) -> Content:
        """The line."""
        snapshot = self._snapshot
        return Content("") if snapshot is None else progress_content(snapshot, self.size.width)


def progress_content(s: Snapshot, width: int) -> Content:
    """The progress line at ``width`` cells."""
    sign, style = _SIGNS[s.phase]
    name = s.phase.value
    if s.paused:
        sign, style, name = "‖", "$warning", f"{name} paused"
    total = s.totals.frames if s.totals is not None else 0
    passes = f" {s.step}/{s.steps}" if s.steps > 1 and not s.phase.final else ""
    left = Content.assemble((f"{sign} ", f"bold {style}"), (f"{name}{passes}", f"bold {style}"))
    if s.phase.final:
        frames = f"{s.summary.frames} frames in {clock(s.elapsed)}"
        note = s.detail or ""
        if s.phase is Phase.DONE:
            note = f"{frames}  {note}".rstrip()
        return spread(
            Content.assemble(left, "  ", note), Content.assemble(("q leaves", "$text-muted")), width
        )
    counted = f"frame {s.done}/{total or '?'}"
    part = min(s.done / total, 1.0) if total else 0.0
    left = Content.assemble(left, f"  {counted}  ")
    hint = "p goes on" if s.paused else f"{'pass ' if s.step < s.steps else ''}ETA {clock(eta(s))}"
    right = Content.assemble((f"  {100 * part:3.0f} %" if total else f"  {NONE} %"), f"  {hint}")
    room = width - left.cell_length - right.cell_length
    if room < 4:
        return spread(left, right, width)
    filled = round(part * room)
    return Content.assemble(left, ("━" * filled, style), ("─" * (room - filled), "$plot-axis"), right)


class NumbersPanel(Widget):
    """Everything countable about the encode, in aligned columns."""

    DEFAULT_CSS = f"""
    NumbersPanel {{ width: {WIDTH + 2}; padding: 0 1; }}
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Take the present state."""
        self._snapshot = snapshot
        self.refresh()

    def render(self) -> Content:
        """All rows that fit."""
        if self._snapshot is None:
            return Content("")
        return Content("\n").join(
            [_row_content(row) for row in number_rows(self._snapshot, self.size.height)]
        )


def _row_content(row: Row) -> Content:
    if row.style == "head":
        cells = "".join(cell.rjust(8) for cell in row.cells)
        return Content.assemble((row.label.ljust(12), "bold $heading"), (cells, "$plot-label"))
    if row.style == "alarm":
        return Content.assemble((row.text, "bold $error"))
    if not row.cells:
        return Content(row.text)
    return Content.assemble(
        (row.label.ljust(12), "$plot-label"), "".join(cell.rjust(8) for cell in row.cells)
    )
