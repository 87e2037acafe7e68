"""The transforms' loops, compiled once a machine when this module is imported, then loaded from Numba's cache.

Arrays are (places, channels), ``per`` places a picture in raster order, ``start`` and ``end`` the places to do. All
arithmetic is float32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maevid.jit import inlined, loop, readable, types

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.uint16]

_F = np.float32
_ONE = _F(1)
# Of log2(1 + f)/f, 0 ≤ f < 1, ascending powers: least squares at 2000 Chebyshev nodes, relative error below 1.4e-6.
_LOG = np.array(
    (1.44269326, -0.72116274, 0.47770593, -0.33924778, 0.21558854, -0.09606626, 0.02049035), np.float32
)
_LN_2, _SIGN = _F(np.log(2)), np.uint16(0x8000)
_ONE_BITS, _FRACTION, _BIAS = np.int32(127 << 23), np.int32(0x7FFFFF), _F(127)


def narrow(value: float) -> np.uint16:
    """The bits of float32 rounded to bfloat16, halves to even; not for NaN."""
    bits = np.float32(value).view(np.uint32)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


def widen(bits: np.uint16) -> np.float32:
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
                x[p, c] += widen(change[p, c])
        if gain.size:
            for c in range(channels):
                x[p, c] *= gain[picture, c]
        if seen.size:
            if companded:
                for c in range(channels):
                    seen[p, c] = narrow(x[p, c] / np.sqrt(_ONE + abs(x[p, c])))
            else:
                for c in range(channels):
                    seen[p, c] = narrow(x[p, c])


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
            out[corner, c] = widen(x[p, 4 * c])
            out[corner + 1, c] = widen(x[p, 4 * c + 1])
            out[corner + width, c] = widen(x[p, 4 * c + 2])
            out[corner + width + 1, c] = widen(x[p, 4 * c + 3])


def _magnitudes(y: Floats, out: Halves, start: int, end: int) -> None:
    """log(1 + |y|) into the first half of the channels of ``out``, the same with y's sign into the second."""
    channels = y.shape[1]
    for p in range(start, end):
        source, plain, signed = y[p], out[p, :channels], out[p, channels:]
        for c in range(channels):
            bits = np.float32(_ONE + abs(source[c])).view(np.int32)
            fraction = np.int32((bits & _FRACTION) | _ONE_BITS).view(np.float32) - _ONE
            curve = _LOG[6]
            for k in range(5, -1, -1):
                curve = curve * fraction + _LOG[k]
            exponent = _F(np.int32(bits >> np.int32(23))) - _BIAS
            plain[c] = narrow(_LN_2 * (exponent + fraction * curve))
        for c in range(channels):
            # The sign's bit is where bfloat16 has it, too; of -0 it does not count.
            signed[c] = plain[c] | _SIGN if source[c] < 0 else plain[c]


narrow, widen = inlined(narrow), inlined(widen)
_floats, _read = types.float32[:, ::1], readable(types.float32, 2)
_halves, _read_halves = types.uint16[:, ::1], readable(types.uint16, 2)
_size = types.int64
_range = (_size,) * 2
accumulate = loop(_accumulate, _floats, _read_halves, _read, _size, types.boolean, _halves, *_range)
unshuffle = loop(_unshuffle, _read_halves, _size, _halves, *_range)
shuffle = loop(_shuffle, _read_halves, _size, _floats, *_range)
magnitudes = loop(_magnitudes, _read, _halves, *_range)
