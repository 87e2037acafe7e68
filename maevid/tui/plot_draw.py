"""A figure laid out in character cells: title line, axes with round ticks, traces, marks."""

from __future__ import annotations

import numpy as np

from maevid.tui.canvas import SPACE, Canvas, Cell
from maevid.tui.figure import Figure, Kind, Scale, Trace
from maevid.tui.session import FloatArray

NOW = "◆"
CUT = "▾"
_KEY_ROLES = {NOW: "now", "╌": "target", CUT: "cut"}
_LABEL_WIDTH = 5
_ROWS_FOR_AXIS_LINE = 8
"""Below this height the labels alone have to do for the x axis."""


def draw(figure: Figure, columns: int, rows: int) -> list[list[Cell]]:
    """Rows of exactly ``columns`` cells; nothing but spaces where there is no room for a plot."""
    grid = [[SPACE] * columns for _ in range(rows)]
    if columns < 16 or rows < 4:
        return grid
    _title(grid[0], figure)
    axis_line = rows >= _ROWS_FOR_AXIS_LINE
    top, bottom = 1, rows - (2 if axis_line else 1)
    ticks = [] if figure.empty else figure.y.ticks(max((bottom - top) // 2, 2))
    label_width = max([_LABEL_WIDTH, *(len(tick.text) for tick in ticks)])
    left = label_width + 1
    bars = any(trace.kind is Kind.BARS for trace in figure.traces)
    canvas_top = top + (1 if bars else 0)
    canvas = Canvas(columns - left, bottom - canvas_top)

    tick_rows: dict[int, str] = {}
    for tick in ticks:
        row = canvas_top + round((1 - figure.y.place_one(tick.value)) * (canvas.rows * 4 - 1)) // 4
        tick_rows.setdefault(min(row, bottom - 1), tick.text)
    for row in range(top, bottom):
        text = tick_rows.get(row, "").rjust(label_width)
        _put(grid[row], 0, text, "label")
        _put(grid[row], label_width, "┤" if row in tick_rows else "│", "axis")
    if axis_line:
        _put(grid[bottom], label_width, "└" + "─" * canvas.columns, "axis")
    _x_axis(grid, figure, left, canvas.columns, axis_line)
    if figure.empty:
        canvas.write(
            max((canvas.columns - len(figure.empty)) // 2, 0), canvas.rows // 2, figure.empty, "label"
        )
    else:
        _traces(canvas, figure)
        if bars:
            _mark_row(grid[top], figure, left, canvas.columns)
    for row in range(canvas.rows):
        grid[canvas_top + row][left:] = canvas.row(row)
    return grid


def _put(row: list[Cell], column: int, text: str, role: str) -> None:
    for offset, char in enumerate(text):
        if 0 <= column + offset < len(row):
            row[column + offset] = Cell(char, role)


def _title(row: list[Cell], figure: Figure) -> None:
    _put(row, 0, figure.title, "title")
    value = figure.value if len(figure.title) + len(figure.value) + 4 <= len(row) else ""
    rule = len(row) - len(figure.title) - 1 - (len(value) + 1 if value else 0)
    _put(row, len(figure.title) + 1, "─" * rule, "rule")
    _put(row, len(row) - len(value), value, "value")
    for column, cell in enumerate(row):
        if column > len(figure.title) and cell.char in _KEY_ROLES:
            row[column] = Cell(cell.char, _KEY_ROLES[cell.char])


def _x_axis(grid: list[list[Cell]], figure: Figure, left: int, columns: int, axis_line: bool) -> None:
    labels, free = grid[-1], left - 1
    name = figure.x.name
    if figure.empty and figure.x.scale is not Scale.TIME:
        return
    for tick in figure.x.ticks(max(columns // 8, 2)):
        column = left + min(int(figure.x.place_one(tick.value) * columns), columns - 1)
        if axis_line:
            _put(grid[-2], column, "┬", "axis")
        start = max(column - len(tick.text) // 2, left - 1)
        if free <= start <= len(labels) - len(tick.text):
            _put(labels, start, tick.text, "label")
            free = start + len(tick.text) + 1
    if free <= len(labels) - len(name):
        _put(labels, len(labels) - len(name), name, "unit")


def _traces(canvas: Canvas, figure: Figure) -> None:
    for trace in figure.traces:
        x, y = figure.x.place(trace.x), figure.y.place(trace.y)
        if trace.kind is Kind.POINTS:
            canvas.points(x, y, trace.role)
        elif trace.kind is Kind.LINE:
            canvas.line(x, y, trace.role)
    _bars(canvas, figure)
    for trace in figure.traces:
        if trace.kind is Kind.STEP:
            x, y = figure.x.place(trace.x), figure.y.place(trace.y)
            for i in range(len(x) - 1):
                canvas.level(float(x[i]), float(x[i + 1]), float(y[i]), trace.role)
    bars = any(trace.kind is Kind.BARS for trace in figure.traces)
    if not bars and len(figure.cuts) <= canvas.columns // 4:
        for place in figure.x.place(figure.cuts):
            canvas.upright(float(place), "cut")
    if figure.now is not None and not bars:
        canvas.mark(figure.x.place_one(figure.now[0]), figure.y.place_one(figure.now[1]), NOW, "now")


def _bars(canvas: Canvas, figure: Figure) -> None:
    bars = [trace for trace in figure.traces if trace.kind is Kind.BARS]
    if not bars:
        return
    back, front = bars[0], bars[-1]
    behind = _by_column(figure, back, canvas.columns, np.maximum)
    canvas.bars(_by_column(figure, front, canvas.columns, np.add), front.role, behind, back.role)


def _by_column(figure: Figure, trace: Trace, columns: int, fold: np.ufunc) -> FloatArray:
    """Values folded into screen columns (``np.add`` means the mean): 0..1 heights, a column without value repeats
    its left neighbour as long as the next value is less than a bar away."""
    column = np.clip((figure.x.place(trace.x) * columns).astype(int), 0, columns - 1)
    total = np.zeros(columns)
    fold.at(total, column, trace.y)
    count = np.bincount(column, minlength=columns)
    if fold is np.add:
        total = total / np.maximum(count, 1)
    heights = np.where(count > 0, figure.y.place(total), np.nan)
    step = int(np.diff(np.unique(column)).min(initial=columns)) if len(column) > 1 else 1
    for i in range(1, columns):
        if np.isnan(heights[i]) and count[max(i - step + 1, 0) : i].any():
            heights[i] = heights[i - 1]
    return heights


def _mark_row(row: list[Cell], figure: Figure, left: int, columns: int) -> None:
    """Cuts and the present frame above the bars, where they hide nothing."""
    places = figure.x.place(figure.cuts) if len(figure.cuts) <= columns // 2 else ()
    for place in places:
        _put(row, left + min(int(place * columns), columns - 1), CUT, "cut")
    if figure.now is not None:
        _put(row, left + min(int(figure.x.place_one(figure.now[0]) * columns), columns - 1), NOW, "now")
