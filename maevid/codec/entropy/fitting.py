"""Frequency tables from probabilities, Gaussian scales or counted symbols: once, at training or export time.

The only module of the coder whose floating point matters. What it makes is stored with the weights and never
computed again, so it may well give other tables on another machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from maevid.codec.entropy.tables import TOTAL, FrequencyTables


def gaussian_tables(
    scales: Sequence[float] | npt.NDArray[np.floating[Any]], tail: float = 2.0**-20
) -> FrequencyTables:
    """One table for each standard deviation in ``scales``: a zero-mean Gaussian integrated over unit bins.

    The table of scale s covers -K … K with the least K ≥ 1 that leaves at most ``tail`` of the mass outside
    (that mass is the escape's), as far as 65536 frequencies have room. The default costs Gaussian symbols
    0.01 % over their entropy, and symbols with heavier tails less than a shorter table does. Raises
    ValueError unless every scale is finite and positive and 0 < tail < 1.
    """
    return _symmetric_tables(scales, tail, _above_gaussian, lambda symbol: symbol - 0.5)


def second_gaussian_tables(
    scales: Sequence[float] | npt.NDArray[np.floating[Any]], tail: float = 2.0**-20
) -> FrequencyTables:
    """As :func:`gaussian_tables`, for the second quantiser of :mod:`.trellis`: with symbols for 0, ±½, ±1½, …"""
    return _symmetric_tables(scales, tail, _above_gaussian, lambda symbol: max(0.25, symbol - 1.0))


def laplace_tables(
    scales: Sequence[float] | npt.NDArray[np.floating[Any]], tail: float = 2.0**-20
) -> FrequencyTables:
    """As :func:`gaussian_tables`, for zero-mean Laplace distributions of these standard deviations."""
    return _symmetric_tables(
        scales, tail, lambda x: 0.5 * math.exp(-x * math.sqrt(2)), lambda symbol: symbol - 0.5
    )


def _above_gaussian(x: float) -> float:
    return 0.5 * math.erfc(x / math.sqrt(2))


def _symmetric_tables(
    scales: Sequence[float] | npt.NDArray[np.floating[Any]],
    tail: float,
    above_of: Callable[[float], float],
    begin_of: Callable[[int], float],
) -> FrequencyTables:
    """Tables of a symmetric family; ``above_of`` is the mass above x standard deviations, x ≥ 0.

    ``begin_of`` says where the bin of a symbol of 1 or more begins.
    """
    if not 0 < tail < 1:
        raise ValueError(f"tail must lie between 0 and 1, not {tail}")
    rows = []
    for scale in np.asarray(scales, dtype=np.float64).tolist():
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scales must be finite and positive, not {scale}")
        # Mass above each bin, one sided.
        above = [0.5]
        while len(above) < 3 or (2 * above[-1] > tail and len(above) < TOTAL // 4):
            above.append(above_of(begin_of(len(above)) / scale))
        half = -np.diff(above)
        half[0] *= 2
        rows.append(np.concatenate([half[:0:-1], half, [2 * above[-1]]]))
    return tables_from_probabilities(rows, [-(len(row) // 2 - 1) for row in rows])


def tables_from_probabilities(
    rows: Sequence[npt.NDArray[Any]], minimum_symbols: Sequence[int] | npt.NDArray[np.integer[Any]]
) -> FrequencyTables:
    """One table for each row of weights; the last weight is the escape's, the others its symbols' in order.

    Weights are probabilities or counts: only their ratios matter. Row t begins at the symbol
    ``minimum_symbols[t]``. Frequencies are the integers that cost the least: at least 1 each, 65536 in all.
    Raises ValueError for a weight that is negative or not finite, a row without mass, or of fewer than 2 or
    more than 65536 weights.
    """
    if len(rows) != len(minimum_symbols) or not len(rows):
        raise ValueError(f"{len(rows)} rows of weights and {len(minimum_symbols)} minimum symbols")
    cumulative = [np.concatenate([[0], np.cumsum(_frequencies(np.asarray(row)))]) for row in rows]
    return FrequencyTables(
        np.concatenate(cumulative).astype(np.int32),
        np.asarray(minimum_symbols, dtype=np.int32),
        np.array([len(row) - 2 for row in cumulative], dtype=np.int32),
    )


def count_entries(
    tables: FrequencyTables, symbols: npt.NDArray[np.int32], indexes: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.int64]:
    """How often each entry of ``tables`` occurs: int64, parallel to ``cumulative``. Sum it over frames."""
    where, _ = tables.entries(symbols, indexes)
    return np.bincount(where, minlength=len(tables.cumulative)).astype(np.int64)


def tables_from_counts(
    prior: FrequencyTables, counts: npt.NDArray[np.int64], prior_weight: float = 8.0
) -> FrequencyTables:
    """Tables over the same symbols as ``prior``, fitted to what :func:`count_entries` measured.

    ``prior`` counts as ``prior_weight`` further observations for each entry of a table, so that rare entries
    keep a sensible frequency, and a wide table of which little was seen stays nearly as it is. Raises
    ValueError when ``counts`` is not parallel to ``prior.cumulative``.
    """
    if counts.shape != prior.cumulative.shape:
        raise ValueError(f"{len(counts)} counts for {len(prior.cumulative)} entries")
    rows = []
    for start, size in zip(prior.offset, prior.size, strict=True):
        frequency = np.diff(prior.cumulative[start : start + size + 2])
        rows.append(counts[start : start + size + 1] + prior_weight * (size + 1) * frequency / TOTAL)
    return tables_from_probabilities(rows, prior.minimum)


def _frequencies(weights: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Integers ≥ 1 that sum to 65536 and cost the least for these weights."""
    count = len(weights)
    if weights.ndim != 1 or not 2 <= count <= TOTAL:
        raise ValueError(f"a row needs 2 to {TOTAL} weights, not an array of shape {weights.shape}")
    probability = weights.astype(np.float64)
    mass = probability.sum()
    if not (math.isfinite(mass) and mass > 0 and probability.min() >= 0):
        raise ValueError("weights must be finite and not negative, and not all zero")
    probability /= mass

    # From f to f + 1 an entry saves p·log(1 + 1/f), ever less. So the cheapest frequencies are those where
    # every step is taken that saves at least some threshold, which is found by bisection.
    def at_threshold(threshold: float) -> npt.NDArray[np.int64]:
        with np.errstate(divide="ignore", over="ignore"):
            steps = np.ceil(1 / np.expm1(threshold / probability))
        return np.asarray(np.maximum(1, steps), dtype=np.int64)

    low, high = 1 / (4 * TOTAL), 1.0
    while low < (middle := (low + high) / 2) < high:
        if at_threshold(middle).sum() > TOTAL:
            low = middle
        else:
            high = middle
    frequency = at_threshold(high)
    # Entries of equal probability pass the threshold together; as many of them as there is room for.
    missing = TOTAL - int(frequency.sum())
    frequency[np.argsort(-probability * np.log1p(1 / frequency), kind="stable")[:missing]] += 1
    return frequency
