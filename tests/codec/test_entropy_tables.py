"""Frequency tables: exact sums, refusal of every inconsistent array, fitting, the cost that they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maevid.codec.entropy import (
    FrequencyTables,
    count_entries,
    gaussian_tables,
    tables_from_counts,
    tables_from_probabilities,
)
from maevid.errors import ModelError

SCALES = np.exp(np.linspace(np.log(0.11), np.log(64), 64))


def frequencies(tables: FrequencyTables, index: int) -> np.ndarray:
    start = tables.offset[index]
    return np.diff(tables.cumulative[start : start + tables.size[index] + 2])


def test_gaussian_tables_hold_integer_frequencies_of_the_gaussian() -> None:
    tables = gaussian_tables(SCALES)
    assert len(tables) == 64
    for index, scale in enumerate(SCALES):
        frequency = frequencies(tables, index)
        assert frequency.min() >= 1
        assert frequency.sum() == 65536
        reach = -int(tables.minimum[index])
        assert tables.size[index] == 2 * reach + 1
        for symbol in range(-reach, reach + 1):
            exact = 0.5 * (
                math.erf((symbol + 0.5) / scale / math.sqrt(2))
                - math.erf((symbol - 0.5) / scale / math.sqrt(2))
            )
            # Each entry's floor of 1 is taken from those that lose least; no entry strays further than that.
            assert abs(frequency[symbol + reach] - 65536 * exact) <= 1 + 2 * reach * exact + 1


def test_table_covers_all_but_the_tail() -> None:
    for tail in (2.0**-8, 2.0**-16, 2.0**-20):
        tables = gaussian_tables(SCALES, tail)
        for minimum, scale in zip(tables.minimum, SCALES, strict=True):
            reach = -int(minimum)
            assert math.erfc((reach + 0.5) / scale / math.sqrt(2)) <= tail
            assert reach == 1 or math.erfc((reach - 0.5) / scale / math.sqrt(2)) > tail


def test_very_wide_scale_leaves_the_rest_to_the_escape() -> None:
    tables = gaussian_tables([1e6])
    assert (frequencies(tables, 0) == [1] * 32765 + [32771]).all()


@pytest.mark.parametrize("tail", [0.0, 1.0, -0.1, math.nan])
def test_an_impossible_tail_is_refused(tail: float) -> None:
    with pytest.raises(ValueError, match="tail must lie between 0 and 1"):
        gaussian_tables([1.0], tail=tail)


def test_tables_equal_tables_alone() -> None:
    tables = gaussian_tables([1.0, 2.0])
    assert tables == gaussian_tables([1.0, 2.0])
    assert tables != gaussian_tables([1.0, 2.5])
    assert tables != [1.0, 2.0]


@pytest.mark.parametrize("scales", [[0.0], [-1.0], [math.nan], [1.0, math.inf], []])
def test_impossible_scales_are_refused(scales: list[float]) -> None:
    with pytest.raises(ValueError):
        gaussian_tables(scales)


@given(
    st.lists(
        st.lists(st.floats(0, 1e6) | st.just(0.0), min_size=2, max_size=300).filter(lambda row: sum(row) > 0),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_weights_become_frequencies_within_a_unit_or_the_floor(rows: list[list[float]]) -> None:
    tables = tables_from_probabilities([np.array(row) for row in rows], [0] * len(rows))
    for index, row in enumerate(rows):
        frequency = frequencies(tables, index)
        assert frequency.sum() == 65536
        assert frequency.min() >= 1
        share = np.array(row) / sum(row) * 65536
        assert (frequency <= np.ceil(share) + 1).all()
        # The floor of 1 for the rare takes at most one unit from the rest for each of them.
        assert np.maximum(share - frequency, 0).sum() <= len(row) + 1e-6


def test_frequencies_cost_the_least() -> None:
    """No move of one unit between two entries makes the table cheaper for its own probabilities."""
    rng = np.random.default_rng(5)
    for _ in range(10):
        weights = rng.dirichlet(np.full(40, 0.05))
        frequency = frequencies(tables_from_probabilities([weights], [0]), 0)
        gain = weights * np.log((frequency + 1) / frequency)
        able = frequency > 1
        loss = weights[able] * np.log(frequency[able] / (frequency[able] - 1))
        assert gain.max() <= loss.min() + 1e-9


@pytest.mark.parametrize(
    "row",
    [[1.0], [], [0.0, 0.0], [1.0, -0.1], [1.0, math.nan], [1.0, math.inf], np.ones(65537), np.ones((2, 2))],
)
def test_impossible_weights_are_refused(row: list[float]) -> None:
    with pytest.raises(ValueError):
        tables_from_probabilities([np.array(row)], [0])


def test_widest_table_has_a_frequency_of_one_everywhere() -> None:
    tables = tables_from_probabilities([np.arange(65536.0)], [-32768])
    assert (frequencies(tables, 0) == 1).all()


def test_arrays_and_back() -> None:
    tables = gaussian_tables(SCALES)
    arrays = tables.to_arrays()
    assert all(array.dtype == np.int32 and array.ndim == 1 for array in arrays.values())
    assert FrequencyTables.from_arrays(arrays) == tables
    assert FrequencyTables.from_arrays(arrays) != gaussian_tables(SCALES[:-1])
    del arrays["size"]
    with pytest.raises(ModelError, match="'size'"):
        FrequencyTables.from_arrays(arrays)


def test_tables_cannot_be_changed_behind_their_back() -> None:
    cumulative = np.array([0, 60000, 65536], dtype=np.int32)
    tables = FrequencyTables(cumulative, np.zeros(1, np.int32), np.ones(1, np.int32))
    cumulative[1] = 0
    tables.validate()
    with pytest.raises(ValueError, match="read-only"):
        tables.cumulative[1] = 0


def int32(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


GOOD = {"cumulative": int32(0, 9, 65536, 0, 1, 2, 65536), "minimum": int32(-3, 7), "size": int32(1, 2)}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"cumulative": int32(0, 9, 65536, 0, 2, 1, 65536)}, "table 1 has a frequency below 1"),
        ({"cumulative": int32(0, 0, 65536, 0, 1, 2, 65536)}, "table 0 has a frequency below 1"),
        ({"cumulative": int32(0, 9, 65536, 0, 1, 65536, 65536)}, "table 1 has a frequency below 1"),
        ({"cumulative": int32(0, 70000, 65536, 0, 1, 2, 65536)}, "table 0 has a frequency below 1"),
        ({"cumulative": int32(0, 9, 65536, 0, -5, 2, 65536)}, "table 1 has a frequency below 1"),
        ({"cumulative": int32(0, 9, 65535, 0, 1, 2, 65536)}, "table 0 does not sum"),
        ({"cumulative": int32(0, 9, 65536, 0, 1, 2, 65537)}, "table 1 does not sum"),
        ({"cumulative": int32(0, 9, 65536, 1, 2, 3, 65536)}, "table 1 does not start at 0"),
        ({"cumulative": int32(-1, 9, 65536, 0, 1, 2, 65536)}, "table 0 does not start at 0"),
        ({"cumulative": int32(0, 9, 65536, 0, 1, 65536)}, "6 cumulative frequencies"),
        ({"cumulative": int32(0, 9, 65536, 0, 1, 2, 65536, 0)}, "8 cumulative frequencies"),
        ({"cumulative": int32()}, "0 cumulative frequencies"),
        ({"size": int32(2, 1)}, "table 1 does not start at 0"),
        ({"size": int32(0, 3)}, "table 0 has an impossible size"),
        ({"size": int32(4, -1)}, "table 1 has an impossible size"),
        ({"size": int32(1, 65536)}, "table 1 has an impossible size"),
        ({"size": int32(1, 2**31 - 1)}, "table 1 has an impossible size"),
        ({"size": int32(1)}, "1 sizes and 2 minima"),
        ({"size": int32(), "minimum": int32()}, "0 sizes"),
        ({"minimum": int32(-3, 2**31 - 2)}, None),
        ({"minimum": int32(-3, 2**31 - 1)}, "table 1 covers symbols beyond int32"),
        ({"minimum": int32(-3)}, "2 sizes and 1 minima"),
        ({"minimum": np.array([-3, 7])}, "minimum must be a row of int32"),
        ({"cumulative": GOOD["cumulative"].astype(np.float32)}, "cumulative must be a row of int32"),
        ({"size": GOOD["size"][None]}, "size must be a row of int32"),
    ],
)
def test_forged_tables_are_refused(change: dict[str, np.ndarray], complaint: str | None) -> None:
    arrays = GOOD | change
    if complaint is None:
        FrequencyTables.from_arrays(arrays)
        return
    with pytest.raises(ModelError, match=complaint):
        FrequencyTables.from_arrays(arrays)


def test_too_many_tables_are_refused() -> None:
    count = 32769
    with pytest.raises(ModelError, match="32769 sizes"):
        FrequencyTables(
            np.tile(int32(0, 1, 65536), count), np.zeros(count, np.int32), np.ones(count, np.int32)
        )


def test_joined_tables_keep_their_order() -> None:
    first, second = gaussian_tables([0.5, 2.0]), gaussian_tables([7.0])
    both = FrequencyTables.joined(first, second)
    assert len(both) == 3
    assert np.array_equal(frequencies(both, 2), frequencies(second, 0))
    assert both.cost_bits(int32(3), np.array([2])) == second.cost_bits(int32(3), np.array([0]))


def test_cost_is_the_sum_of_entry_costs_and_escape_bytes() -> None:
    tables = FrequencyTables(
        int32(0, 32768, 49152, 65535, 65536), minimum=int32(-1), size=int32(3)
    )  # -1: 1 bit, 0: 2 bits, 1: 2.00009 bits, escape: 16 bits
    index = np.zeros(1, dtype=np.uint8)
    costs = {-1: 1.0, 0: 2.0, 1: 16 - math.log2(16383)}
    # Escape numbers: 2 → 0, -2 → 1, 65 → 126, -65 → 127, 66 → 128.
    costs |= {2: 24.0, -2: 24.0, 65: 24.0, -65: 24.0, 66: 32.0, 2**31 - 1: 56.0, -(2**31): 56.0}
    for symbol, bits in costs.items():
        assert tables.cost_bits(int32(symbol), index) == pytest.approx(bits, abs=1e-12)
    # More symbols than are looked up at a time.
    many = np.array(list(costs) * 10_000, dtype=np.int32)
    total = tables.cost_bits(many, np.zeros(len(many), dtype=np.int16))
    assert total == pytest.approx(10_000 * sum(costs.values()), rel=1e-12)
    assert tables.cost_bits(int32(), np.zeros(0, dtype=np.uint8)) == 0


def test_refitted_tables_cost_less_where_the_symbols_are_not_gaussian() -> None:
    rng = np.random.default_rng(11)
    indexes = rng.integers(0, 3, 50_000).astype(np.uint8)
    symbols = np.round(rng.laplace(size=50_000) * np.array([0.5, 2, 8])[indexes]).astype(np.int32)
    prior = gaussian_tables([0.7, 2.8, 11.3, 30.0])
    half = 25_000
    counts = count_entries(prior, symbols[:half], indexes[:half])
    assert counts.sum() == half
    fitted = tables_from_counts(prior, counts)
    before, after = (t.cost_bits(symbols[half:], indexes[half:]) for t in (prior, fitted))
    assert after < 0.985 * before
    # A table that never occurred stays.
    assert np.array_equal(frequencies(fitted, 3), frequencies(prior, 3))
    with pytest.raises(ValueError, match="counts for"):
        tables_from_counts(prior, counts[1:])
