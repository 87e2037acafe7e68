"""Which implementation of the inner loops runs: compiled when Numba works here, else interpreted."""

from __future__ import annotations

import logging
from functools import cache
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


class Kernels(NamedTuple):
    """One implementation. All of them read and write the same bytes."""

    name: str
    encode: EncodeKernel
    decode: DecodeKernel


@cache
def default_kernels() -> Kernels:
    """The fastest implementation that works here, chosen at first use. The log says if it is the slow one."""
    try:
        from maevid.codec.entropy import compiled
    # Numba refuses an unknown NumPy, Python or processor with errors of many classes; coding must go on.
    except Exception as reason:
        from maevid.codec.entropy import interpreted

        logging.getLogger(__name__).warning(
            "entropy coding runs interpreted, some 30 times slower: Numba does not work here (%s)", reason
        )
        return Kernels("interpreted", interpreted.encode_symbols, interpreted.decode_symbols)
    return Kernels(compiled.NAME, compiled.encode_symbols, compiled.decode_symbols)


def kernels_in_use() -> str:
    """``compiled``, ``compiled, not cached`` or ``interpreted``: for `info`, logs and bug reports."""
    return default_kernels().name
