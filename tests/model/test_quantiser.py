"""The encoder's rounding is the choice of the lesser cost, worked out here one by one."""

from __future__ import annotations

import math

import pytest
import torch

from maevid.model.prior import SCALES, SYMBOL_LIMIT, scale_of_index
from maevid.model.quantiser import RATE_WEIGHT, quantised


def cost(value: float, symbol: int, scale: float) -> float:
    """Squared error, and bits of a symbol by the normal distribution, weighted."""
    low, high = ((abs(symbol) + side) / scale / math.sqrt(2) for side in (-0.5, 0.5))
    mass = (math.erfc(low) - math.erfc(high)) / 2
    return (value - symbol) ** 2 + RATE_WEIGHT * (min(-math.log2(mass), 20.0) if mass > 0 else 20.0)


@pytest.mark.parametrize("index", [4, 10, 16, 24, 40, 63])
def test_small_symbols_are_those_of_least_cost(index: int) -> None:
    generator = torch.Generator().manual_seed(index)
    values = 0.5 + torch.rand(2000, generator=generator) * 1.9
    values[::2] *= -1
    found = quantised(values, torch.full_like(values, index)).tolist()
    scale = float(scale_of_index(torch.tensor(float(index), dtype=torch.float64)))
    checked = 0
    for value, symbol in zip(values.tolist(), found, strict=True):
        nearest = int(math.copysign(math.floor(abs(value) + 0.5), value))
        smaller = nearest - (nearest > 0) + (nearest < 0)
        ours, others = (
            cost(value, int(s), scale) for s in (symbol, smaller if symbol == nearest else nearest)
        )
        # One threshold serves all symbols from 2 on; the limit of 20 bits makes the next one's a little another.
        if abs(nearest) <= 2 and abs(ours - others) > 1e-5:
            assert symbol in (nearest, smaller)
            assert ours < others
            checked += 1
    assert checked > 1900


def test_signs_and_limits() -> None:
    values = torch.tensor([0.3, -0.3, 0.9, -0.9, 2.0**24, -(2.0**24), 7.0, -7.0])
    whole = quantised(values, torch.full_like(values, SCALES - 1))
    assert whole.tolist() == [0, 0, 1, -1, SYMBOL_LIMIT, -SYMBOL_LIMIT, 7, -7]


def test_what_is_likely_is_rounded_to_the_nearest_and_what_is_not_is_put_off() -> None:
    """A wide distribution's symbols cost nearly the same; a narrow one's first step costs eight bits."""
    values = torch.linspace(0.5, 0.65, 100)
    assert quantised(values, torch.full_like(values, 63.0))[1:].min() == 1
    narrow = quantised(values, torch.full_like(values, 4.0))
    assert narrow.min() == 0
    assert narrow.max() == 1
