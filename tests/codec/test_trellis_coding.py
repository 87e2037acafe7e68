"""Symbols of two quantisers in turn: both implementations, escapes, damage, and what the format says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from entropy_cases import BOTH, INTERPRETED, tables_in_turn

from maevid.codec.entropy import Decoder, encode, gaussian_tables
from maevid.codec.entropy.kernels import Kernels
from maevid.codec.entropy.trellis import NEXT, STATES, levels
from maevid.errors import DamagedError

TABLES = gaussian_tables(np.geomspace(0.2, 8, 5 * STATES), tail=2.0**-8)
"""Of five scales in each state, all different, so that a wrong state gives wrong symbols."""
APART = 5


def case(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols, escapes of both parities among them, their tables in state 0 and in their states."""
    random = np.random.default_rng(seed)
    first = random.integers(0, APART, count).astype(np.int16)
    symbols = np.rint(random.normal(0, 2, count)).astype(np.int32)
    for place, value in zip(
        range(0, count, 9), (900, -901, 2**31 - 1, -(2**31), 64, -65, 2**30), strict=False
    ):
        symbols[place] = value
    return symbols, first, tables_in_turn(symbols, first, APART)


@pytest.mark.parametrize("choose", BOTH)
def test_what_is_coded_is_decoded(choose: Callable[[], Kernels]) -> None:
    for count in (1, 2, 70, 900):
        symbols, first, used = case(count, count)
        data = encode(symbols, used, TABLES)
        decoder = Decoder(data, TABLES, kernels=choose())
        found, tables = decoder.decode_in_turn(first, APART)
        decoder.finish()
        np.testing.assert_array_equal(found, symbols)
        np.testing.assert_array_equal(tables, used)


@pytest.mark.parametrize("choose", BOTH)
def test_it_stands_between_other_symbols(choose: Callable[[], Kernels]) -> None:
    """As latents stand behind hyper-latents, pass after pass; each sequence begins in state 0."""
    plain, index = np.array([3, -400, 0], np.int32), np.array([7, 8, 9], np.int16)
    one, first, used = case(60, 1)
    other, second, used_2 = case(41, 2)
    data = encode(
        np.concatenate([plain, one, other, plain]), np.concatenate([index, used, used_2, index]), TABLES
    )
    decoder = Decoder(data, TABLES, kernels=choose())
    np.testing.assert_array_equal(decoder.decode(index), plain)
    np.testing.assert_array_equal(decoder.decode_in_turn(first, APART)[0], one)
    np.testing.assert_array_equal(decoder.decode_in_turn(second, APART)[0], other)
    np.testing.assert_array_equal(decoder.decode(index), plain)
    decoder.finish()


def attempt(data: bytes, first: np.ndarray, kernels: Kernels | None) -> list[int] | None:
    try:
        decoder = Decoder(data, TABLES, kernels=kernels)
        symbols, _ = decoder.decode_in_turn(first, APART)
        decoder.finish()
    except DamagedError:
        return None
    return symbols.tolist()


def test_every_bit_flip_and_every_cut() -> None:
    symbols, first, used = case(90, 5)
    data = encode(symbols, used, TABLES)
    damaged = [data[:n] for n in range(len(data))]
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    refused = 0
    for each in damaged:
        found = attempt(each, first, None)
        assert found == attempt(each, first, INTERPRETED)
        refused += found is None
        if found is not None:
            # An escaped value's parity turns the tables of all that follows; what is accepted is what would be coded.
            again = np.array(found, np.int32)
            assert encode(again, tables_in_turn(again, first, APART), TABLES) == each
    # What is not: the digits of escaped values but for their parity, which have no check but the packet's.
    assert refused > 0.75 * len(damaged)


def test_tables_that_are_not_there_are_refused() -> None:
    decoder = Decoder(encode(*case(9, 1)[::2], TABLES), TABLES)
    with pytest.raises(ValueError, match="table indexes"):
        decoder.decode_in_turn(np.array([APART], np.int16), APART)
    assert len(decoder.decode_in_turn(np.empty(0, np.int16), APART)[0]) == 0


def test_two_quantisers_have_every_level_between_them() -> None:
    symbols = np.arange(-4, 5, dtype=np.int32)
    first, second = levels(symbols, np.zeros(9, int)), levels(symbols, np.ones(9, int))
    assert first.tolist() == [-8, -6, -4, -2, 0, 2, 4, 6, 8]
    assert second.tolist() == [-7, -5, -3, -1, 0, 1, 3, 5, 7]
    # A trellis: each state is reached from two, and an even and an odd symbol never lead to the same.
    assert sorted(NEXT.ravel().tolist()) == sorted([*range(STATES)] * 2)
    assert (NEXT[:, 0] != NEXT[:, 1]).all()
