"""Made screens: windows with text, tables, icons and charts, drawn from a seed.

Photographs teach no even ground and no edge of one sample.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 640, 480
_SYLLABLES = tuple(
    f"{first}{last}" for first in ["", *"bcdfghlmnprstvw"] for last in ("a", "e", "i", "o", "an", "er")
)
_SMALLEST_TEXT, _LARGEST_TEXT = 9, 30
Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


@cache
def _fonts() -> list[Path]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return sorted(
        p for p in folder.glob("*.ttf") if p.name.startswith(("DejaVuSans", "DejaVuSerif", "STIXGeneral"))
    )


class _Screen:
    """One picture while it is drawn."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng((seed, 71))
        self.dark = self.random.random() < 0.25
        self.image = Image.new("RGB", (WIDTH, HEIGHT), self._paper())
        self.draw = ImageDraw.Draw(self.image)

    def _paper(self) -> Colour:
        if self.random.random() < 0.5 and not self.dark:
            return (255, 255, 255)
        level, tint = int(self.random.integers(10, 70)), self.random.integers(-12, 13, 3)
        base = level if self.dark else 260 - level
        red, green, blue = (int(v) for v in np.clip(base + tint, 0, 255))
        return (red, green, blue)

    def ink(self, share_coloured: float = 0.2) -> Colour:
        if self.random.random() < share_coloured:
            red, green, blue = (int(v) for v in self.random.integers(0, 256, 3))
            return (red, green, blue)
        level = int(self.random.integers(0, 70))
        level = 255 - level if self.dark else level
        return (level, level, level)

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(str(self.random.choice(np.array(_fonts()))), size)

    def words(self, count: int) -> str:
        made = []
        for _ in range(count):
            word = "".join(self.random.choice(_SYLLABLES, int(self.random.integers(1, 5))))
            kind = self.random.random()
            word = word.capitalize() if kind < 0.15 else word.upper() if kind < 0.2 else word
            word = f"{self.random.integers(0, 10000)}" if kind > 0.93 else word
            made.append(
                word + str(self.random.choice(["", "", "", "", "", ",", ".", ":", ";", "()", " -", " ="]))
            )
        return " ".join(made)

    def text(self, box: Box) -> None:
        """Lines of words in a box, one font, sometimes indented as a program is."""
        size = int(min(self.random.integers(_SMALLEST_TEXT, _LARGEST_TEXT + 1, 3)))
        font = self.font(size)
        left, top, right, bottom = box
        step = round(size * self.random.uniform(1.15, 1.7))
        colour, indented = self.ink(), self.random.random() < 0.3
        for row in range(top, bottom - size, step):
            if self.random.random() < 0.12:
                continue
            start = left + (int(self.random.integers(0, 4)) * 2 * size if indented else 0)
            line = self.words(max(1, int((right - start) / size / 2.2 * self.random.uniform(0.3, 1.0))))
            if indented and self.random.random() < 0.3:
                colour = self.ink(0.7)
            while line and font.getlength(line) > right - start:
                line = line[:-1]
            self.draw.text((start, row), line, colour, font)

    def bar(self, box: Box) -> None:
        """A tool bar: a shaded ground and small shapes in a row."""
        left, top, right, bottom = box
        first, last = (int(v) for v in np.sort(self.random.integers(60, 250, 2)))
        for row in range(top, bottom):
            level = first + (last - first) * (row - top) // max(1, bottom - top)
            self.draw.line((left, row, right, row), (level, level, min(255, level + 6)))
        side = max(6, bottom - top - 8)
        for x in range(left + 6, right - side, side + int(self.random.integers(4, 24))):
            shape = (x, top + 4, x + side, top + 4 + side)
            kind = self.random.integers(4)
            if kind == 0:
                self.draw.ellipse(shape, self.ink(0.8), self.ink())
            elif kind == 1:
                self.draw.rectangle(shape, self.ink(0.8), self.ink())
            elif kind == 2:
                self.draw.line((shape[0], shape[3], shape[2], shape[1]), self.ink(0.8), 2)
            else:
                self.draw.polygon(
                    [(x, shape[3]), (x + side, shape[3]), (x + side // 2, shape[1])], self.ink(0.8)
                )

    def table(self, box: Box) -> None:
        """Ruled cells with a word in each."""
        left, top, right, bottom = box
        high, wide = int(self.random.integers(16, 34)), int(self.random.integers(50, 140))
        font = self.font(max(_SMALLEST_TEXT, high * 6 // 10))
        rule, colour = self.ink(), self.ink()
        for number, row in enumerate(range(top, bottom - high, high)):
            if number % 2 and self.random.random() < 0.5:
                level = 50 if self.dark else 235
                self.draw.rectangle((left, row, right, row + high), (level, level, level))
            self.draw.line((left, row, right, row), rule)
            for column in range(left, right - wide, wide):
                self.draw.line((column, row, column, row + high), rule)
                line = self.words(1)[: wide // max(1, high // 2)]
                self.draw.text((column + 4, row + 2), line, colour, font)

    def chart(self, box: Box) -> None:
        """Axes with curves or columns."""
        left, top, right, bottom = box
        self.draw.line((left, top, left, bottom, right, bottom), self.ink(), 1)
        columns = self.random.random() < 0.4
        for _ in range(int(self.random.integers(1, 5))):
            colour = self.ink(0.9)
            xs = np.linspace(left, right, int(self.random.integers(5, 40)))
            ys = bottom - np.abs(np.cumsum(self.random.normal(0, 1, xs.size))) / 8 * (bottom - top)
            ys = np.clip(ys, top, bottom)
            if columns:
                for x, y in zip(xs, ys, strict=True):
                    self.draw.rectangle((x, y, x + 6, bottom), colour)
            else:
                line = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
                self.draw.line(line, colour, int(self.random.integers(1, 4)))

    def fill(self) -> None:
        """Bars above, and the rest divided into two to six parts of one kind each."""
        top = 0
        for _ in range(int(self.random.integers(0, 3))):
            high = int(self.random.integers(18, 40))
            self.bar((0, top, WIDTH, top + high))
            top += high
        boxes: list[Box] = [(0, top, WIDTH, HEIGHT)]
        for _ in range(int(self.random.integers(1, 6))):
            left, upper, right, lower = boxes.pop(int(self.random.integers(len(boxes))))
            share = self.random.uniform(0.25, 0.75)
            if right - left > lower - upper:
                middle = int(left + share * (right - left))
                boxes += [(left, upper, middle, lower), (middle, upper, right, lower)]
            else:
                middle = int(upper + share * (lower - upper))
                boxes += [(left, upper, right, middle), (left, middle, right, lower)]
        for left, upper, right, lower in boxes:
            if self.random.random() < 0.4:
                self.draw.rectangle((left, upper, right - 1, lower - 1), self._paper(), self.ink())
            inner = (left + 8, upper + 6, right - 8, lower - 6)
            if inner[2] - inner[0] < 40 or inner[3] - inner[1] < 30:
                continue
            draw = self.random.choice(np.array([self.text, self.table, self.chart]), p=[0.7, 0.15, 0.15])
            draw(inner)


def made_screen(seed: int) -> npt.NDArray[np.uint8]:
    """A screen, RGB, uint8 (480, 640, 3); the same for the same seed and versions of Pillow and Matplotlib."""
    screen = _Screen(seed)
    screen.fill()
    return np.asarray(screen.image, np.uint8)
