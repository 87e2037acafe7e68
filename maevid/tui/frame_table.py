"""A table of all frames that renders only the lines in view: 60,000 rows cost what 20 cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from maevid.report import FrameReport
from maevid.tui.columns import SORTS, FrameColumns
from maevid.tui.units import decimals, significant, timestamp


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it sorts by (if anything), its title and width, and its text for a frame."""

    key: str
    title: str
    width: int
    text: Callable[[FrameReport], str]
    wide_only: bool = False


COLUMNS = (
    Column("frame", "frame", 7, lambda r: str(r.index)),
    Column("", "time", 11, lambda r: timestamp(r.seconds), wide_only=True),
    Column("bits", "kbit", 8, lambda r: decimals(r.bits / 1000, 2)),
    Column("", "bpp", 7, lambda r: significant(r.bits_per_pixel, 3), wide_only=True),
    Column("lam", "λ", 8, lambda r: significant(r.lam)),
    Column("psnr", "PSNR", 7, lambda r: decimals(r.psnr_yuv, 2)),
)
WIDTH = sum(column.width for column in COLUMNS) + 3
"""Cells for all columns and the marks at the end."""


_JUMPS = Binding.Group("jump ")
"""Keys that a narrow footer has no room for."""


class FrameTable(ScrollView, can_focus=True):
    """Frames by one key, a cursor, a header that stays and shows the order. ``position`` is the frame at the cursor."""

    class Moved(Message):
        """The cursor is at another frame."""

        def __init__(self, position: int) -> None:
            super().__init__()
            self.position = position

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--head",
        "table--sorted",
        "table--cursor",
        "table--cut",
        "table--bad",
    }
    DEFAULT_CSS = """
    FrameTable { width: 1fr; height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden;
        scrollbar-background: $surface; scrollbar-color: $plot-axis; scrollbar-background-hover: $surface;
        scrollbar-background-active: $surface; scrollbar-color-hover: $primary; scrollbar-color-active: $primary;
    }
    FrameTable > .table--head { color: $plot-label; text-style: bold; background: $surface; }
    FrameTable > .table--sorted { color: $heading; text-style: bold; background: $surface; }
    FrameTable > .table--cursor { background: $primary 25%; text-style: bold; }
    FrameTable > .table--cut { color: $plot-cut; }
    FrameTable > .table--bad { color: $error; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,left,k", "move(-1)", "previous", show=False),
        Binding("down,right,j", "move(1)", "go", key_display="↑↓", tooltip="The previous or next frame"),
        Binding("pageup", "page(-1)", "page up", key_display="PgUp", group=_JUMPS),
        Binding("pagedown", "page(1)", "page down", key_display="PgDn", group=_JUMPS),
        Binding("home,g", "edge(0)", "first", key_display="Home", group=_JUMPS),
        Binding("end,G", "edge(-1)", "last", key_display="End", group=_JUMPS),
    ]

    def __init__(self, columns: FrameColumns, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns = columns
        self.sort_key = "frame"
        self.descending = False
        self._order = columns.order("frame", False)
        self._row_of = np.argsort(self._order)
        self._cursor = 0
        self._bad: set[int] = set()

    def on_mount(self) -> None:
        """The height of all rows and the header."""
        self.virtual_size = Size(WIDTH, len(self._columns) + 1)

    @property
    def position(self) -> int:
        """Place of the frame at the cursor in the reports."""
        return int(self._order[self._cursor])

    def sort(self, key: str, descending: bool) -> None:
        """Another order. The cursor goes to the first row, the extreme; in frame order it stays on its frame."""
        position = self.position
        self.sort_key, self.descending = key, descending
        self._order = self._columns.order(key, descending)
        self._row_of = np.argsort(self._order)
        self._cursor = int(self._row_of[position]) if key == "frame" else 0
        self._reveal()
        self.refresh()
        if self.position != position:
            self.post_message(self.Moved(self.position))

    def go_to(self, position: int) -> None:
        """Move the cursor to a frame."""
        self._set_cursor(int(self._row_of[position]))

    def mark_bad(self, positions: set[int]) -> None:
        """Mark frames whose packets are damaged."""
        if positions != self._bad:
            self._bad = positions
            self.refresh()

    def _set_cursor(self, row: int) -> None:
        row = min(max(row, 0), len(self._columns) - 1)
        if row == self._cursor:
            return
        self._cursor = row
        self._reveal()
        self.refresh()
        self.post_message(self.Moved(self.position))

    def _reveal(self) -> None:
        # The header covers the first line of the view, so that line counts as hidden.
        self.scroll_to_region(Region(0, self._cursor, 1, 2), animate=False, force=True, immediate=True)

    def action_move(self, step: int) -> None:
        """Move the cursor by rows."""
        self._set_cursor(self._cursor + step)

    def action_page(self, direction: int) -> None:
        """Move by what is in view."""
        self._set_cursor(self._cursor + direction * max(self.size.height - 2, 1))

    def action_edge(self, end: int) -> None:
        """Move to the first (0) or last (-1) row."""
        self._set_cursor(0 if end == 0 else len(self._columns) - 1)

    def on_click(self, event: events.Click) -> None:
        """The header sorts by its column, a second time the other way round; a row takes the cursor."""
        if event.y > 0:
            self._set_cursor(round(self.scroll_offset.y) + event.y - 1)
            return
        left = 0
        for column in shown(self.size.width):
            if left <= event.x < left + column.width and column.key:
                again = column.key == self.sort_key
                self.sort(column.key, not self.descending if again else column.key in ("bits", "lam"))
            left += column.width

    def render_line(self, y: int) -> Strip:
        """The header, or the frame at this line."""
        width = self.size.width
        if y == 0:
            return self._header(width)
        row = self.scroll_offset.y + y - 1
        if row >= len(self._columns):
            return Strip.blank(width, self.rich_style)
        position = int(self._order[row])
        report = self._columns.reports[position]
        style, sign = self.rich_style, " "
        if row == self._cursor:
            style, sign = style + self.get_component_rich_style("table--cursor"), "▸"
        segments = [Segment(sign + row_text(report, shown(width))[1:] + " ", style)]
        for marked, char, name in ((report.scene_cut, "▾", "cut"), (position in self._bad, "✘", "bad")):
            if marked:
                segments.append(
                    Segment(char, style + self.get_component_rich_style(f"table--{name}", partial=True))
                )
        return Strip(segments).adjust_cell_length(width, style).crop(0, width)

    def _header(self, width: int) -> Strip:
        head, chosen = (self.get_component_rich_style(f"table--{name}") for name in ("head", "sorted"))
        segments = []
        for column in shown(width):
            sign = ("▼" if self.descending else "▲") if column.key and column.key == self.sort_key else ""
            segments.append(Segment(f"{column.title}{sign}".rjust(column.width), chosen if sign else head))
        return Strip(segments).adjust_cell_length(width, head).crop(0, width)


def shown(width: int) -> list[Column]:
    """The columns for a table of this width."""
    return [column for column in COLUMNS if width >= WIDTH or not column.wide_only]


def row_text(report: FrameReport, columns: list[Column]) -> str:
    """One frame in these columns."""
    return "".join(column.text(report).rjust(column.width) for column in columns)


def next_sort(key: str, has_psnr: bool) -> tuple[str, bool]:
    """The order after ``key`` in the round, and whether it starts from the largest: most bits, lowest PSNR first."""
    keys = [k for k in SORTS if has_psnr or k != "psnr"]
    following = keys[(keys.index(key) + 1) % len(keys)]
    return following, following in ("bits", "lam")
