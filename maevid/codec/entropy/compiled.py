"""The coder's inner loops compiled by Numba: about 6 ns a symbol, without holding the GIL.

Compiled (once a machine, then loaded from Numba's cache) when this module is imported; import it through
:func:`~maevid.codec.entropy.kernels.default_kernels`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maevid.codec.entropy.escapes import MAX_BYTES
from maevid.codec.entropy.kernels import LOWER
from maevid.codec.entropy.tables import LOOKUP_BITS, FrequencyTables, IndexArray, Int32Array
from maevid.codec.entropy.trellis import NEXT
from maevid.errors import DamagedError
from maevid.jit import compiled, readable, types

_SLOT_SHIFT = 16 - LOOKUP_BITS
_LEAST, _MOST = -(1 << 31), (1 << 31) - 1


def _encode(
    symbols: Int32Array,
    indexes: IndexArray,
    cumulative: Int32Array,
    offset: Int32Array,
    minimum: Int32Array,
    size: Int32Array,
    words: npt.NDArray[np.uint8],
    escaped: Int32Array,
) -> tuple[int, int, int]:
    """Fill ``words`` and ``escaped`` from their ends; gives the state and where each of them begins."""
    state = LOWER
    at = len(words)
    first_escape = len(escaped)
    for i in range(len(symbols) - 1, -1, -1):
        table = indexes[i]
        entry = int(symbols[i]) - int(minimum[table])
        if entry < 0 or entry >= size[table]:
            entry = int(size[table])
            first_escape -= 1
            escaped[first_escape] = i
        place = int(offset[table]) + entry
        start = int(cumulative[place])
        frequency = int(cumulative[place + 1]) - start
        if state >= frequency << 24:
            at -= 2
            words[at] = state & 0xFF
            words[at + 1] = (state >> 8) & 0xFF
            state >>= 16
        quotient = state // frequency
        state = (quotient << 16) + (state - quotient * frequency) + start
    return state, at, first_escape


def _decode(
    data: npt.NDArray[np.uint8],
    at: int,
    limit: int,
    state: int,
    indexes: IndexArray,
    cumulative: Int32Array,
    offset: Int32Array,
    minimum: Int32Array,
    size: Int32Array,
    lookup: npt.NDArray[np.uint16],
    symbols: Int32Array,
    escaped: Int32Array,
) -> tuple[int, int, int]:
    """Fill ``symbols`` and ``escaped``; gives the state, new ``at`` (-1: no word left) and escape count."""
    escapes = 0
    for i in range(len(indexes)):
        table = int(indexes[i])
        slot = state & 0xFFFF
        place = int(offset[table]) + int(lookup[(table << LOOKUP_BITS) | (slot >> _SLOT_SHIFT)])
        end = int(cumulative[place + 1])
        while end <= slot:
            place += 1
            end = int(cumulative[place + 1])
        start = int(cumulative[place])
        state = (end - start) * (state >> 16) + slot - start
        if state < LOWER:
            if at + 2 > limit:
                return state, -1, escapes
            state = (state << 16) | int(data[at]) | (int(data[at + 1]) << 8)
            at += 2
        entry = place - int(offset[table])
        if entry == size[table]:
            escaped[escapes] = i
            escapes += 1
        else:
            symbols[i] = int(minimum[table]) + entry
    return state, at, escapes


def _decode_in_turn(
    data: npt.NDArray[np.uint8],
    at: int,
    limit: int,
    state: int,
    indexes: IndexArray,
    apart: int,
    following: npt.NDArray[np.uint8],
    cumulative: Int32Array,
    offset: Int32Array,
    minimum: Int32Array,
    size: Int32Array,
    lookup: npt.NDArray[np.uint16],
    symbols: Int32Array,
    used: IndexArray,
) -> tuple[int, int, int]:
    """Fill ``symbols`` and the tables ``used``; gives the state, new ``at`` and ``limit``.

    ``at`` is -1 where no word is left; ``limit`` is -1 where an escape number cannot be right. The state's step is
    written out as in :func:`_decode`: as a function of its own it makes that a sixth slower, and this by a twentieth.
    """
    turn = 0
    for i in range(len(indexes)):
        table = int(indexes[i]) + apart * turn
        slot = state & 0xFFFF
        place = int(offset[table]) + int(lookup[(table << LOOKUP_BITS) | (slot >> _SLOT_SHIFT)])
        end = int(cumulative[place + 1])
        while end <= slot:
            place += 1
            end = int(cumulative[place + 1])
        start = int(cumulative[place])
        state = (end - start) * (state >> 16) + slot - start
        if state < LOWER:
            if at + 2 > limit:
                return state, -1, limit
            state = (state << 16) | int(data[at]) | (int(data[at + 1]) << 8)
            at += 2
        symbol = int(minimum[table]) + place - int(offset[table])
        if place - int(offset[table]) == size[table]:
            number, digits, more = 0, 0, True
            while more:
                if limit <= at or digits == MAX_BYTES:
                    return state, at, -1
                limit -= 1
                digit = int(data[limit])
                number |= (digit & 0x7F) << (7 * digits)
                digits += 1
                more = digit >= 0x80
            if digits > 1 and digit == 0:
                return state, at, -1
            symbol = int(minimum[table]) - 1 - (number >> 1) if number & 1 else symbol + (number >> 1)
            if not _LEAST <= symbol <= _MOST:
                return state, at, -1
        symbols[i], used[i] = symbol, table
        turn = int(following[turn, symbol & 1])
    return state, at, limit


_TABLES = (readable(types.int32),) * 4
_RESULT = types.UniTuple(types.int64, 3)
_encode_jit, _encode_cached = compiled(
    _encode,
    _RESULT(readable(types.int32), readable(types.int16), *_TABLES, types.uint8[::1], types.int32[::1]),
)
_decode_jit, _decode_cached = compiled(
    _decode,
    _RESULT(
        readable(types.uint8),
        types.int64,
        types.int64,
        types.int64,
        readable(types.int16),
        *_TABLES,
        readable(types.uint16),
        types.int32[::1],
        types.int32[::1],
    ),
)
_decode_in_turn_jit, _ = compiled(
    _decode_in_turn,
    _RESULT(
        readable(types.uint8),
        *(types.int64,) * 3,
        readable(types.int16),
        types.int64,
        readable(types.uint8, 2),
        *_TABLES,
        readable(types.uint16),
        types.int32[::1],
        types.int16[::1],
    ),
)

NAME = "compiled" if _encode_cached and _decode_cached else "compiled, not cached"


def encode_symbols(
    symbols: Int32Array, indexes: IndexArray, tables: FrequencyTables
) -> tuple[int, bytes, Int32Array]:
    """See :class:`~maevid.codec.entropy.kernels.EncodeKernel`."""
    words = np.empty(2 * len(symbols), dtype=np.uint8)
    escaped = np.empty(len(symbols), dtype=np.int32)
    state, at, first_escape = _encode_jit(
        symbols, indexes, tables.cumulative, tables.offset, tables.minimum, tables.size, words, escaped
    )
    return state, words[at:].tobytes(), escaped[first_escape:]


def decode_symbols(
    data: npt.NDArray[np.uint8], at: int, limit: int, state: int, indexes: IndexArray, tables: FrequencyTables
) -> tuple[Int32Array, Int32Array, int, int]:
    """See :class:`~maevid.codec.entropy.kernels.DecodeKernel`."""
    symbols = np.empty(len(indexes), dtype=np.int32)
    escaped = np.empty(len(indexes), dtype=np.int32)
    state, at, escapes = _decode_jit(
        data,
        at,
        limit,
        state,
        indexes,
        tables.cumulative,
        tables.offset,
        tables.minimum,
        tables.size,
        tables.lookup,
        symbols,
        escaped,
    )
    if at < 0:
        raise DamagedError("entropy-coded data is damaged: it ends too early")
    return symbols, escaped[:escapes], state, at


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
    state, at, limit = _decode_in_turn_jit(
        data,
        at,
        limit,
        state,
        indexes,
        apart,
        NEXT,
        tables.cumulative,
        tables.offset,
        tables.minimum,
        tables.size,
        tables.lookup,
        symbols,
        used,
    )
    if at < 0:
        raise DamagedError("entropy-coded data is damaged: it ends too early")
    if limit < 0:
        raise DamagedError("entropy-coded data is damaged: an escaped value cannot be right")
    return symbols, used, state, at, limit
