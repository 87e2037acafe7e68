"""Trellis-coded quantisation: two coarse quantisers in turn, and the sequence of symbols that serves a picture best.

The steps of each are half as long again as that of rounding would be, but between them they have all multiples of
0.75, and which one is next depends on the symbols before (:mod:`maevid.codec.entropy.trellis`). So the encoder has the
choice of a fine quantiser at little more than the rate of a coarse one: of all sequences of symbols it takes the one
with the least sum of (x - level)² + µ·bits (Viterbi's algorithm). At high rates that is worth 1.1 dB of the error of
the latents, of the 1.53 that any quantiser could gain; µ as in :mod:`maevid.model.quantiser`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from maevid.codec.entropy import FrequencyTables, gaussian_tables, second_gaussian_tables
from maevid.codec.entropy.tables import Int32Array
from maevid.codec.entropy.trellis import BEFORE, ODD, STATES, levels
from maevid.model.fused import available
from maevid.model.passes import Mask, coded_places
from maevid.model.prior import SCALES, SYMBOL_LIMIT, scale_of_index

STEP = 1.5
"""Of each quantiser, in units of the latents."""
RATE_WEIGHT = 0.07
"""µ. Models trained with 0.05 and tables fitted with that, mean ln(R + λ·255²·D) of four held-out pictures at five λ:
`mae-fast` 0.05 -0.2398, 0.07 -0.2447, 0.085 -0.2459; `mae` 0.05 -0.2613, 0.06 -0.2627, 0.075 -0.2631."""
FIRST_TABLE, APART = SCALES, SCALES
"""A model with a trellis has tables of the hyper-latents, then of the scale indices in state 0, in state 1, …"""
COSTED = 24
"""Larger symbols are taken to cost as much as this one: there bits hardly change from one symbol to the next."""
INVERSE = np.float32(1 / STEP)
FAR = np.float32(1e30)
"""What a state costs that a sequence cannot have reached yet."""

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def trellis_tables(scales: npt.NDArray[np.floating[Any]]) -> FrequencyTables:
    """Tables for normal distributions of these standard deviations: of unit bins, then of each state's quantiser."""
    turns = gaussian_tables(scales / STEP), second_gaussian_tables(scales / STEP)
    return FrequencyTables.joined(gaussian_tables(scales), *(turns[state % 2] for state in range(STATES)))


def costs_of(tables: FrequencyTables) -> Floats:
    """Bits of symbols 0..24 of each scale index in each state, (SCALES, 25, 8), the mean of both signs."""
    shape = SCALES, COSTED + 1, STATES
    index, sizes, states = (each.ravel() for each in np.indices(shape, np.int32))
    which = FIRST_TABLE + APART * states + index
    above, below = (tables.entry_bits[tables.entries(each, which)[0]] for each in (sizes, -sizes))
    bits: Floats = ((above + below) / 2).astype(np.float32).reshape(shape)
    return bits


def gaussian_costs() -> Floats:
    """:func:`costs_of` normal distributions, for training."""
    return costs_of(trellis_tables(scale_of_index(torch.arange(SCALES, dtype=torch.float64)).numpy()))


@dataclass(frozen=True)
class Found:
    """Of one picture and pass where symbols are coded, ``at`` (n,) in the flattened latents, and of these places scale
    indices, symbols and states."""

    at: npt.NDArray[np.intp]
    scales: Bytes
    symbols: Int32Array
    states: Bytes

    @property
    def tables(self) -> npt.NDArray[np.int16]:
        """Of the symbols (n,)."""
        # Widened first: NumPy 1 would add and multiply in eight bits.
        tables: npt.NDArray[np.int16] = (
            self.scales.astype(np.int16) + FIRST_TABLE + self.states.astype(np.int16) * APART
        )
        return tables


class Search:
    """Finds the best symbols, by ``costs`` (SCALES, 25, 8) in bits and µ ``rate_weight``."""

    def __init__(self, costs: Floats, rate_weight: float = RATE_WEIGHT) -> None:
        self._costs = np.ascontiguousarray(costs * np.float32(rate_weight))
        # By which the best even and odd symbols of a quantiser are chosen, for all states that it is of.
        means = [self._costs[:, :, quantiser::2].mean(2) for quantiser in range(2)]
        self._means = np.ascontiguousarray(np.stack(means).astype(np.float32))
        self._run = _compiled() or _interpreted

    def __call__(self, deviations: Floats, index: Bytes) -> tuple[Int32Array, Bytes]:
        """Symbols, int32[n], of a sequence of deviations from the means, and the states that they are coded in.

        ``index`` uint8[n] holds their scale indices. Symbols reach ±2^17.
        """
        symbols, states = np.empty(len(deviations), np.int32), np.empty(len(deviations), np.uint8)
        self._run(deviations, index, self._costs, self._means, symbols, states)
        return symbols, states

    def in_pass(self, which: Mask, deviations: Floats, index: Bytes, decoded: Floats) -> Found:
        """The best symbols of the latents of one picture that a pass codes (:mod:`maevid.model.passes`).

        ``deviations`` and scale indices ``index`` (C, h, w) are right where ``which`` is. Into ``decoded``, as large
        and contiguous, go the deviations that a decoder gets.
        """
        at = coded_places(which, index)
        scales = index.take(at)
        symbols, states = self(deviations.take(at), scales)
        decoded.put(at, restored(symbols, states))
        return Found(at, scales, symbols, states)


def restored(symbols: Int32Array, states: npt.NDArray[np.integer[Any]]) -> Floats:
    """Deviations from the means, float32[n], multiples of 0.75, that symbols coded in ``states`` stand for."""
    return levels(symbols, states & 1).astype(np.float32) * np.float32(STEP / 2)


def _compiled() -> Any:
    if not available():
        return None
    from maevid.model.fused.trellis_loops import search

    return search


def _interpreted(
    x: Floats, index: Bytes, costs: Floats, means: Floats, symbols: Int32Array, states: Bytes
) -> None:
    """Fill ``symbols`` and ``states``: the loops of :mod:`maevid.model.fused.trellis_loops`."""
    best, error = _branches(np.minimum(np.abs(x), np.float32(SYMBOL_LIMIT)), index, means)
    total = np.full(STATES, FAR, np.float32)
    total[0] = 0
    came = np.empty((len(x), STATES), np.intp)
    for place in range(len(x)):
        chosen = best[place][BEFORE % 2, ODD]
        bits = costs[index[place], np.minimum(chosen, COSTED), BEFORE]
        ways = total[BEFORE] + (error[place][BEFORE % 2, ODD] + bits)
        came[place] = ways[:, 1] < ways[:, 0]
        total = ways.min(1)
        total -= total.min()
    state = int(total.argmin())
    for place in range(len(x) - 1, -1, -1):
        way = came[place, state]
        parity, state = ODD[state, way], int(BEFORE[state, way])
        states[place] = state
        symbols[place] = math.copysign(1, x[place]) * best[place, state % 2, parity]


def _branches(size: Floats, index: Bytes, means: Floats) -> tuple[Int32Array, Floats]:
    """Of each quantiser the best even and odd symbol for each magnitude, and their squared errors, each (n, 2, 2)."""
    best, error = np.empty((len(size), 2, 2), np.int32), np.empty((len(size), 2, 2), np.float32)
    cost = np.empty_like(error)
    every = np.arange(len(size))
    for quantiser in range(2):
        low = np.floor(size * INVERSE + np.float32(quantiser / 2)).astype(np.int32)
        for offset in (0, 1, -1):
            symbol = low + offset
            apart = size - restored(symbol, np.full(len(size), quantiser))
            squared = apart * apart
            each = squared + means[quantiser, index, np.clip(symbol, 0, COSTED)]
            parity = symbol & 1
            better = (symbol >= 0) & (each < cost[every, quantiser, parity]) if offset < 0 else symbol >= 0
            at = every[better], quantiser, parity[better]
            best[at], error[at], cost[at] = symbol[better], squared[better], each[better]
    return best, error
