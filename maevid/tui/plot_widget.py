"""The widget that shows a figure in braille and block cells, drawn again only when figure, size or theme change."""

from __future__ import annotations

from itertools import groupby

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from maevid.tui.canvas import Cell
from maevid.tui.figure import Figure
from maevid.tui.plot_draw import draw

# The theme's variable for the colour of each role, and how its characters look.
_ROLES = {
    "points": ("plot-points", ""),
    "line": ("plot-points", ""),
    "curve": ("plot-curve", ""),
    "target": ("plot-target", ""),
    "now": ("plot-now", "bold"),
    "cut": ("plot-cut", ""),
    "bar": ("plot-bar", ""),
    "peak": ("plot-peak", ""),
    "axis": ("plot-axis", ""),
    "rule": ("plot-axis", ""),
    "label": ("plot-label", ""),
    "unit": ("plot-label", "italic"),
    "title": ("heading", "bold"),
    "value": ("foreground", ""),
}


class PlotWidget(Widget):
    """Shows ``figure``; set it with :meth:`show`."""

    DEFAULT_CSS = "PlotWidget { height: 1fr; width: 1fr; }"

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
            if not self._styles:
                self._styles = self._theme_styles()
            rows = draw(self._figure, *size) if self._figure is not None else []
            self._strips = [row_strip(row, self._styles) for row in rows]
        return self._strips[y] if y < len(self._strips) else Strip.blank(size[0], self.rich_style)

    def _theme_styles(self) -> dict[str, Style]:
        """Of every role. Not component classes: Textual works out all of them anew at every change of any class."""
        colors, base = self.app.theme_variables, self.rich_style
        styles = {
            role: base + Style.parse(f"{look} {colors[variable]}")
            for role, (variable, look) in _ROLES.items()
        }
        return {**styles, "": base}


def row_strip(row: list[Cell], styles: dict[str, Style]) -> Strip:
    """Cells of equal style joined to segments; a cell's background is the colour of its ``back`` role."""
    segments = []
    for (role, back), cells in groupby(row, key=lambda cell: (cell.role, cell.back)):
        style = styles[role]
        if back:
            style = style + Style(bgcolor=styles[back].color)
        segments.append(Segment("".join(cell.char for cell in cells), style))
    return Strip(segments, len(row))
