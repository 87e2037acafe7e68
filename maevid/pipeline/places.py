"""Where in a journal each coded frame lies, as plain numbers in arrays: 32 bytes a frame, some 3 MB for an hour."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt


class Places:
    """Positions of records by the pts and rate index of their frames, each with a check value of the frame.

    All are added before the first is looked up. As a dict of tuples they would take ten times the memory.
    """

    def __init__(self) -> None:
        self._numbers = array("q")
        self._sorted: npt.NDArray[np.int64] | None = None

    def add(self, pts: int, rate_index: int, at: int, check: int) -> None:
        """Note a record. Of several of one frame at one rate index the last counts.

        Raises OverflowError for a number beyond 64 bits.
        """
        for number in (pts, rate_index, at, check):
            self._numbers.append(number)

    def find(self, pts: int, rate_index: int) -> tuple[int, int] | None:
        """Position and check value; None where there is no such record."""
        if self._sorted is None:
            numbers = np.frombuffer(self._numbers, np.int64).reshape(-1, 4).T
            # In rows, for a search in a column would copy the column.
            self._sorted = np.ascontiguousarray(numbers[:, np.lexsort((numbers[2], numbers[0]))])
            self._numbers = array("q")
        times, indices, at, checks = self._sorted
        first, last = (int(np.searchsorted(times, pts, side)) for side in ("left", "right"))
        for n in range(last - 1, first - 1, -1):
            if indices[n] == rate_index:
                return int(at[n]), int(checks[n])
        return None
