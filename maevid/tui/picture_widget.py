"""Pictures side by side: in pixels where the terminal can, else in half-block cells, two pixels a cell.

Of a half-block cell the upper pixel is the foreground and the lower the background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from rich.color import Color, ColorType
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from maevid.tui.graphics import MOST_CELLS, Graphics, forget_picture, placeholders, send_picture
from maevid.tui.picture import Rgb, fit


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: caption, shape (width over height as shown), size, and who draws it at columns × rows pixels.

    ``size`` is (width, height) in samples: it is not drawn larger than that where the terminal can enlarge it.
    """

    caption: str
    aspect: float
    size: tuple[int, int]
    draw: Callable[[int, int], Rgb]


@dataclass(frozen=True, slots=True)
class _Box:
    """Place of one panel in cells, its caption in the first row."""

    left: int
    top: int
    width: int
    height: int


class PictureWidget(Widget):
    """Shows panels in the arrangement that makes the pictures largest; ``empty`` stands there without any."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"picture--caption", "picture--rule", "picture--empty"}
    DEFAULT_CSS = """
    PictureWidget { height: 1fr; width: 1fr; }
    PictureWidget > .picture--caption { color: $heading; text-style: bold; }
    PictureWidget > .picture--rule { color: $plot-axis; }
    PictureWidget > .picture--empty { color: $plot-label; }
    """

    def __init__(
        self,
        *,
        graphics: Graphics | None = None,
        empty: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._graphics = graphics
        self._sent: list[int] = []
        self._old: list[int] = []
        self._panels: Sequence[Panel] = ()
        self._empty = empty
        self._rows: list[Strip] = []
        self._drawn: tuple[int, int] | None = None

    def show(self, panels: Sequence[Panel], empty: str = "") -> None:
        """Take new panels and draw them at the next refresh."""
        self._panels = panels
        self._empty = empty
        self._drawn = None
        self.refresh()

    def notify_style_update(self) -> None:
        """Draw again in the new theme's colours."""
        super().notify_style_update()
        self._drawn = None

    def render_line(self, y: int) -> Strip:
        """One row."""
        size = (self.size.width, self.size.height)
        if self._drawn != size:
            self._drawn = size
            self._rows = self._draw(*size)
        return self._rows[y] if y < len(self._rows) else Strip.blank(size[0], self.rich_style)

    def on_unmount(self) -> None:
        """Free the terminal's pictures."""
        self._send("".join(forget_picture(number) for number in [*self._old, *self._sent]))

    def _send(self, sequences: str) -> None:
        driver = self.app._driver
        if sequences and driver is not None:
            driver.write(sequences)

    def _draw(self, width: int, height: int) -> list[Strip]:
        # What stands on the screen now is freed with the next pictures only: it is not yet drawn over.
        self._send("".join(forget_picture(number) for number in self._old))
        self._old, self._sent = self._sent, []
        base = self.rich_style
        if not self._panels:
            text = self._empty[:width]
            lines = [Strip.blank(width, base)] * height
            if height and text:
                label = base + self.get_component_rich_style("picture--empty")
                middle = Strip([Segment(text.center(width), label)], width)
                lines[height // 2] = middle
            return lines
        grid = [[Segment(" ", base) for _ in range(width)] for _ in range(height)]
        for panel, box in zip(self._panels, arrange(self._panels, width, height), strict=True):
            self._panel(grid, panel, box)
        return [Strip(Segment.simplify(row), width) for row in grid]

    def _panel(self, grid: list[list[Segment]], panel: Panel, box: _Box) -> None:
        caption = self.get_component_rich_style("picture--caption")
        rule = self.get_component_rich_style("picture--rule")
        text = f"{panel.caption} "[: box.width]
        head = [Segment(char, caption) for char in text]
        head += [Segment("─", rule)] * (box.width - len(text))
        grid[box.top][box.left : box.left + box.width] = head
        if box.height < 2:
            return
        columns, pixels = fit(panel.aspect, 1.0, box.width, 2 * (box.height - 1))
        left, top = box.left + (box.width - columns) // 2, box.top + 1
        if self._graphics is not None and max(columns, pixels // 2) <= MOST_CELLS:
            for row, cells in enumerate(self._in_pixels(self._graphics, panel, columns, pixels // 2)):
                grid[top + row][left : left + columns] = cells
            return
        rgb = panel.draw(columns, pixels)
        for row in range(pixels // 2):
            grid[top + row][left : left + columns] = half_blocks(rgb[2 * row], rgb[2 * row + 1])

    def _in_pixels(
        self, graphics: Graphics, panel: Panel, columns: int, rows: int
    ) -> Iterator[list[Segment]]:
        """Send a picture; the rows of cells that show it."""
        number = graphics.number()
        width, height = (
            min(cells * pixels, samples)
            for cells, pixels, samples in zip((columns, rows), graphics.cell, panel.size, strict=True)
        )
        self._send(send_picture(number, panel.draw(width, height), columns, rows))
        self._sent.append(number)
        style = Style.from_color(_color([number >> 16, number >> 8 & 0xFF, number & 0xFF]))
        for row in range(rows):
            yield [Segment(cell, style) for cell in placeholders(row, columns)]


def half_blocks(upper: Rgb, lower: Rgb) -> list[Segment]:
    """Two pixel rows as a row of ``▀`` cells."""
    return [
        Segment("▀", Style.from_color(_color(top), _color(bottom)))
        for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True)
    ]


def _color(pixel: list[int]) -> Color:
    return Color("", ColorType.TRUECOLOR, triplet=ColorTriplet(*pixel))


def arrange(panels: Sequence[Panel], width: int, height: int, gap: int = 1) -> list[_Box]:
    """Boxes for the panels in the layout that shows most pixels.

    Tried are a row, a column, and the first large with the others beside or below it.
    """
    count = len(panels)
    layouts = [_cells(0, 0, width, height, count, 1, gap), _cells(0, 0, width, height, 1, count, gap)]
    if count > 2:
        for share in (0.5, 0.6, 0.67):
            wide, tall = round((width - gap) * share), round(height * share)
            beside = _cells(wide + gap, 0, width - wide - gap, height, 1, count - 1, gap)
            layouts.append([_Box(0, 0, wide, height), *_close_up(panels[1:], beside)])
            layouts.append(
                [_Box(0, 0, width, tall), *_cells(0, tall, width, height - tall, count - 1, 1, gap)]
            )
    usable = [boxes for boxes in layouts if all(b.width >= 4 and b.height >= 3 for b in boxes)]
    if not usable:
        return [_Box(0, 0, width if i == 0 else 0, min(height, 1)) for i in range(count)]
    return max(usable, key=lambda boxes: _pixels(panels, boxes))


def _cells(left: int, top: int, width: int, height: int, across: int, down: int, gap: int) -> list[_Box]:
    box_width, box_height = (width - gap * (across - 1)) // across, height // down
    return [
        _Box(left + x * (box_width + gap), top + y * box_height, box_width, box_height)
        for y in range(down)
        for x in range(across)
    ]


def _close_up(panels: Sequence[Panel], boxes: list[_Box]) -> list[_Box]:
    """Boxes of a column cut to their pictures' height and moved up, so that no gap opens between them."""
    result, top = [], 0
    for panel, box in zip(panels, boxes, strict=True):
        rows = fit(panel.aspect, 1.0, max(box.width, 1), 2 * max(box.height - 1, 1))[1] // 2 + 1
        result.append(_Box(box.left, top, box.width, rows))
        top += rows
    return result


def _pixels(panels: Sequence[Panel], boxes: list[_Box]) -> float:
    areas = [
        float(np.prod(fit(p.aspect, 1.0, b.width, 2 * (b.height - 1))))
        for p, b in zip(panels, boxes, strict=True)
    ]
    return sum(areas)
