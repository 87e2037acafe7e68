"""Measured costs kept as numbers."""

import pytest

from maevid.rate import FrameCost
from maevid.rate.costs import Costs

SOME = [FrameCost(0, {0: 812.5, 255: 99000.0}, {0: 28.25}), FrameCost(8, {}), FrameCost(3, {7: 1.0})]


def test_what_is_kept_comes_back():
    kept = Costs(SOME)
    assert list(kept) == SOME
    assert len(kept) == 3
    assert kept[-1] == SOME[-1]
    assert list(kept[1:]) == SOME[1:]
    for beyond in (3, -4):
        with pytest.raises(IndexError):
            kept[beyond]
    with pytest.raises(IndexError):
        Costs()[0]


def test_equality():
    assert Costs(SOME) == Costs(SOME)
    assert Costs(SOME) != Costs(SOME[:2])
    assert Costs(SOME) != Costs(SOME[::-1])
    assert Costs(SOME) != SOME
