"""Entropy coders that were weighed against maevid's own, each as a pair of functions over the same tables.

Every ``make_*`` gives ``encode(symbols, indexes) -> (coded, bytes)`` and ``decode(coded, indexes) ->
symbols``, and raises ImportError where its library is missing. None of them codes escapes except CompressAI.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from maevid.codec.entropy import FrequencyTables

Coder = tuple[Callable[..., tuple[Any, int]], Callable[..., np.ndarray]]


def make_compressai(tables: FrequencyTables) -> Coder:
    """CompressAI's rANS (C++, Python lists in and out), with the same frequencies and its own escape."""
    from compressai import ans

    sizes = [int(size) + 2 for size in tables.size]
    cdfs = [
        tables.cumulative[start : start + size].tolist()
        for start, size in zip(tables.offset, sizes, strict=True)
    ]
    offsets = tables.minimum.tolist()

    def encode(symbols: np.ndarray, indexes: np.ndarray) -> tuple[bytes, int]:
        coded = ans.RansEncoder().encode_with_indexes(
            symbols.tolist(), indexes.tolist(), cdfs, sizes, offsets
        )
        return coded, len(coded)

    def decode(coded: bytes, indexes: np.ndarray) -> np.ndarray:
        decoder = ans.RansDecoder()
        return np.array(
            decoder.decode_with_indexes(coded, indexes.tolist(), cdfs, sizes, offsets), dtype=np.int32
        )

    return encode, decode


def make_constriction(tables: FrequencyTables) -> Coder:
    """constriction's ANS (Rust): probabilities in floating point only; symbols are coded table by table."""
    import constriction

    models = [
        constriction.stream.model.Categorical(
            np.diff(tables.cumulative[start : start + size + 2]) / 65536.0, perfect=False, lazy=False
        )
        for start, size in zip(tables.offset, tables.size, strict=True)
    ]

    def groups(indexes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(indexes, kind="stable")
        return order, np.searchsorted(indexes[order], np.arange(len(tables) + 1))

    def encode(symbols: np.ndarray, indexes: np.ndarray) -> tuple[np.ndarray, int]:
        order, ends = groups(indexes)
        entries = (symbols - tables.minimum[indexes])[order].astype(np.int32)
        coder = constriction.stream.stack.AnsCoder()
        for table in range(len(tables) - 1, -1, -1):
            part = entries[ends[table] : ends[table + 1]]
            if len(part):
                coder.encode_reverse(part, models[table])
        coded = coder.get_compressed()
        return coded, coded.nbytes

    def decode(coded: np.ndarray, indexes: np.ndarray) -> np.ndarray:
        order, ends = groups(indexes)
        coder = constriction.stream.stack.AnsCoder(coded)
        entries = np.empty(len(indexes), dtype=np.int32)
        for table in range(len(tables)):
            count = int(ends[table + 1] - ends[table])
            if count:
                entries[order[ends[table] : ends[table + 1]]] = coder.decode(models[table], count)
        return entries + tables.minimum[indexes]

    return encode, decode


def make_numpy_lanes(tables: FrequencyTables, lanes: int) -> Coder:
    """rANS in NumPy: ``lanes`` interleaved 40-bit states, symbol i on lane i mod lanes, a row at a time."""
    count = tables.size.astype(np.int64) + 1
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    inside = np.ones(len(tables.cumulative), dtype=bool)
    inside[tables.offset + tables.size + 1] = False
    start = tables.cumulative[inside].astype(np.int64)
    table = np.repeat(np.arange(len(tables)), count)
    end = start + np.diff(np.append(tables.cumulative, 0))[inside]
    frequency = end - start
    keys = end + (table << 16)

    def encode(symbols: np.ndarray, indexes: np.ndarray) -> tuple[Any, int]:
        entry = first[indexes] + symbols - tables.minimum[indexes]
        rows = -(-len(symbols) // lanes)
        c, f = np.zeros((2, rows * lanes), dtype=np.int64)
        f[:] = 65536
        c[: len(symbols)], f[: len(symbols)] = start[entry], frequency[entry]
        c, f = c.reshape(rows, lanes), f.reshape(rows, lanes)
        limit = f << 24
        state = np.full(lanes, 1 << 24, dtype=np.int64)
        words = []
        for row in range(rows - 1, -1, -1):
            full = state >= limit[row]
            words.append(state[full][::-1] & 0xFFFF)
            state = np.where(full, state >> 16, state)
            quotient, rest = np.divmod(state, f[row])
            state = (quotient << 16) + rest + c[row]
        stream = np.concatenate(words)[::-1].astype(np.uint16)
        return (state, stream), 5 * lanes + stream.nbytes

    def decode(coded: Any, indexes: np.ndarray) -> np.ndarray:
        state, words = coded
        rows = -(-len(indexes) // lanes)
        base = np.zeros(rows * lanes, dtype=np.int64)
        base[: len(indexes)] = indexes.astype(np.int64) << 16
        base = base.reshape(rows, lanes)
        used = len(indexes) - (rows - 1) * lanes
        entries = np.empty((rows, lanes), dtype=np.int64)
        at = 0
        for row in range(rows):
            slot = state & 0xFFFF
            entry = keys.searchsorted(base[row] + slot, side="right")
            state_ = frequency[entry] * (state >> 16) + slot - start[entry]
            if row == rows - 1:
                # Lanes beyond the last symbol hold their state.
                state_[used:] = state[used:]
            state = state_
            entries[row] = entry
            empty = np.flatnonzero(state < 1 << 24)
            state[empty] = (state[empty] << 16) | words[at : at + len(empty)]
            at += len(empty)
        return (entries.ravel()[: len(indexes)] - first[indexes] + tables.minimum[indexes]).astype(np.int32)

    return encode, decode


def make_numba_lanes(tables: FrequencyTables, lanes: int, bits: int) -> Coder:
    """rANS in Numba: ``lanes`` (a power of two) interleaved states of ``bits`` bits, least 2^(bits - 16)."""
    import numba

    low = bits - 16

    @numba.njit(nogil=True, error_model="numpy")
    def run_encode(symbols, indexes, cumulative, offset, minimum, words):  # type: ignore[no-untyped-def]
        states = np.full(lanes, 1 << low, dtype=np.int64)
        at = 0
        for i in range(len(symbols) - 1, -1, -1):
            lane = i & (lanes - 1)
            state = states[lane]
            place = offset[indexes[i]] + symbols[i] - minimum[indexes[i]]
            start = cumulative[place]
            frequency = cumulative[place + 1] - start
            if state >= frequency << low:
                words[at] = state & 0xFFFF
                at += 1
                state >>= 16
            quotient = state // frequency
            states[lane] = (quotient << 16) + (state - quotient * frequency) + start
        return at, states

    @numba.njit(nogil=True, error_model="numpy")
    def run_decode(words, at, states, indexes, cumulative, offset, minimum, lookup, symbols):  # type: ignore[no-untyped-def]
        for i in range(len(indexes)):
            lane = i & (lanes - 1)
            state = states[lane]
            table = np.int64(indexes[i])
            slot = state & 0xFFFF
            place = offset[table] + lookup[(table << 8) | (slot >> 8)]
            while cumulative[place + 1] <= slot:
                place += 1
            start = cumulative[place]
            state = (cumulative[place + 1] - start) * (state >> 16) + slot - start
            if state < 1 << low:
                at -= 1
                state = (state << 16) | np.int64(words[at])
            states[lane] = state
            symbols[i] = minimum[table] + place - offset[table]

    def encode(symbols: np.ndarray, indexes: np.ndarray) -> tuple[Any, int]:
        words = np.empty(len(symbols), dtype=np.uint16)
        at, states = run_encode(symbols, indexes, tables.cumulative, tables.offset, tables.minimum, words)
        return (words, at, states), 2 * at + lanes * bits // 8

    def decode(coded: Any, indexes: np.ndarray) -> np.ndarray:
        words, at, states = coded
        symbols = np.empty(len(indexes), dtype=np.int32)
        run_decode(
            words,
            at,
            states.copy(),
            indexes,
            tables.cumulative,
            tables.offset,
            tables.minimum,
            tables.lookup,
            symbols,
        )
        return symbols

    return encode, decode
