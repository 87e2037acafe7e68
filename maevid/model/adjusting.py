"""The encoder's search for a picture's own post filter (:mod:`maevid.model.adjustment`).

What a plane still lacks after the model's filter is fitted by least squares: by the features that were filtered, the
filter's own change (the gain) and a constant. Its normal equations are sums of integers below 2⁵³, so exact in any
order, and what is solved with them is element by element: the same bytes on any number of threads.

A symbol costs bits, an error λ times its weight, so both are counted in bits. In the order in which the equations are
solved each unknown is rounded to what costs least, where those that are not decided yet make up for it (Babai's nearest
plane), then each once more beside all others. What comes of the best form is filtered and measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from maevid.codec.entropy import FrequencyTables
from maevid.model.adjustment import (
    FORMS,
    LARGEST_SYMBOL,
    LIGHT,
    NONE,
    adjustment,
    symbol_steps,
    table_indexes,
)
from maevid.model.config import ModelConfig
from maevid.model.post_filter import Adjustment, Adjustments, PlaneView, PostFilter
from maevid.video.frame import Plane

Real = npt.NDArray[np.float64]

PART_BITS = 16
"""Of a second part: its byte, and the length in the packet's header."""
_ROWS_AT_ONCE = 16
_SAMPLES, _FEWER = 131_072, 32_768
"""Of a plane, that are fitted to where it has twice as many: strips of rows, all over the plane. Fewer where the
picture is not final."""
_AGAIN = 3
"""How often every symbol is weighed again."""
_RIDGE = 1e-6, 1e-5
"""Added to the diagonal of the equations: this part of its mean, and this much, so that they have a solution."""


@dataclass(frozen=True)
class Adjusted:
    """A picture as the decoder gives it, what it changes of the filters, and how that is coded.

    ``forms`` of its planes, and their symbols and tables in order.
    """

    planes: tuple[Plane, Plane, Plane]
    adjustments: Adjustments
    forms: tuple[int, int, int]
    symbols: npt.NDArray[np.int32]
    tables: npt.NDArray[np.int16]


@dataclass(frozen=True)
class _Choice:
    """One way to code a plane: what it costs in bits, error and all, and what it gives."""

    cost: float
    form: int
    symbols: npt.NDArray[np.int32]
    plane: Plane
    adjustment: Adjustment | None


class Adjuster:
    """Fits adjustments of one model's post filter; ``tables`` code them."""

    def __init__(self, post_filter: PostFilter, tables: FrequencyTables, config: ModelConfig) -> None:
        self._filter, self._config = post_filter, config
        values = np.arange(-LARGEST_SYMBOL, LARGEST_SYMBOL + 1, dtype=np.int32)
        used = {int(t) for form in range(LIGHT, len(FORMS)) for t in table_indexes(form, 1)}
        self._bits = {
            table: np.array(
                [tables.cost_bits(values[n : n + 1], np.array([table])) for n in range(len(values))]
            )
            for table in used
        }

    def __call__(
        self,
        source: tuple[Plane, Plane, Plane],
        decoded: tuple[Plane, Plane, Plane],
        rate_index: int,
        *,
        final: bool = True,
    ) -> Adjusted:
        """The best of ``decoded``, planes before the filter, for R + λ·D against ``source``.

        In less time, and not quite the best, where the picture is not ``final``.
        """
        lam, samples = self._config.lam(rate_index), source[0].size
        plain, best = [], []
        views = self._filter.views(decoded, rate_index)
        for view, wanted, weight in zip(views, source, self._config.plane_weights, strict=True):
            price = lam * weight * samples / wanted.size
            choices = list(self._choices(view, wanted, price, _SAMPLES if final else _FEWER))
            plain.append(choices[0])
            best.append(min(choices, key=lambda choice: choice.cost))
        saved = sum(one.cost for one in plain) - sum(one.cost for one in best)
        y, u, v = best if saved > PART_BITS else plain
        tables = [
            table_indexes(one.form, count) for one, count in zip((y, u, v), self._filter.counts, strict=True)
        ]
        return Adjusted(
            (y.plane, u.plane, v.plane),
            (y.adjustment, u.adjustment, v.adjustment),
            (y.form, u.form, v.form),
            np.concatenate([y.symbols, u.symbols, v.symbols]),
            np.concatenate(tables),
        )

    def _choices(self, view: PlaneView, wanted: Plane, price: float, most: int) -> Iterator[_Choice]:
        """Without adjustment, then what is worth a try, fitted to some ``most`` samples.

        ``price`` is that of a squared level, in bits.
        """
        plain = view.filtered()
        yield _Choice(price * _error(plain, wanted), NONE, np.empty(0, np.int32), plain, None)
        squares, products = _equations(view, wanted, plain, most)
        count = view.filters.shape[1]
        fits = []
        for form in range(LIGHT, len(FORMS)):
            steps = symbol_steps(form, count)
            n = len(steps)
            a, b = price * squares[:n, :n] * np.outer(steps, steps), price * products[:n] * steps
            bits = np.stack([self._bits[int(table)] for table in table_indexes(form, count)])
            symbols = _rounded(a, b, bits)
            cost = float(bits[np.arange(n), symbols + LARGEST_SYMBOL].sum())
            gain = float((symbols * ((a * symbols).sum(1) - 2 * b)).sum())
            fits.append((cost + gain, cost, form, symbols))
        light, *whole = fits
        for _, cost, form, symbols in (light, min(whole, key=lambda fit: fit[0])):
            if symbols.any():
                change = adjustment(form, symbols, count)
                plane = view.filtered(change)
                yield _Choice(cost + price * _error(plane, wanted), form, symbols, plane, change)


def _error(plane: Plane, wanted: Plane) -> float:
    """Squared levels, an integer."""
    return float(np.square(plane.astype(np.int32) - wanted).sum(dtype=np.int64))


def _equations(view: PlaneView, wanted: Plane, plain: Plane, most: int) -> tuple[Real, Real]:
    """Normal equations (n, n) and (n,) of what ``plain`` lacks, in the order of a plane's symbols."""
    height, width = wanted.shape
    count = view.filters.shape[1] + 2
    sums = torch.zeros(count, count + 1, dtype=torch.float64)
    rows = torch.empty(count + 1, _ROWS_AT_ONCE * width, dtype=torch.float64)
    every, counted = max(1, wanted.size // most), 0
    for start in range(0, height, every * _ROWS_AT_ONCE):
        end = min(start + _ROWS_AT_ONCE, height)
        part = rows[:, : (end - start) * width]
        each = part.numpy().reshape(count + 1, end - start, width)
        np.subtract(plain[start:end], view.plane[start:end], out=each[0], dtype=np.float64)
        each[1] = 1
        for number, feature in enumerate(view.features(start, end), 2):
            each[-number] = feature
        np.subtract(wanted[start:end], plain[start:end], out=each[-1], dtype=np.float64)
        sums += part[:-1] @ part.T
        counted += part.shape[1]
    found = sums.numpy() * (wanted.size / counted)
    return found[:, :-1], found[:, -1]


def _rounded(squares: Real, products: Real, bits: Real) -> npt.NDArray[np.int32]:
    """Integers x (n,) with a small x'Ax - 2b'x + Σ bits(x); ``bits`` (n, 255) of -127..127."""
    n = len(products)
    relative, absolute = _RIDGE
    a = squares + np.eye(n) * (relative * np.trace(squares) / n + absolute)
    left = np.concatenate([a, products[:, None]], axis=1)
    # Of each unknown its row, by those after it: what it is where they are decided.
    for i in range(n):
        row = left[i] / left[i, i]
        left[i + 1 :] -= left[i + 1 :, i, None] * row
    x = np.zeros(n)
    for i in reversed(range(n)):
        best = (left[i, n] - (left[i, i + 1 : n] * x[i + 1 :]).sum()) / left[i, i]
        x[i] = _cheapest(best, left[i, i], bits[i], 0)
    remaining = products - (squares * x).sum(1)
    for _ in range(_AGAIN):
        for i in range(n):
            here = max(squares[i, i], 1e-9)
            found = _cheapest(x[i] + remaining[i] / here, here, bits[i], x[i])
            if found != x[i]:
                remaining -= squares[i] * (found - x[i])
                x[i] = found
    return x.astype(np.int32)


def _cheapest(best: float, curvature: float, bits: Real, now: float) -> float:
    """Of 0, ``now`` and the integers next to ``best``, that with the least curvature·(x - best)² + bits(x)."""
    below = float(np.floor(min(max(best, -LARGEST_SYMBOL), LARGEST_SYMBOL - 1)))
    tried = (now, 0.0, below, below + 1)
    return min(tried, key=lambda x: curvature * (x - best) ** 2 + bits[int(x) + LARGEST_SYMBOL])
