"""The loops, compiled once a machine when this module is imported, then loaded from Numba's cache.

Arrays are (places, channels), ``per`` places a picture in raster order, ``start`` and ``end`` the places to do. All
arithmetic is float32. Where exactness is asked for it is that of :mod:`maevid.model.integer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from maevid.jit import compiled, numba, readable, types
from maevid.model.integer import ACTIVATION_LIMIT, LinearPredictor
from maevid.model.prior import (
    COMPRESSED_LIMIT,
    INDEX_GAIN,
    INDEX_STEP,
    MEAN_LIMIT,
    MEAN_STEP,
    SCALES,
    SKIP_BELOW,
    SYMBOL_LIMIT,
)

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.uint16]

_F = np.float32
_HALF, _ONE, _ZERO = _F(0.5), _F(1), _F(0)
_LIMIT = _F(ACTIVATION_LIMIT)
_INDEX_GAIN, _INDEX_STEP, _INDEX_INVERSE = _F(INDEX_GAIN), _F(INDEX_STEP), _F(1 / INDEX_STEP)
_LAST_INDEX = _F(SCALES - 1)
_MEAN_STEP, _MEAN_INVERSE, _MEAN_LIMIT = _F(MEAN_STEP), _F(1 / MEAN_STEP), _F(MEAN_LIMIT)
_INPUT_STEP, _INPUT_INVERSE = _F(LinearPredictor.INPUT_STEP), _F(1 / LinearPredictor.INPUT_STEP)
_INPUT_LIMIT = _F(LinearPredictor.INPUT_LIMIT)
_COMPRESSED = _F(COMPRESSED_LIMIT)
_SKIP = np.uint8(SKIP_BELOW)
_SYMBOL = _F(SYMBOL_LIMIT)
# Of log2(1 + f)/f, 0 ≤ f < 1, ascending powers: least squares at 2000 Chebyshev nodes, relative error below 1.4e-6.
_LOG = np.array(
    (1.44269326, -0.72116274, 0.47770593, -0.33924778, 0.21558854, -0.09606626, 0.02049035), np.float32
)
_LN_2, _SIGN = _F(np.log(2)), np.uint16(0x8000)
_ONE_BITS, _UNIT = 127 << 23, _F(2.0**-23)


def _compile(function: Callable[..., None], *arguments: Any) -> Any:
    return compiled(function, types.void(*arguments))[0]


def _activate(
    x: Floats, offset: Floats, added: Floats, per: int, slope: float, step: float, start: int, end: int
) -> None:
    """x = clamp(round(leaky(x + offset + added))) in place; ``offset`` (pictures, channels), either may be empty."""
    channels = x.shape[1]
    inverse = _ONE / step
    top = _LIMIT - step
    for p in range(start, end):
        picture = p // per
        for c in range(channels):
            value = x[p, c]
            if offset.size:
                value += offset[picture, c]
            if added.size:
                value += added[p, c]
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


def _predict(
    raw: Floats,
    gain: Floats,
    anchors: Floats,
    taps: Floats,
    per: int,
    width: int,
    parity: int,
    mean: Floats,
    index: npt.NDArray[np.uint8],
    start: int,
    end: int,
) -> None:
    """Means and scale indices from a head's output (places, 2·channels); ``gain`` (pictures, channels) adds to indices.

    Only where (row + column + channel) has ``parity`` (0 or 1; 2: everywhere); other means are of no use. ``index`` is
    (pictures, channels, places). ``anchors`` (may be empty) are latents of parity 0, ``taps`` (4, channels) the linear
    predictor's weights of the places above, to the left, to the right and below: those around a latent with anchors.
    """
    channels = mean.shape[1]
    for p in range(start, end):
        picture, place = p // per, p % per
        column = place % width
        mean[p] = _ZERO
        if anchors.size:
            if place >= width:
                _add_filtered(anchors[p - width], taps[0], mean[p])
            if column > 0:
                _add_filtered(anchors[p - 1], taps[1], mean[p])
            if column < width - 1:
                _add_filtered(anchors[p + 1], taps[2], mean[p])
            if place + width < per:
                _add_filtered(anchors[p + width], taps[3], mean[p])
        for c in range(channels):
            predicted = np.floor(mean[p, c] * _MEAN_INVERSE + _HALF) * _MEAN_STEP
            value = predicted + np.floor(raw[p, c] * _MEAN_INVERSE + _HALF) * _MEAN_STEP
            mean[p, c] = min(max(value, -_MEAN_LIMIT), _MEAN_LIMIT)
        first, step = _channels_of(place, width, parity)
        for c in range(first, channels, step):
            scale = raw[p, channels + c] * _INDEX_GAIN + gain[picture, c]
            scale = np.floor(np.floor(scale * _INDEX_INVERSE + _HALF) * _INDEX_STEP + _HALF)
            index[picture, c, place] = np.uint8(min(max(scale, _ZERO), _LAST_INDEX))


def _channels_of(place: int, width: int, parity: int) -> tuple[int, int]:
    """First channel and step of those that have ``parity`` at a place of a picture ``width`` wide (2: all)."""
    return (0, 1) if parity == 2 else ((place // width + place % width + parity) % 2, 2)


def _add_filtered(latents: Floats, weight: Floats, total: Floats) -> None:
    for c in range(len(total)):
        near = np.floor(latents[c] * _INPUT_INVERSE + _HALF) * _INPUT_STEP
        total[c] += min(max(near, -_INPUT_LIMIT), _INPUT_LIMIT) * weight[c]


def _quantise(
    latents: Floats,
    mean: Floats,
    index: npt.NDArray[np.uint8],
    per: int,
    width: int,
    parity: int,
    decoded: Floats,
    symbols: npt.NDArray[np.int32],
    start: int,
    end: int,
) -> None:
    """Round latents of ``parity`` around their means; ``index`` and ``symbols`` are (pictures, channels, places)."""
    channels = mean.shape[1]
    for p in range(start, end):
        picture, place = p // per, p % per
        first, step = _channels_of(place, width, parity)
        for c in range(first, channels, step):
            symbol = _ZERO
            if index[picture, c, place] >= _SKIP:
                symbol = min(max(np.floor(latents[p, c] - mean[p, c] + _HALF), -_SYMBOL), _SYMBOL)
            decoded[p, c] = symbol + mean[p, c]
            symbols[picture, c, place] = np.int32(symbol)


def _restore(
    mean: Floats, symbols: Floats, per: int, width: int, parity: int, decoded: Floats, start: int, end: int
) -> None:
    """Means plus symbols (pictures, channels, places), where latents are of ``parity``."""
    channels = mean.shape[1]
    for p in range(start, end):
        picture, place = p // per, p % per
        first, step = _channels_of(place, width, parity)
        for c in range(first, channels, step):
            decoded[p, c] = mean[p, c] + symbols[picture, c, place]


def _narrow(value: float) -> np.uint16:
    """The bits of float32 rounded to bfloat16, halves to even; not for NaN."""
    bits = np.float32(value).view(np.uint32)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


def _widen(bits: np.uint16) -> np.float32:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


def _accumulate(
    x: Floats, change: Halves, gain: Floats, per: int, companded: bool, seen: Halves, start: int, end: int
) -> None:
    """x = (x + change)·gain in place, and ``seen`` its companded values; ``change``, ``gain``, ``seen`` may be empty.

    ``companded`` False puts x itself into ``seen``.
    """
    channels = x.shape[1]
    for p in range(start, end):
        picture = p // per
        if change.size:
            for c in range(channels):
                x[p, c] += _widen(change[p, c])
        if gain.size:
            for c in range(channels):
                x[p, c] *= gain[picture, c]
        if seen.size:
            if companded:
                for c in range(channels):
                    seen[p, c] = _narrow(x[p, c] / np.sqrt(_ONE + abs(x[p, c])))
            else:
                for c in range(channels):
                    seen[p, c] = _narrow(x[p, c])


def _unshuffle(x: Halves, width: int, out: Halves, start: int, end: int) -> None:
    """Places of a picture ``width`` wide to ``out``, half as wide and high: pixel_unshuffle's order of channels."""
    channels = x.shape[1]
    half = width // 2
    for p in range(start, end):
        corner = p // half * 2 * width + p % half * 2
        for c in range(channels):
            out[p, 4 * c] = x[corner, c]
            out[p, 4 * c + 1] = x[corner + 1, c]
            out[p, 4 * c + 2] = x[corner + width, c]
            out[p, 4 * c + 3] = x[corner + width + 1, c]


def _shuffle(x: Halves, width: int, out: Floats, start: int, end: int) -> None:
    """The inverse of :func:`_unshuffle`, to float32; ``width`` is that of ``out``, whose places are counted by x's."""
    channels = out.shape[1]
    half = width // 2
    for p in range(start, end):
        corner = p // half * 2 * width + p % half * 2
        for c in range(channels):
            out[corner, c] = _widen(x[p, 4 * c])
            out[corner + 1, c] = _widen(x[p, 4 * c + 1])
            out[corner + width, c] = _widen(x[p, 4 * c + 2])
            out[corner + width + 1, c] = _widen(x[p, 4 * c + 3])


def _magnitudes(y: Floats, out: Halves, start: int, end: int) -> None:
    """log(1 + |y|) into the first half of the channels of ``out``, the same with y's sign into the second."""
    channels = y.shape[1]
    for p in range(start, end):
        for c in range(channels):
            bits = np.float32(_ONE + abs(y[p, c])).view(np.int32)
            fraction = np.int32((bits & 0x7FFFFF) | _ONE_BITS).view(np.float32) - _ONE
            curve = _LOG[6]
            for k in range(5, -1, -1):
                curve = curve * fraction + _LOG[k]
            size = _narrow(_LN_2 * (_F((bits >> 23) - 127) + fraction * curve))
            out[p, c] = size
            out[p, channels + c] = size | _SIGN if y[p, c] < 0 else size


_narrow, _widen, _channels_of, _add_filtered = (
    numba.njit(inner, nogil=True, inline="always") for inner in (_narrow, _widen, _channels_of, _add_filtered)
)
_floats, _read = types.float32[:, ::1], readable(types.float32, 2)
_halves, _read_halves = types.uint16[:, ::1], readable(types.uint16, 2)
_channelled = types.uint8[:, :, ::1]
_size = types.int64
_sizes, _range = (_size,) * 3, (_size,) * 2
activate = _compile(_activate, _floats, _read, _read, _size, types.float32, types.float32, *_range)
compress = _compile(_compress, _read, types.float32, _floats, *_range)
predict = _compile(_predict, *(_read,) * 4, *_sizes, _floats, _channelled, *_range)
quantise = _compile(_quantise, _read, _read, _channelled, *_sizes, _floats, types.int32[:, :, ::1], *_range)
restore = _compile(_restore, _read, readable(types.float32, 3), *_sizes, _floats, *_range)
accumulate = _compile(_accumulate, _floats, _read_halves, _read, _size, types.boolean, _halves, *_range)
unshuffle = _compile(_unshuffle, _read_halves, _size, _halves, *_range)
shuffle = _compile(_shuffle, _read_halves, _size, _floats, *_range)
magnitudes = _compile(_magnitudes, _read, _halves, *_range)
