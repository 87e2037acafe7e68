"""The entropy model's loops, compiled as those in :mod:`maevid.model.fused.compiled` are, and exact.

Activations are whole numbers, their levels: multiples of the activations' step. They lie in arrays (parts, rows,
channels): float32 in one part, or int8, where levels of nine bits are in two, the halves rounded down and what is
left. Products of them, float32 or int32, have the same parts; :func:`_take` puts them together. ``places`` says which
place each row is of, ``per`` places a picture in raster order, ``start`` and ``end`` are the rows to do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maevid.jit import loop, numba, readable, types
from maevid.model.integer import ACTIVATION_LIMIT, LinearPredictor
from maevid.model.prior import (
    COMPRESSED_LIMIT,
    INDEX_GAIN,
    INDEX_STEP,
    MEAN_LIMIT,
    SCALES,
    SKIP_BELOW,
    SYMBOL_LIMIT,
)
from maevid.model.quantiser import FIRST_STEP_ENDS

Floats = npt.NDArray[np.float32]
Parts = npt.NDArray[Any]
Places = npt.NDArray[np.int32]

_F = np.float32
_HALF, _ONE, _TWO, _ZERO = _F(0.5), _F(1), _F(2), _F(0)
_LIMIT = _F(ACTIVATION_LIMIT)
_INDEX_GAIN, _INDEX_STEP, _INDEX_INVERSE = _F(INDEX_GAIN), _F(INDEX_STEP), _F(1 / INDEX_STEP)
_LAST_INDEX = _F(SCALES - 1)
_MEAN_LIMIT = _F(MEAN_LIMIT)
_INPUT_STEP, _INPUT_INVERSE = _F(LinearPredictor.INPUT_STEP), _F(1 / LinearPredictor.INPUT_STEP)
_INPUT_LIMIT = _F(LinearPredictor.INPUT_LIMIT)
_COMPRESSED = _F(COMPRESSED_LIMIT)
_SKIP = np.uint8(SKIP_BELOW)
_SYMBOL = _F(SYMBOL_LIMIT)
_FIRST_STEP_ENDS = _F(FIRST_STEP_ENDS)
_ONE_BITS, _UNIT = 127 << 23, _F(2.0**-23)


def _activate(x: Floats, offset: Floats, per: int, slope: float, step: float, start: int, end: int) -> None:
    """x = clamp(round(leaky(x + offset))) in place; ``offset`` (pictures, channels) may be empty."""
    channels = x.shape[1]
    inverse = _ONE / step
    top = _LIMIT - step
    for p in range(start, end):
        picture = p // per
        for c in range(channels):
            value = x[p, c]
            if offset.size:
                value += offset[picture, c]
            value = max(value, value * slope)
            value = np.floor(value * inverse + _HALF) * step
            x[p, c] = min(max(value, -_LIMIT), top)


def _compress(x: Floats, step: float, out: Floats, start: int, end: int) -> None:
    """out = round(sign(x)·L(1 + |x|)), L the piecewise-linear log2: exponent plus mantissa of the float."""
    channels = x.shape[1]
    inverse = _ONE / step
    top = _LIMIT - step
    for p in range(start, end):
        for c in range(channels):
            bits = np.float32(_ONE + min(abs(x[p, c]), _COMPRESSED)).view(np.int32)
            # A float's bits are, above its 23rd, exponent + 127 and fraction: log2 with straight lines in between.
            size = _F(bits - _ONE_BITS) * _UNIT
            value = size if x[p, c] >= 0 else -size
            out[p, c] = min(max(np.floor(value * inverse + _HALF) * step, -_LIMIT), top)


def _gather(latents: Floats, per: int, width: int, out: Floats, start: int, end: int) -> None:
    """Latents of the first pass (places, channels) as the linear predictor takes them, side by side in ``out``."""
    for p in range(start, end):
        first = (p % per // width + p % width) % 2
        near = out[p]
        for k in range((latents.shape[1] - first + 1) // 2):
            near[k] = latents[p, first + 2 * k]
        for k in range(len(near)):
            grid = np.floor(near[k] * _INPUT_INVERSE + _HALF) * _INPUT_STEP
            near[k] = min(max(grid, -_INPUT_LIMIT), _INPUT_LIMIT)


def _enter(x: Floats, places: Places, step: float, out: Parts, start: int, end: int) -> None:
    """Levels of clamp(round(x)) of these places."""
    values = np.empty(x.shape[1], np.float32)
    for row in range(start, end):
        values[:] = x[places[row]]
        _put(values, _ONE / step, out, row)


def _carry_on(
    raw: Parts,
    scale: Floats,
    bias: Floats,
    offset: Floats,
    added: Floats,
    places: Places,
    per: int,
    slope: float,
    step: float,
    out: Parts,
    start: int,
    end: int,
) -> None:
    """From a product to levels of clamp(round(leaky(product + bias + offset + added))).

    ``offset`` (pictures, channels) and ``added`` (places, channels) may be empty.
    """
    values = np.empty(len(scale), np.float32)
    for row in range(start, end):
        place = places[row]
        _take(raw, row, scale, bias, values)
        if offset.size:
            values += offset[place // per]
        if added.size:
            values += added[place]
        for c in range(len(values)):
            values[c] = max(values[c], values[c] * slope)
        _put(values, _ONE / step, out, row)


def _rise(
    raw: Parts,
    scale: Floats,
    bias: Floats,
    places: Places,
    width: int,
    slope: float,
    step: float,
    out: Floats,
    start: int,
    end: int,
) -> None:
    """From a product to clamp(round(leaky(product + bias))), spread over pictures twice as wide and high.

    ``width`` is that of ``out`` (places, channels); the product has its channels for the upper left place, then for
    the upper right, the lower left and the lower right.
    """
    channels = out.shape[1]
    inverse = _ONE / step
    top = _LIMIT - step
    half = width // 2
    values = np.empty(len(scale), np.float32)
    for row in range(start, end):
        place = places[row]
        corner = place // half * 2 * width + place % half * 2
        _take(raw, row, scale, bias, values)
        for quarter in range(4):
            near = values[quarter * channels : (quarter + 1) * channels]
            risen = out[corner + quarter // 2 * width + quarter % 2]
            for c in range(channels):
                value = np.floor(max(near[c], near[c] * slope) * inverse + _HALF) * step
                risen[c] = min(max(value, -_LIMIT), top)


def _predict(
    raw: Parts,
    scale: Floats,
    bias: Floats,
    gain: Floats,
    anchors: Floats,
    taps: Floats,
    latents: Floats,
    offsets: Floats,
    mean_step: float,
    places: Places,
    per: int,
    width: int,
    first: int,
    stride: int,
    mean: Floats,
    index: npt.NDArray[np.uint8],
    decoded: Floats,
    symbols: npt.NDArray[np.int32],
    start: int,
    end: int,
) -> None:
    """Means and scale indices of the channels first, first + stride, … from a head's product, means before indices.

    ``gain`` (pictures, n) adds to indices. ``anchors``, may be empty, are what :func:`_gather` makes of the first
    pass's latents, ``taps`` (4, n) the linear predictor's weights of the places above, to the left, to the right and
    below: those around a latent with anchors. ``index`` and ``symbols`` are (pictures, channels, places).

    Where there are ``latents`` (places, channels), they are rounded to ``symbols`` and ``decoded`` (places, channels)
    with ``offsets`` (2, scale indices) as :func:`maevid.model.quantiser.quantised` does, and ``mean`` is not touched;
    without, ``mean`` (rows, n) is what counts.
    """
    count = len(scale) // 2
    rows = end - start
    inverse = _ONE / mean_step
    # What is wanted of a place, side by side, so that arithmetic runs in vectors; and of all of them, to be turned.
    own, means, near = (
        np.empty(len(scale), np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.float32),
    )
    levels = np.empty((rows, count), np.uint8)
    rounded = np.empty((rows if latents.size else 0, count), np.int32)
    for row in range(start, end):
        p = places[row]
        means[:] = _ZERO
        if anchors.size:
            _filter(anchors, taps, p, per, width, means)
        _take(raw, row, scale, bias, own)
        added, level = gain[p // per], levels[row - start]
        for k in range(count):
            value = np.floor(means[k] * inverse + _HALF) * mean_step
            value += np.floor(own[k] * inverse + _HALF) * mean_step
            means[k] = min(max(value, -_MEAN_LIMIT), _MEAN_LIMIT)
        for k in range(count):
            value = own[count + k] * _INDEX_GAIN + added[k]
            value = np.floor(np.floor(value * _INDEX_INVERSE + _HALF) * _INDEX_STEP + _HALF)
            level[k] = np.uint8(np.int32(min(max(value, _ZERO), _LAST_INDEX)))
        if latents.size:
            whole, symbols_here, found = latents[p], rounded[row - start], decoded[p]
            for k in range(count):
                near[k] = whole[first + k * stride]
            for k in range(count):
                deviation = near[k] - means[k]
                size = abs(deviation)
                below, above = offsets[0, level[k]], offsets[1, level[k]]
                symbol = min(
                    max(np.floor(size + (below if size < _FIRST_STEP_ENDS else above)), _ZERO), _SYMBOL
                )
                signed = symbol if deviation >= _ZERO else -symbol
                near[k] = signed if level[k] >= _SKIP else _ZERO
                means[k] += near[k]
                symbols_here[k] = np.int32(near[k])
            for k in range(count):
                found[first + k * stride] = means[k]
        else:
            mean[row] = means
    _turn(levels, places, per, first, stride, index, start)
    if latents.size:
        _turn(rounded, places, per, first, stride, symbols, start)


def _restore(
    mean: Floats,
    symbols: Floats,
    places: Places,
    per: int,
    first: int,
    stride: int,
    decoded: Floats,
    start: int,
    end: int,
) -> None:
    """Means (rows, n) plus symbols (pictures, channels, places), of the channels first, first + stride, …"""
    count = mean.shape[1]
    near = np.empty((end - start, count), np.float32)
    at, flat = _corners(places, per, symbols.shape[1], start, len(near)), symbols.reshape(-1)
    for k in range(count):
        channel = np.uint64((first + k * stride) * per)
        for row in range(len(near)):
            near[row, k] = flat[at[row] + channel]
    for row in range(start, end):
        found, here, means = decoded[places[row]], near[row - start], mean[row]
        for k in range(count):
            found[first + k * stride] = means[k] + here[k]


def _deviate(
    mean: Floats,
    latents: Floats,
    places: Places,
    per: int,
    first: int,
    stride: int,
    deviations: Floats,
    start: int,
    end: int,
) -> None:
    """Latents (places, channels) less means (rows, n), into ``deviations`` (pictures, channels, places)."""
    near = np.empty((end - start, mean.shape[1]), np.float32)
    for row in range(start, end):
        here, whole, means = near[row - start], latents[places[row]], mean[row]
        for k in range(len(here)):
            here[k] = whole[first + k * stride] - means[k]
    _turn(near, places, per, first, stride, deviations, start)


def _take(raw: Parts, row: int, scale: Floats, bias: Floats, values: Floats) -> None:
    """A layer's output from its product, whose parts are put together."""
    if raw.shape[0] == 1:
        total = raw[0, row]
        for c in range(len(values)):
            values[c] = _F(total[c]) * scale[c] + bias[c]
    else:
        # In floats, which hold these sums as integers do and convert faster.
        halves, rest = raw[0, row], raw[1, row]
        for c in range(len(values)):
            values[c] = (_TWO * _F(halves[c]) + _F(rest[c])) * scale[c] + bias[c]


def _put(values: Floats, inverse: np.float32, out: Parts, row: int) -> None:
    """The levels of values, rounded and clamped, in their parts."""
    limit = _LIMIT * inverse
    if out.shape[0] == 1:
        level = out[0, row]
        for c in range(len(values)):
            level[c] = np.int32(min(max(np.floor(values[c] * inverse + _HALF), -limit), limit - _ONE))
    else:
        halves, rest = out[0, row], out[1, row]
        for c in range(len(values)):
            whole = min(max(np.floor(values[c] * inverse + _HALF), -limit), limit - _ONE)
            half = np.floor(whole * _HALF)
            halves[c] = np.int32(half)
            rest[c] = np.int32(whole - half - half)


def _turn(
    rows: npt.NDArray[Any],
    places: Places,
    per: int,
    first: int,
    stride: int,
    out: npt.NDArray[Any],
    start: int,
) -> None:
    """Rows of places to rows of channels, ``out`` (pictures, channels, places): within a channel memory is near."""
    at, flat = _corners(places, per, out.shape[1], start, len(rows)), out.reshape(-1)
    for k in range(rows.shape[1]):
        channel = np.uint64((first + k * stride) * per)
        for row in range(len(rows)):
            flat[at[row] + channel] = rows[row, k]


def _corners(places: Places, per: int, channels: int, start: int, count: int) -> npt.NDArray[np.uint64]:
    """Where the first channel of each place lies in (pictures, channels, places); unsigned, so nothing is wrapped."""
    at = np.empty(count, np.uint64)
    for row in range(count):
        p = places[start + row]
        at[row] = p // per * channels * per + p % per
    return at


def _filter(anchors: Floats, taps: Floats, p: int, per: int, width: int, total: Floats) -> None:
    """Add what the linear predictor makes of the latents around a place."""
    place = p % per
    if place >= width:
        _add_products(anchors[p - width], taps[0], total)
    if place % width > 0:
        _add_products(anchors[p - 1], taps[1], total)
    if place % width < width - 1:
        _add_products(anchors[p + 1], taps[2], total)
    if place + width < per:
        _add_products(anchors[p + width], taps[3], total)


def _add_products(near: Floats, weight: Floats, total: Floats) -> None:
    for k in range(len(total)):
        total[k] += near[k] * weight[k]


_take, _put, _corners, _turn, _add_products, _filter = (
    numba.njit(inner, nogil=True) for inner in (_take, _put, _corners, _turn, _add_products, _filter)
)
_floats, _read, _row = types.float32[:, ::1], readable(types.float32, 2), readable(types.float32)
_places, _size, _step = readable(types.int32), types.int64, types.float32
_channelled, _integers = types.uint8[:, :, ::1], types.int32[:, :, ::1]
_range = (_size, _size)


class Kernels:
    """The loops that read and write levels of one type and their products."""

    def __init__(self, level: Any, product: Any) -> None:
        levels, raw = level[:, :, ::1], readable(product, 3)
        affine = raw, _row, _row
        self.enter = loop(_enter, _read, _places, _step, levels, *_range)
        self.carry_on = loop(_carry_on, *affine, _read, _read, _places, _size, _step, _step, levels, *_range)
        self.rise = loop(_rise, *affine, _places, _size, _step, _step, _floats, *_range)
        inputs, outputs = (_read,) * 5, (_floats, _channelled, _floats, _integers)
        self.predict = loop(_predict, *affine, *inputs, _step, _places, *(_size,) * 4, *outputs, *_range)


activate = loop(_activate, _floats, _read, _size, _step, _step, *_range)
compress = loop(_compress, _read, _step, _floats, *_range)
gather = loop(_gather, _read, _size, _size, _floats, *_range)
restore = loop(_restore, _read, readable(types.float32, 3), _places, *(_size,) * 3, _floats, *_range)
deviate = loop(_deviate, _read, _read, _places, *(_size,) * 3, types.float32[:, :, ::1], *_range)
in_floats = Kernels(types.float32, types.float32)
in_bytes = Kernels(types.int8, types.int32)
