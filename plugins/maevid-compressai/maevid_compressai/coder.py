"""What passes through CompressAI's entropy coder is watched, so that a decoder that goes astray is found out.

CompressAI computes the scales of latents in floating point. Another machine, thread count or library version may get
a last bit that differs, choose another table, and decode noise without noticing. A check value over all symbols and
table numbers, kept in the packet, shows it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn


class Ledger:
    """The check value of the symbols that were written or read since :meth:`begin`."""

    def __init__(self) -> None:
        self.value = 0
        self.writing = True

    def begin(self, *, writing: bool) -> None:
        """Start anew; calls of the other direction (encoders decode their hyper-latents) do not count."""
        self.value, self.writing = 0, writing

    def take(self, symbols: Sequence[int], indexes: Sequence[int], *, writing: bool) -> None:
        """Count one string. The order of strings does not matter."""
        if writing == self.writing:
            first = zlib.crc32(np.asarray(symbols, "<i4").data)
            self.value ^= zlib.crc32(np.asarray(indexes, "<i4").data, first)


class WatchedCoder:
    """Stands in an entropy model in place of its coder and does what that does."""

    def __init__(self, coder: Any, ledger: Ledger) -> None:
        self._coder, self._ledger = coder, ledger
        self.name: str = coder.name

    def encode_with_indexes(self, symbols: list[int], indexes: list[int], *tables: Any) -> bytes:
        """One string of all symbols."""
        self._ledger.take(symbols, indexes, writing=True)
        string: bytes = self._coder.encode_with_indexes(symbols, indexes, *tables)
        return string

    def decode_with_indexes(self, string: bytes, indexes: list[int], *tables: Any) -> list[int]:
        """All symbols of one string."""
        symbols: list[int] = self._coder.decode_with_indexes(string, indexes, *tables)
        self._ledger.take(symbols, indexes, writing=False)
        return symbols


def watch(model: nn.Module) -> Ledger:
    """Watch every entropy model of a network."""
    ledger = Ledger()
    for module in model.modules():
        if hasattr(module, "entropy_coder"):
            module.entropy_coder = WatchedCoder(module.entropy_coder, ledger)  # type: ignore[assignment]
    return ledger


def with_end(string: bytes, samples: int) -> bytes:
    """The string and zeros behind it, into which a decoder runs that damage leads astray.

    CompressAI's decoder reads on behind the end of its data without a check. A symbol takes a word of 32 bits at most,
    an escaped one may announce fifteen times the digits that it has read; ``samples`` bounds the number of symbols.
    """
    return string + bytes(16 * len(string) + 8 * samples + 64)
