"""What the frames still to come add up to at any level, kept so that it is at hand for every frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Remainder:
    """Sums over all frames from n on, of bits or dB, as a function of the level.

    ``values(level, start, stop)`` gives the frames' values. Suffix sums stand at ``knots`` (levels); they
    are kept for the starts of blocks and worked out within the two blocks last asked for, so that an hour
    takes little more memory than a minute.
    """

    BLOCK = 1024

    def __init__(self, values: Callable[[float, int, int], Array], frames: int, knots: Array) -> None:
        self.knots = knots
        self._values = values
        self._frames = frames
        starts = range(0, frames, self.BLOCK)
        sums = np.zeros((len(starts) + 1, knots.size))
        for row, start in zip(sums, starts, strict=False):
            # Block by block, as whoever works the values out keeps them.
            row[:] = [values(float(knot), start, min(start + self.BLOCK, frames)).sum() for knot in knots]
        sums[:-1] = np.cumsum(sums[-2::-1], axis=0)[::-1]
        self._sums = sums
        self._tables: dict[int, Array] = {}

    def _row(self, frame: int) -> Array:
        block, offset = divmod(frame, self.BLOCK)
        if block not in self._tables:
            start, stop = block * self.BLOCK, min((block + 1) * self.BLOCK, self._frames)
            table = np.zeros((stop - start + 1, self.knots.size))
            for k, knot in enumerate(self.knots if stop > start else ()):
                table[:-1, k] = np.cumsum(self._values(float(knot), start, stop)[::-1])[::-1]
            self._tables = dict([*self._tables.items(), (block, table)][-2:])
        after = min(block + 1, len(self._sums) - 1)
        return np.asarray(self._tables[block][offset] + self._sums[after], dtype=np.float64)

    def at(self, frame: int, level: float) -> float:
        """The sum over the frames from ``frame`` on at a level."""
        return float(np.interp(level, self.knots, self._row(frame)))

    def solve(self, frame: int, amount: float) -> float:
        """The level at which the sum is ``amount``, or the nearer end."""
        row = self._row(frame)
        return float(np.interp(amount, row + np.arange(row.size) * 1e-9, self.knots))
