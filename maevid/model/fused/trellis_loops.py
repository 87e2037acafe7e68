"""The search of :mod:`maevid.model.trellis`, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maevid.codec.entropy.trellis import BEFORE, ODD
from maevid.jit import loop, numba, readable, types
from maevid.model.prior import SYMBOL_LIMIT
from maevid.model.trellis import COSTED, FAR, INVERSE, STEP

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_F = np.float32
_LIMIT, _HALF, _HALF_STEP, _ZERO = _F(SYMBOL_LIMIT), _F(0.5), _F(STEP / 2), _F(0)


def _branches(size: Any, quantiser: int, means: Floats, index: int) -> tuple[Any, Any, Any, Any]:
    """The best even symbol for a magnitude and its squared error, then the best odd one and its."""
    low: Any = np.int32(np.floor(size * INVERSE + _HALF * _F(quantiser)))
    error = size - _F(2 * low - quantiser * (low > 0)) * _HALF_STEP
    here = error * error
    error = size - _F(2 * low + 2 - quantiser) * _HALF_STEP
    other, beside = error * error, low + np.int32(1)
    if low > 0:
        error = size - _F(2 * low - 2 - quantiser * (low > 1)) * _HALF_STEP
        below = error * error
        if (
            below + means[quantiser, index, min(low - 1, COSTED)]
            < other + means[quantiser, index, min(low + 1, COSTED)]
        ):
            other, beside = below, low - np.int32(1)
    return (beside, other, low, here) if low & 1 else (low, here, beside, other)


def _search(
    x: Floats,
    index: Bytes,
    costs: Floats,
    means: Floats,
    symbols: npt.NDArray[np.int32],
    states: Bytes,
) -> None:
    count = len(x)
    best, came = np.empty((count, 4), np.int32), np.empty(count, np.uint8)
    t0, t1, t2, t3, t4, t5, t6, t7 = _ZERO, FAR, FAR, FAR, FAR, FAR, FAR, FAR
    for i in range(count):
        size, which = min(abs(x[i]), _LIMIT), index[i]
        k, even, m, odd = _branches(size, 0, means, which)
        best[i, 0], best[i, 1] = k, m
        k, m = min(k, COSTED), min(m, COSTED)
        # BEFORE and ODD written out: the eight sums stay in registers.
        s0, o0 = t0 + (even + costs[which, k, 0]), t4 + (odd + costs[which, m, 4])
        s1, o1 = t0 + (odd + costs[which, m, 0]), t4 + (even + costs[which, k, 4])
        s4, o4 = t2 + (odd + costs[which, m, 2]), t6 + (even + costs[which, k, 6])
        s5, o5 = t2 + (even + costs[which, k, 2]), t6 + (odd + costs[which, m, 6])
        k, even, m, odd = _branches(size, 1, means, which)
        best[i, 2], best[i, 3] = k, m
        k, m = min(k, COSTED), min(m, COSTED)
        s2, o2 = t1 + (odd + costs[which, m, 1]), t5 + (even + costs[which, k, 5])
        s3, o3 = t1 + (even + costs[which, k, 1]), t5 + (odd + costs[which, m, 5])
        s6, o6 = t3 + (even + costs[which, k, 3]), t7 + (odd + costs[which, m, 7])
        s7, o7 = t3 + (odd + costs[which, m, 3]), t7 + (even + costs[which, k, 7])
        came[i] = (
            (o0 < s0)
            | (o1 < s1) << 1
            | (o2 < s2) << 2
            | (o3 < s3) << 3
            | (o4 < s4) << 4
            | (o5 < s5) << 5
            | (o6 < s6) << 6
            | (o7 < s7) << 7
        )
        s0, s1, s2, s3 = min(s0, o0), min(s1, o1), min(s2, o2), min(s3, o3)
        s4, s5, s6, s7 = min(s4, o4), min(s5, o5), min(s6, o6), min(s7, o7)
        least = min(s0, s1, s2, s3, s4, s5, s6, s7)
        t0, t1, t2, t3 = s0 - least, s1 - least, s2 - least, s3 - least
        t4, t5, t6, t7 = s4 - least, s5 - least, s6 - least, s7 - least
    state = np.argmin(np.array([t0, t1, t2, t3, t4, t5, t6, t7]))
    for i in range(count - 1, -1, -1):
        way = came[i] >> np.uint8(state) & 1
        odd_one = ODD[state, way]
        state = BEFORE[state, way]
        symbol = best[i, 2 * (state & 1) + odd_one]
        symbols[i] = symbol if x[i] >= 0 else -symbol
        states[i] = state


_branches = numba.njit(_branches, nogil=True)
search = loop(
    _search,
    readable(types.float32),
    readable(types.uint8),
    *(readable(types.float32, 3),) * 2,
    types.int32[::1],
    types.uint8[::1],
)
