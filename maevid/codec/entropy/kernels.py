"""Which implementation of the inner loops runs: compiled when Numba works here, else interpreted."""

from __future__ import annotations

import logging
from functools import cache
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from maevid.codec.entropy.tables import FrequencyTables, IndexArray, Int32Array

LOWER = 1 << 24
"""The state lies in LOWER ≤ x < LOWER · 2¹⁶ between symbols, and is LOWER before the first is encoded."""


class EncodeKernel(Protocol):
    """Encodes ``symbols`` (int32[n], contiguous) under tables ``indexes`` (int16[n], each in range).

    Gives the final state, the words as little-endian bytes in decoding order, and the ascending positions of
    escaped symbols.
    """

    def __call__(
        self, symbols: Int32Array, indexes: IndexArray, tables: FrequencyTables
    ) -> tuple[int, bytes, Int32Array]: ...


class DecodeKernel(Protocol):
    """Decodes n symbols from a valid ``state``, reading words from ``data[at:limit]``.

    Gives the symbols, the ascending positions of escapes (whose values are yet to be filled in), the state
    and the new ``at``. Raises DamagedError when a word is needed beyond ``limit``.
    """

    def __call__(
        self,
        data: npt.NDArray[np.uint8],
        at: int,
        limit: int,
        state: int,
        indexes: IndexArray,
        tables: FrequencyTables,
    ) -> tuple[Int32Array, Int32Array, int, int]: ...


class DecodeInTurnKernel(Protocol):
    """Decodes n symbols of two quantisers in turn (:mod:`.trellis`) as :class:`DecodeKernel` does.

    ``indexes`` names the tables in state 0; each state's lie ``apart`` further. Escaped values are read at once,
    for their parity, from the end ``limit`` of ``data``. Gives the symbols, the table of each (int16[n]), the state,
    the new ``at`` and the new ``limit``. Raises DamagedError where either runs out or an escape number is none.
    """

    def __call__(
        self,
        data: npt.NDArray[np.uint8],
        at: int,
        limit: int,
        state: int,
        indexes: IndexArray,
        apart: int,
        tables: FrequencyTables,
    ) -> tuple[Int32Array, IndexArray, int, int, int]: ...


class Kernels(NamedTuple):
    """One implementation. All of them read and write the same bytes."""

    name: str
    encode: EncodeKernel
    decode: DecodeKernel
    decode_in_turn: DecodeInTurnKernel


def kernels_of(module: ModuleType, name: str) -> Kernels:
    """The kernels of :mod:`.compiled` or :mod:`.interpreted`."""
    return Kernels(name, module.encode_symbols, module.decode_symbols, module.decode_symbols_in_turn)


@cache
def default_kernels() -> Kernels:
    """The fastest implementation that works here, chosen at first use. The log says if it is the slow one."""
    chosen: ModuleType
    try:
        from maevid.codec.entropy import compiled
    # Numba refuses an unknown NumPy, Python or processor with errors of many classes; coding must go on.
    except Exception as reason:
        from maevid.codec.entropy import interpreted

        logging.getLogger(__name__).warning(
            "entropy coding runs interpreted, some 30 times slower: Numba does not work here (%s)", reason
        )
        chosen, name = interpreted, "interpreted"
    else:
        chosen, name = compiled, compiled.NAME
    return kernels_of(chosen, name)


def kernels_in_use() -> str:
    """``compiled``, ``compiled, not cached`` or ``interpreted``: for `info`, logs and bug reports."""
    return default_kernels().name
