"""The coder's inner loops in plain Python integers: the reference, and what runs where Numba does not."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from maevid.codec.entropy.escapes import MAX_BYTES, read_escapes
from maevid.codec.entropy.kernels import LOWER
from maevid.codec.entropy.tables import FrequencyTables, IndexArray, Int32Array
from maevid.codec.entropy.trellis import NEXT
from maevid.errors import DamagedError


def encode_symbols(
    symbols: Int32Array, indexes: IndexArray, tables: FrequencyTables
) -> tuple[int, bytes, Int32Array]:
    """See :class:`~maevid.codec.entropy.kernels.EncodeKernel`."""
    where, escaped = tables.entries(symbols, indexes)
    start = tables.cumulative[where]
    frequency = tables.cumulative[where + 1] - start
    state = LOWER
    words: list[int] = []
    for c, f in zip(start[::-1].tolist(), frequency[::-1].tolist(), strict=True):
        if state >= f << 24:
            words.append(state & 0xFFFF)
            state >>= 16
        state = (state // f << 16) + state % f + c
    data = np.array(words[::-1], dtype="<u2").tobytes()
    return state, data, np.flatnonzero(escaped).astype(np.int32)


def decode_symbols(
    data: npt.NDArray[np.uint8], at: int, limit: int, state: int, indexes: IndexArray, tables: FrequencyTables
) -> tuple[Int32Array, Int32Array, int, int]:
    """See :class:`~maevid.codec.entropy.kernels.DecodeKernel`."""
    words = data[at:limit].tobytes()
    end = len(words) - 1
    read = 0
    rows = {
        index: tables.cumulative[tables.offset[index] :][: tables.size[index] + 2].tolist()
        for index in np.unique(indexes).tolist()
    }
    entries: list[int] = []
    for index in indexes.tolist():
        cumulative = rows[index]
        slot = state & 0xFFFF
        entry = bisect_right(cumulative, slot) - 1
        start = cumulative[entry]
        state = (cumulative[entry + 1] - start) * (state >> 16) + slot - start
        if state < LOWER:
            if read >= end:
                raise DamagedError("entropy-coded data is damaged: it ends too early")
            state = state << 16 | words[read] | words[read + 1] << 8
            read += 2
        entries.append(entry)
    entry_of = np.array(entries, dtype=np.int64)
    escapes = np.flatnonzero(entry_of == tables.size[indexes]).astype(np.int32)
    # An escape's entry may lie one beyond int32 here; its value is filled in later.
    symbols = (entry_of + tables.minimum[indexes]).astype(np.int32)
    return symbols, escapes, state, at + read


def decode_symbols_in_turn(
    data: npt.NDArray[np.uint8],
    at: int,
    limit: int,
    state: int,
    indexes: IndexArray,
    apart: int,
    tables: FrequencyTables,
) -> tuple[Int32Array, IndexArray, int, int, int]:
    """See :class:`~maevid.codec.entropy.kernels.DecodeInTurnKernel`."""
    symbols = np.empty(len(indexes), dtype=np.int32)
    used = np.empty(len(indexes), dtype=np.int16)
    turn = 0
    # One by one: where the next symbol is looked for depends on this one.
    for place, index in enumerate(indexes.tolist()):
        used[place] = index + apart * turn
        which = used[place : place + 1]
        found, escaped, state, at = decode_symbols(data, at, limit, state, which, tables)
        if len(escaped):
            ahead = data[at:limit][::-1][:MAX_BYTES]
            found, taken = read_escapes(ahead, tables.minimum[which], tables.size[which])
            limit -= taken
        symbols[place] = found[0]
        turn = int(NEXT[turn, found[0] & 1])
    return symbols, used, state, at, limit
