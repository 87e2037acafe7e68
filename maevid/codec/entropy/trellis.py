"""Symbols under two quantisers in turn: which of them is next is told by the parities of the symbols before.

Eight states; a sequence begins in state 0. In an even state the next symbol is one of the first quantiser's, in an odd
state of the second's, and :data:`NEXT` says where an even and where an odd symbol lead: the eight-state trellis of
Ungerboeck, as trellis-coded quantisation uses it (Marcellin and Fischer, "Trellis Coded Quantization of Memoryless and
Gauss-Markov Sources", IEEE Trans. Communications 38(1), 1990). A symbol s of the first quantiser stands for level 2s,
one of the second for 2s - sign(s): between them they have every level, and each has zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maevid.codec.entropy.tables import Int32Array

NEXT = np.array([[0, 1], [3, 2], [5, 4], [6, 7], [1, 0], [2, 3], [4, 5], [7, 6]], np.uint8)
"""The state after an even and after an odd symbol in each state, (8, 2)."""
NEXT.setflags(write=False)


STATES = len(NEXT)
BEFORE, ODD = (
    np.array([np.argwhere(state == NEXT) for state in range(STATES)], np.uint8).transpose(2, 0, 1).copy()
)
"""Of each state the two before it, (8, 2), and whether the symbol between is odd, (8, 2)."""


def levels(symbols: Int32Array, second: npt.NDArray[np.integer[Any]]) -> Int32Array:
    """What symbols stand for, int32[n]; ``second`` is 1 where they are of the second quantiser, else 0."""
    found: Int32Array = (2 * symbols - np.sign(symbols) * second).astype(np.int32)
    return found
