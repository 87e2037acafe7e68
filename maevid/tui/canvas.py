"""Braille dots and block characters: numpy grids in, one character and one role a cell out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maevid.tui.session import FloatArray

# Bit of each dot of a braille cell, rows of (left, right), as Unicode orders them.
_BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Cell:
    """A character with the role that colours it; ``back`` is the role of its background, if any."""

    char: str
    role: str
    back: str = ""


SPACE = Cell(" ", "")


class Canvas:
    """``columns`` × ``rows`` character cells. Coordinates are 0..1 from the lower left corner."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self._dots = np.zeros((rows, columns), dtype=np.uint8)
        self._owner = np.zeros((rows, columns), dtype=np.int16)
        self._roles: list[str] = [""]
        self._over: dict[tuple[int, int], Cell] = {}

    def _plot(self, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], role: str) -> None:
        """Set dots, ``y`` counted down from the top; those outside are left out."""
        inside = (x >= 0) & (x < 2 * self.columns) & (y >= 0) & (y < 4 * self.rows)
        x, y = x[inside], y[inside]
        if role not in self._roles:
            self._roles.append(role)
        np.bitwise_or.at(self._dots, (y // 4, x // 2), _BRAILLE[y % 4, x % 2])
        self._owner[y // 4, x // 2] = self._roles.index(role)

    def _dot_positions(
        self, x: FloatArray, y: FloatArray
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        wide, tall = 2 * self.columns - 1, 4 * self.rows - 1
        return (
            np.round(x * wide).astype(np.int64),
            np.round((1 - y) * tall).astype(np.int64),
        )

    def points(self, x: FloatArray, y: FloatArray, role: str) -> None:
        """A dot for each point."""
        good = np.isfinite(x) & np.isfinite(y)
        self._plot(*self._dot_positions(x[good], y[good]), role)

    def line(self, x: FloatArray, y: FloatArray, role: str) -> None:
        """Dots along straight lines between the points, in their order; a gap where a value is not finite."""
        good = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(good, x, 0.0), np.clip(np.where(good, y, 0.0), -4.0, 5.0)
        dot_x, dot_y = self._dot_positions(x, y)
        start = np.flatnonzero(good[:-1] & good[1:])
        across, down = dot_x[start + 1] - dot_x[start], dot_y[start + 1] - dot_y[start]
        steps = np.maximum(np.abs(across), np.abs(down))
        # Dot k of a segment of n steps lies at k/n of the way: all segments laid end to end in one array.
        segment = np.repeat(np.arange(len(steps)), steps)
        k = np.arange(len(segment)) - np.repeat(np.cumsum(steps) - steps, steps)
        part = k / np.maximum(steps, 1)[segment]
        xs = np.round(dot_x[start][segment] + part * across[segment]).astype(np.int64)
        ys = np.round(dot_y[start][segment] + part * down[segment]).astype(np.int64)
        self._plot(np.concatenate((dot_x[good], xs)), np.concatenate((dot_y[good], ys)), role)

    def level(self, x0: float, x1: float, y: float, role: str) -> None:
        """A dashed horizontal line of ``╌`` over free cells from ``x0`` to ``x1``."""
        row = round((1 - y) * (self.rows - 1))
        for column in range(max(round(x0 * self.columns), 0), min(round(x1 * self.columns), self.columns)):
            if 0 <= row < self.rows and not self._dots[row, column] and (row, column) not in self._over:
                self._over[row, column] = Cell("╌", role)

    def upright(self, x: float, role: str, char: str = "┊") -> None:
        """A vertical line over free cells."""
        column = min(int(x * self.columns), self.columns - 1)
        for row in range(self.rows):
            if column >= 0 and not self._dots[row, column] and (row, column) not in self._over:
                self._over[row, column] = Cell(char, role)

    def mark(self, x: float, y: float, char: str, role: str) -> None:
        """One character at a point, over everything."""
        if 0 <= x <= 1 and 0 <= y <= 1:
            column, row = (
                min(int(x * self.columns), self.columns - 1),
                round((1 - y) * (4 * self.rows - 1)) // 4,
            )
            self._over[row, column] = Cell(char, role)

    def bars(self, heights: FloatArray, role: str, behind: FloatArray, behind_role: str) -> None:
        """A bar a column (height 0..1, NaN: none) in eighths of a cell; ``behind`` shows where it is taller."""
        for column in range(self.columns):
            front = _eighths(heights[column], self.rows)
            back = _eighths(behind[column], self.rows)
            for row in range(self.rows):
                base = 8 * (self.rows - 1 - row)
                low, high = min(max(front - base, 0), 8), min(max(back - base, 0), 8)
                if low:  # a cell has two colours: where three meet, the edge of the bar behind gives way
                    self._over[row, column] = _bar_cell(low, role, behind_role if high == 8 else "")
                elif high:
                    self._over[row, column] = _bar_cell(high, behind_role, "")

    def write(self, column: int, row: int, text: str, role: str) -> None:
        """Text over everything, clipped at the right."""
        for offset, char in enumerate(text):
            if 0 <= column + offset < self.columns and 0 <= row < self.rows:
                self._over[row, column + offset] = Cell(char, role)

    def row(self, index: int) -> list[Cell]:
        """The cells of a row, counted from the top."""
        dots, owner = self._dots[index], self._owner[index]
        return [
            self._over.get((index, column))
            or (Cell(chr(0x2800 + int(dots[column])), self._roles[owner[column]]) if dots[column] else SPACE)
            for column in range(self.columns)
        ]


def _bar_cell(eighths: int, role: str, back: str) -> Cell:
    """A full cell is a background, which leaves no seams between lines in any terminal."""
    return Cell(" ", "", role) if eighths == 8 else Cell(_EIGHTHS[eighths], role, back)


def _eighths(height: float, rows: int) -> int:
    """Filled eighths of a cell; the smallest bar shows one."""
    if not np.isfinite(height) or height <= 0:
        return 0
    return min(max(round(height * rows * 8), 1), rows * 8)
