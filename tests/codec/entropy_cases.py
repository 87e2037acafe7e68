"""What the entropy coder's tests share: both implementations, realistic symbols, a decoder by the book."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from maevid.codec.entropy import FrequencyTables, gaussian_tables, interpreted
from maevid.codec.entropy.kernels import default_kernels, kernels_of
from maevid.codec.entropy.trellis import NEXT

INTERPRETED = kernels_of(interpreted, "interpreted")

BOTH = [
    pytest.param(
        default_kernels,
        id="compiled",
        marks=pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="Numba is not installed"),
    ),
    pytest.param(lambda: INTERPRETED, id="interpreted"),
]

SCALES = np.exp(np.linspace(np.log(0.2), np.log(60), 64))
TABLES = gaussian_tables(SCALES)


def gaussian_case(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, FrequencyTables]:
    """Symbols as a latent has them: most scales small, 1.4 bits a symbol on the mean."""
    rng = np.random.default_rng(seed)
    indexes = np.minimum(rng.geometric(0.08, count) - 1, 63).astype(np.uint8)
    symbols = np.round(rng.normal(size=count) * SCALES[indexes]).astype(np.int32)
    return symbols, indexes, TABLES


def decode_by_the_book(data: bytes, indexes: np.ndarray, tables: FrequencyTables) -> list[int]:
    """The decoder that the docstring of ``coder`` describes, written from it alone."""
    if len(indexes) == 0:
        assert data == b""
        return []
    x, word, tail = int.from_bytes(data[:5], "little"), 5, len(data)
    symbols = []
    for index in indexes.tolist():
        m, first = int(tables.size[index]), int(tables.minimum[index])
        c = [int(v) for v in tables.cumulative[tables.offset[index] :][: m + 2]]
        slot = x % 2**16
        k = max(j for j in range(m + 1) if c[j] <= slot)
        x = (c[k + 1] - c[k]) * (x // 2**16) + slot - c[k]
        if x < 2**24:
            x = 2**16 * x + int.from_bytes(data[word : word + 2], "little")
            word += 2
        if k < m:
            symbols.append(first + k)
            continue
        u = shift = 0
        while True:
            tail -= 1
            u |= (data[tail] & 127) << shift
            shift += 7
            if data[tail] < 128:
                break
        symbols.append(first + m + u // 2 if u % 2 == 0 else first - 1 - (u - 1) // 2)
    assert x == 2**24
    assert word == tail
    return symbols


def tables_in_turn(symbols: np.ndarray, first: np.ndarray, apart: int) -> np.ndarray:
    """The table of each symbol of a trellis, int16[n]: ``first`` names that in state 0."""
    used, state = first.copy(), 0
    for place, symbol in enumerate(symbols.tolist()):
        used[place] += apart * state
        state = int(NEXT[state, symbol % 2])
    return used
