"""The search for the best sequence of symbols, against trying all of them, and what it gains."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from maevid.codec.entropy.trellis import NEXT
from maevid.model.prior import SCALES, scale_of_index
from maevid.model.trellis import (
    APART,
    COSTED,
    FIRST_TABLE,
    STEP,
    Search,
    _interpreted,
    costs_of,
    gaussian_costs,
    restored,
    trellis_tables,
)
from maevid.model.trellis_op import trellis_search

SCALE = scale_of_index(torch.arange(SCALES, dtype=torch.float64)).numpy()
COSTS = gaussian_costs()


def drawn(count: int, seed: int, lowest: int = 4, highest: int = SCALES) -> tuple[np.ndarray, np.ndarray]:
    """Deviations and the scale indices that they are drawn by."""
    random = np.random.default_rng(seed)
    index = random.integers(lowest, highest, count).astype(np.uint8)
    return (random.normal(size=count) * SCALE[index]).astype(np.float32), index


def states_of(symbols: np.ndarray) -> np.ndarray:
    """The states that symbols are coded in."""
    states = [0]
    for symbol in symbols.tolist():
        states.append(int(NEXT[states[-1], symbol % 2]))
    return np.array(states[:-1], np.int64)


def total(x: np.ndarray, index: np.ndarray, symbols: np.ndarray, rate_weight: float) -> float:
    """Squared error plus µ·bits of a sequence."""
    states = states_of(symbols)
    bits = COSTS[index, np.minimum(np.abs(symbols), COSTED), states]
    return float(((x - restored(symbols, states)) ** 2).sum() + rate_weight * bits.sum())


@pytest.mark.parametrize("rate_weight", [0.0, 0.05, 0.12])
def test_no_sequence_is_better(rate_weight: float) -> None:
    search = Search(COSTS, rate_weight)
    lost = []
    for seed in range(12):
        x, index = drawn(3, seed, highest=28)
        symbols, states = search(x, index)
        assert states.tolist() == states_of(symbols).tolist()
        every = [np.array(each, np.int32) for each in product(range(-4, 5), repeat=3)]
        best = min(total(x, index, each, rate_weight) for each in every)
        lost.append(total(x, index, symbols, rate_weight) - best)
    # Of a quantiser's even or odd symbols one is chosen for all its states: seldom is another a hair better.
    assert min(lost) > -1e-5
    assert max(lost) < 1e-5 if rate_weight == 0 else np.mean(lost) < 1e-3


def test_both_implementations_find_the_same() -> None:
    for count, seed in ((0, 0), (1, 1), (2, 2), (3, 3), (4000, 4)):
        x, index = drawn(count, seed)
        x[5:7] = (1e9, -3e5)[: max(0, count - 5)]
        search = Search(COSTS)
        found = search(x, index)
        search._run = _interpreted
        for ours, theirs in zip(found, search(x, index), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert count < 5 or np.abs(found[0]).max() > 2**16


def test_a_decibel_is_gained_at_high_rates() -> None:
    x, index = drawn(60_000, 7, lowest=SCALES - 8)
    symbols, states = Search(COSTS, 0.0)(x, index)
    error = np.mean((x - restored(symbols, states)) ** 2)
    assert 10 * np.log10(STEP**2 / 12 / error) > 1.0


def test_costs_are_those_of_the_tables() -> None:
    tables = trellis_tables(SCALE)
    assert len(tables) == FIRST_TABLE + 8 * APART
    np.testing.assert_array_equal(costs_of(tables), COSTS)
    for state, symbol in ((0, 0), (3, 1), (6, 2)):
        which = np.array([FIRST_TABLE + APART * state + 20], np.int16)
        bits = tables.cost_bits(np.array([symbol], np.int32), which)
        assert bits == pytest.approx(float(COSTS[20, symbol, state]))


def test_training_sees_what_is_coded() -> None:
    """The operator gives what the encoder's search does, pass by pass, and its bits."""
    torch.manual_seed(3)
    deviations = 4 * torch.randn(2, 6, 4, 5)
    index = torch.full_like(deviations, 30.0)
    index[:, 1] = 2
    for number in range(2):
        found, bits = trellis_search(deviations, index, number, 2, True)
        channel, row, column = np.indices((6, 4, 5))
        coded = ((channel + row + column) % 2 == number) & (channel != 1)
        for each in range(2):
            scales = np.full(int(coded.sum()), 30, np.uint8)
            symbols, states = Search(COSTS)(deviations[each].numpy()[coded], scales)
            np.testing.assert_array_equal(found[each].numpy()[coded], restored(symbols, states))
            assert not found[each].numpy()[~coded].any()
            expected = COSTS[30, np.minimum(np.abs(symbols), COSTED), states].sum()
            assert float(bits[each]) == pytest.approx(float(expected), rel=1e-5)
    torch.library.opcheck(trellis_search, (deviations, index, 0, 2, True))
