"""Integer frequency tables: what every decoder must hold bit for bit, and what a symbol costs under them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from maevid.codec.entropy.escapes import escape_bytes
from maevid.errors import ModelError

PRECISION = 16
"""Frequencies of a table sum to 2**PRECISION; the byte format depends on it."""

TOTAL = 1 << PRECISION
MAX_TABLES = 1 << 15
LOOKUP_BITS = 8

_PIECE = 1 << 15

_T = TypeVar("_T", bound=np.generic)
Int32Array = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class FrequencyTables:
    """T frequency tables, laid end to end. Checked when made, read-only ever after.

    Table t covers the symbols ``minimum[t] … minimum[t] + size[t] - 1``, entry k standing for symbol
    ``minimum[t] + k``, and has one entry more, number ``size[t]``, for every other int32 value (the escape).
    Its ``size[t] + 2`` cumulative frequencies 0 = c₀ < c₁ < … = 65536 stand in ``cumulative`` from
    ``offset[t]`` on; entry k has the frequency c₍k+1₎ - c₍k₎ ≥ 1.

    ``cumulative``: int32[Σ (size + 2)]; ``minimum``, ``size``: int32[T], T in 1..32768.
    Raises ModelError when the arrays are no such tables.
    """

    cumulative: Int32Array
    minimum: Int32Array
    size: Int32Array

    def __post_init__(self) -> None:
        for name in ("cumulative", "minimum", "size"):
            given = np.asarray(getattr(self, name))
            if given.dtype != np.int32 or given.ndim != 1:
                raise ModelError(
                    f"frequency tables: {name} must be a row of int32, not {given.dtype} of shape "
                    f"{given.shape}; the checkpoint is damaged or made by another program"
                )
            own = given.copy()
            own.setflags(write=False)
            object.__setattr__(self, name, own)
        self.validate()

    def __len__(self) -> int:
        return len(self.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrequencyTables):
            return NotImplemented
        return all(
            np.array_equal(a, b)
            for a, b in (
                (self.cumulative, other.cumulative),
                (self.minimum, other.minimum),
                (self.size, other.size),
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def validate(self) -> None:
        """Check every property that coding relies on. Raises ModelError that names the first bad table."""
        count = len(self.size)
        if not 1 <= count <= MAX_TABLES or len(self.minimum) != count:
            raise ModelError(
                f"frequency tables: {count} sizes and {len(self.minimum)} minima (1 to {MAX_TABLES} of each "
                "are possible); the checkpoint is damaged"
            )
        size = self.size.astype(np.int64)
        # A frequency of at least 1 for each entry leaves room for 65535 symbols and the escape.
        _refuse((size < 1) | (size > TOTAL - 1), "has an impossible size")
        last = self.minimum + size - 1
        _refuse(last > np.iinfo(np.int32).max, "covers symbols beyond int32")
        if len(self.cumulative) != int((size + 2).sum()):
            raise ModelError(
                f"frequency tables: {len(self.cumulative)} cumulative frequencies where the sizes ask for "
                f"{int((size + 2).sum())}; the checkpoint is damaged"
            )
        first = np.concatenate([[0], np.cumsum(size + 2)[:-1]])
        _refuse(self.cumulative[first] != 0, "does not start at 0")
        _refuse(self.cumulative[first + size + 1] != TOTAL, f"does not sum to {TOTAL}")
        # With both ends right and every step positive, all values lie in range.
        rises = np.diff(self.cumulative.astype(np.int64)) > 0
        rises[first[1:] - 1] = True
        falls = ~np.logical_and.reduceat(np.append(rises, True), first)
        _refuse(falls, "has a frequency below 1")

    @cached_property
    def offset(self) -> Int32Array:
        """int32[T]: where each table starts in ``cumulative``."""
        return _frozen(np.concatenate([[0], np.cumsum(self.size.astype(np.int64) + 2)[:-1]]).astype(np.int32))

    @cached_property
    def _minimum64(self) -> npt.NDArray[np.int64]:
        return self.minimum.astype(np.int64)

    @cached_property
    def lookup(self) -> npt.NDArray[np.uint16]:
        """uint16[T · 256]: at 256·t + h the entry of table t that holds slot 256·h; a search starts there."""
        slots = np.arange(1 << LOOKUP_BITS) << (PRECISION - LOOKUP_BITS)
        rows = [
            np.searchsorted(self.cumulative[start + 1 : start + size + 1], slots, side="right")
            for start, size in zip(self.offset, self.size, strict=True)
        ]
        return _frozen(np.concatenate(rows).astype(np.uint16))

    @cached_property
    def entry_bits(self) -> npt.NDArray[np.float64]:
        """float64, parallel to ``cumulative``: bits of the entry that begins there (void at table ends)."""
        frequency = np.append(np.diff(self.cumulative.astype(np.int64)), 1)
        return _frozen(PRECISION - np.log2(np.maximum(frequency, 1)))

    def entries(
        self, symbols: npt.NDArray[np.int32], indexes: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Where each symbol's entry begins in ``cumulative`` (int64[n]); which are escaped (bool[n])."""
        which = indexes.astype(np.intp)
        size = self.size.take(which)
        entry = symbols - self._minimum64.take(which)
        # Seen as unsigned, an entry below 0 is far beyond every size.
        escaped = entry.view(np.uint64) >= size.view(np.uint32)
        np.copyto(entry, size, where=escaped)
        entry += self.offset.take(which)
        return entry, escaped

    def cost_bits(self, symbols: npt.NDArray[np.int32], indexes: npt.NDArray[np.integer[Any]]) -> float:
        """What coding ``symbols`` under tables ``indexes`` costs: Σ -log₂(frequency / 65536) + escape bytes.

        Exact but for the ends of a string: :data:`~maevid.codec.entropy.coder.OVERHEAD_BYTES` each.
        """
        bits = 0.0
        # In pieces, since the temporaries of a whole frame would fall out of the processor's cache.
        for first in range(0, len(symbols), _PIECE):
            piece, which = symbols[first : first + _PIECE], indexes[first : first + _PIECE]
            where, escaped = self.entries(piece, which)
            bits += float(self.entry_bits.take(where).sum())
            if escaped.any():
                which = which[escaped]
                bits += 8 * len(escape_bytes(piece[escaped], self.minimum[which], self.size[which]))
        return bits

    def to_arrays(self) -> dict[str, Int32Array]:
        """The arrays to store with the weights (safetensors takes them as they are)."""
        return {"cumulative": self.cumulative, "minimum": self.minimum, "size": self.size}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> FrequencyTables:
        """Tables from what :meth:`to_arrays` gave. Raises ModelError when something is missing or wrong."""
        try:
            return cls(*(arrays[name] for name in ("cumulative", "minimum", "size")))  # type: ignore[arg-type]
        except KeyError as missing:
            raise ModelError(f"frequency tables: the checkpoint has no {missing}") from None

    @classmethod
    def joined(cls, *parts: FrequencyTables) -> FrequencyTables:
        """All tables of ``parts`` in one, in order, so that one string can hold symbols of several priors.

        Table t of the second part becomes table ``len(first) + t``, and so on.
        """
        return cls(
            np.concatenate([part.cumulative for part in parts]),
            np.concatenate([part.minimum for part in parts]),
            np.concatenate([part.size for part in parts]),
        )


def _refuse(bad: npt.NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise ModelError(f"frequency table {int(np.argmax(bad))} {what}; the checkpoint is damaged")


def _frozen(array: npt.NDArray[_T]) -> npt.NDArray[_T]:
    array.setflags(write=False)
    return array
