"""The widget that shows a figure in braille and block cells, drawn again only when figure, size or theme change."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from maevid.tui.canvas import Cell
from maevid.tui.figure import Figure
from maevid.tui.plot_draw import draw

_ROLES = (
    "points",
    "line",
    "curve",
    "target",
    "now",
    "cut",
    "bar",
    "peak",
    "axis",
    "rule",
    "label",
    "unit",
    "title",
    "value",
)


class PlotWidget(Widget):
    """Shows ``figure``; set it with :meth:`show`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"plot--{role}" for role in _ROLES}
    DEFAULT_CSS = """
    PlotWidget { height: 1fr; width: 1fr; }
    PlotWidget > .plot--points, PlotWidget > .plot--line { color: $plot-points; }
    PlotWidget > .plot--curve { color: $plot-curve; }
    PlotWidget > .plot--bar { color: $plot-bar; }
    PlotWidget > .plot--peak { color: $plot-peak; }
    PlotWidget > .plot--target { color: $plot-target; }
    PlotWidget > .plot--now { color: $plot-now; text-style: bold; }
    PlotWidget > .plot--cut { color: $plot-cut; }
    PlotWidget > .plot--axis, PlotWidget > .plot--rule { color: $plot-axis; }
    PlotWidget > .plot--label { color: $plot-label; }
    PlotWidget > .plot--unit { color: $plot-label; text-style: italic; }
    PlotWidget > .plot--title { color: $heading; text-style: bold; }
    PlotWidget > .plot--value { color: $foreground; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._figure: Figure | None = None
        self._strips: list[Strip] = []
        self._drawn: tuple[int, int] | None = None
        self._styles: dict[str, Style] = {}

    def show(self, figure: Figure) -> None:
        """Take a new figure and draw it at the next refresh."""
        self._figure = figure
        self._drawn = None
        self.refresh()

    def notify_style_update(self) -> None:
        """Draw again in the new theme's colours."""
        super().notify_style_update()
        self._drawn = None
        self._styles = {}

    def render_line(self, y: int) -> Strip:
        """One row."""
        size = (self.size.width, self.size.height)
        if self._drawn != size:
            self._drawn = size
            if not self._styles:  # Textual works each out from the style sheet: dear, so once a theme
                self._styles = {role: self.get_component_rich_style(f"plot--{role}") for role in _ROLES}
                self._styles[""] = self.rich_style
            rows = draw(self._figure, *size) if self._figure is not None else []
            self._strips = [row_strip(row, self._styles) for row in rows]
        return self._strips[y] if y < len(self._strips) else Strip.blank(size[0], self.rich_style)


def row_strip(row: list[Cell], styles: dict[str, Style]) -> Strip:
    """Cells of equal style joined to segments; a cell's background is the colour of its ``back`` role."""
    segments = []
    for (role, back), cells in groupby(row, key=lambda cell: (cell.role, cell.back)):
        style = styles[role]
        if back:
            style = style + Style(bgcolor=styles[back].color)
        segments.append(Segment("".join(cell.char for cell in cells), style))
    return Strip(segments, len(row))
