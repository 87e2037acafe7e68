"""The coded string, byte for byte: an rANS state, its 16-bit words, and the values that no table covers.

Tables (:class:`~maevid.codec.entropy.tables.FrequencyTables`): a table has the cumulative frequencies
0 = c₀ < c₁ < … < c₍m+1₎ = 2¹⁶. Entry k < m stands for the symbol min + k, entry m for every other int32.
A sequence of symbols is coded into one string; whoever decodes knows, before each symbol, which table it has.

Layout (no symbols at all: the empty string)::

    5     state x, little-endian, 2²⁴ ≤ x < 2⁴⁰
    2·w   words, little-endian, in the order in which the decoder takes them
    …     escape bytes, in reverse: the decoder takes the string's last byte first

Decoding one symbol with the table c::

    slot = x mod 2¹⁶;  k such that c₍k₎ ≤ slot < c₍k+1₎
    x = (c₍k+1₎ - c₍k₎) · ⌊x / 2¹⁶⌋ + slot - c₍k₎
    if x < 2²⁴:  x = 2¹⁶ · x + next word
    if k < m:  symbol = min + k
    else:      u = next escape number;  symbol = min + m + u/2 (u even) or min - 1 - (u-1)/2 (u odd)

An escape number is LEB128 (seven bits a byte, low ones first, bit 7 set on all bytes but the last), 1 to 5
bytes, without empty last digits. After the last symbol x = 2²⁴, and the words end where the escape bytes
begin. So every string that decodes without complaint is the one that :func:`encode` makes of its symbols.

Encoding runs over the symbols from the last to the first, from x = 2²⁴ (words are put in front of those
already there; escape numbers stand in the order of the symbols)::

    if x ≥ 2²⁴ · (c₍k+1₎ - c₍k₎):  put word x mod 2¹⁶;  x = ⌊x / 2¹⁶⌋
    x = 2¹⁶ · ⌊x / f⌋ + x mod f + c₍k₎,  f = c₍k+1₎ - c₍k₎

There is one state: compiled, it codes 300,000 symbols in 2 ms; several interleaved states would save less
than a millisecond a frame and cost 4 bytes each. And it has 40 bits: with 32 (least value 2¹⁶) strings were
0.14 % longer than their tables promise, with 40 the excess cannot be measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maevid.codec.entropy.escapes import escape_bytes, read_escapes
from maevid.codec.entropy.kernels import LOWER, Kernels, default_kernels
from maevid.codec.entropy.tables import FrequencyTables, IndexArray, Int32Array
from maevid.codec.entropy.trellis import STATES
from maevid.errors import DamagedError

OVERHEAD_BYTES = 4
"""Mean length of a string beyond :meth:`.FrequencyTables.cost_bits`; at most 5 (no symbols: nothing)."""

_STATE_BYTES = 5


def encode(
    symbols: npt.NDArray[np.int32],
    table_indexes: npt.NDArray[np.integer[Any]],
    tables: FrequencyTables,
    *,
    kernels: Kernels | None = None,
) -> bytes:
    """Code int32[n] symbols, each under the table that ``table_indexes`` (n integers) names, into one string.

    To code in segments that are decoded one after another, concatenate them. Any int32 survives. ``kernels``
    forces an implementation; all give the same bytes. Raises ValueError for a wrong type, shape or range.
    """
    symbols = np.asarray(symbols)
    if symbols.ndim != 1 or symbols.shape != np.shape(table_indexes):
        raise ValueError(
            "symbols and table indexes must be rows of one length, "
            f"not of shapes {symbols.shape} and {np.shape(table_indexes)}"
        )
    if not np.can_cast(symbols.dtype, np.int32):
        raise ValueError(f"symbols must be int32, not {symbols.dtype}")
    indexes = _checked_indexes(table_indexes, tables)
    if not len(symbols):
        return b""
    run = (kernels or default_kernels()).encode
    state, words, escaped = run(np.ascontiguousarray(symbols, dtype=np.int32), indexes, tables)
    tail = b""
    if len(escaped):
        which = indexes[escaped]
        tail = escape_bytes(symbols[escaped], tables.minimum[which], tables.size[which])
    return state.to_bytes(_STATE_BYTES, "little") + words + tail[::-1]


class Decoder:
    """Takes the symbols out of a string, in as many steps as the tables of later symbols need.

    Damaged data raises DamagedError or gives wrong symbols; time and memory are bounded by the number of
    symbols asked for. After a DamagedError the rest of the string is of no use.
    """

    def __init__(self, data: bytes, tables: FrequencyTables, *, kernels: Kernels | None = None) -> None:
        """Raises DamagedError when ``data`` cannot be the start of a string."""
        self._tables = tables
        self._kernels = kernels
        self._data = np.frombuffer(data, dtype=np.uint8)
        self._at = _STATE_BYTES
        self._limit = len(data)
        self._state = LOWER
        self._started = False
        if data:
            if len(data) < _STATE_BYTES:
                raise DamagedError(f"entropy-coded data is damaged: only {len(data)} bytes are left of it")
            self._state = int.from_bytes(data[:_STATE_BYTES], "little")
            if self._state < LOWER:
                raise DamagedError("entropy-coded data is damaged: impossible state at its start")

    def decode(self, table_indexes: npt.NDArray[np.integer[Any]]) -> Int32Array:
        """The next int32[n] symbols, coded under the tables ``table_indexes`` (n integers).

        Raises DamagedError when the string ends before them or holds an impossible value, ValueError for
        indexes of wrong type, shape or range.
        """
        indexes = _checked_indexes(table_indexes, self._tables)
        if not len(indexes):
            return np.empty(0, dtype=np.int32)
        self._started = True
        run = (self._kernels or default_kernels()).decode
        symbols, escaped, state, at = run(
            self._data, self._at, self._limit, self._state, indexes, self._tables
        )
        limit = self._limit
        if len(escaped):
            which = indexes[escaped]
            symbols[escaped], used = read_escapes(
                self._data[at:limit][::-1], self._tables.minimum[which], self._tables.size[which]
            )
            limit -= used
        self._state, self._at, self._limit = state, at, limit
        return symbols

    def decode_in_turn(
        self, table_indexes: npt.NDArray[np.integer[Any]], apart: int
    ) -> tuple[Int32Array, IndexArray]:
        """The next int32[n] symbols of two quantisers in turn (:mod:`.trellis`), and the table of each, int16[n].

        ``table_indexes`` names the tables in state 0; each state's lie ``apart`` further. Raises as
        :meth:`decode` does.
        """
        indexes = _checked_indexes(table_indexes, self._tables)
        if not len(indexes):
            return np.empty(0, dtype=np.int32), indexes
        _checked_indexes(np.array([int(indexes.max()) + (STATES - 1) * apart]), self._tables)
        self._started = True
        run = (self._kernels or default_kernels()).decode_in_turn
        symbols, used, self._state, self._at, self._limit = run(
            self._data, self._at, self._limit, self._state, indexes, apart, self._tables
        )
        return symbols, used

    def finish(self) -> None:
        """Check that all of the string was taken and the state is back at 2²⁴ (24 bits of check).

        Raises DamagedError when not: data, tables or the number of symbols are not what was encoded. It is
        no check of escaped values, whose bytes stand apart; the packet's CRC is.
        """
        at_end = self._at == self._limit if self._started else len(self._data) == 0
        if not at_end or self._state != LOWER:
            raise DamagedError("entropy-coded data is damaged: it does not end where its symbols end")


def _checked_indexes(table_indexes: npt.NDArray[np.integer[Any]], tables: FrequencyTables) -> IndexArray:
    indexes = np.asarray(table_indexes)
    if indexes.ndim != 1 or not np.issubdtype(indexes.dtype, np.integer):
        raise ValueError(
            f"table indexes must be a row of integers, not {indexes.dtype} of shape {indexes.shape}"
        )
    if len(indexes) and (int(indexes.min()) < 0 or int(indexes.max()) >= len(tables)):
        raise ValueError(f"table indexes must lie in 0..{len(tables) - 1}")
    return np.ascontiguousarray(indexes, dtype=np.int16)
