"""Coding one frame again until its bits are as wanted."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maevid.rate.search import Search, Want


def drive(bits_of, start, want, slope=0.01, lowest=0, highest=255):
    search, index, tries = Search(lowest, highest), start, 1
    while (following := search.step(index, bits_of(index), want, slope)) is not None:
        index, tries = following, tries + 1
    return index, tries


def test_want():
    assert Want(low=10, high=20).accepts(10)
    assert Want(low=10, high=20).accepts(20)
    assert not Want(low=10, high=20).accepts(20.5)
    assert not Want(low=10, high=20, ceiling=15).accepts(16)
    assert not Want(low=10).accepts(9)
    assert Want(low=10, high=20).aim == 15
    assert Want(ceiling=100).aim == 98.5
    assert Want(low=10).aim == pytest.approx(10.1)
    assert Want(low=90, ceiling=50).aim == 50


def test_first_try_that_fits_is_kept():
    assert drive(lambda i: 100 + i, 50, Want(low=140, high=160)) == (50, 1)


def test_a_good_slope_finds_it_at_once():
    index, tries = drive(lambda i: 1000 * math.exp(0.01 * i), 0, Want(low=4900, high=5100))
    assert 4900 <= 1000 * math.exp(0.01 * index) <= 5100
    assert tries == 2


@settings(max_examples=200)
@given(st.floats(0.002, 0.05), st.floats(0.001, 0.1), st.integers(0, 255), st.floats(200, 1e6), st.booleans())
def test_ends_soon_at_the_best_index_under_a_ceiling(true_slope, slope, start, ceiling, filled):
    def bits_of(index):
        return 400 + 500 * math.exp(true_slope * index)

    want = Want(low=0.95 * ceiling if filled else 0.0, ceiling=ceiling)
    index, tries = drive(bits_of, start, want, slope)
    assert tries <= 15
    best = max((i for i in range(256) if bits_of(i) <= ceiling), default=0)
    if bits_of(0) > ceiling:
        assert index == 0
    elif filled and bits_of(best) >= want.low:
        assert want.accepts(bits_of(index))
    elif filled:
        assert index == best
    else:
        assert bits_of(index) <= ceiling


def test_between_two_indices_the_nearer_is_kept():
    assert drive(lambda i: 100.0 * i, 9, Want(low=310, high=330), lowest=1)[0] == 3
    assert drive(lambda i: 100.0 * i, 9, Want(low=370, high=390), lowest=1)[0] == 4


def test_a_ceiling_outranks_nearness():
    assert drive(lambda i: 100.0 * i, 4, Want(low=385, high=395, ceiling=390), lowest=1)[0] == 3


def test_bits_that_do_not_rise_still_end():
    bits = {i: 1000 + (i * 7919 % 13) * 50 for i in range(256)}
    index, tries = drive(lambda i: bits[i], 128, Want(low=1210, high=1215))
    assert tries <= 15
    assert 0 <= index <= 255
    assert drive(lambda i: 500.0, 100, Want(ceiling=400))[0] == 0
    assert drive(lambda i: 500.0, 100, Want(low=600, high=700))[0] in range(256)
