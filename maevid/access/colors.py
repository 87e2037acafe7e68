"""4:2:0 planes to RGB in whole numbers: the same colours on every machine, from NumPy and from tensors alike.

Chroma is interpolated linearly from where MPEG puts its samples: beside the left one of two luma samples, between
two luma rows. Everything is an integer sum below 2^31 with one rounding, so the result cannot depend on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from maevid.video.frame import ColorTags

_BT601, _BT709 = (0.299, 0.114), (0.2126, 0.0722)
_LUMA_WEIGHTS = {
    1: _BT709,
    4: (0.30, 0.11),
    5: _BT601,
    6: _BT601,
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
"""Kr and Kb of the matrix code points of ITU-T H.273."""
_HD_HEIGHT = 720
_BITS = 17
_CHROMA_WEIGHT = 8
"""What the interpolated chroma samples are sums of: 4 down, 2 across."""

Empty = Callable[[tuple[int, ...]], Any]
"""Makes an int32 array or tensor of a shape, not filled."""


def luma_weights(color: ColorTags, height: int) -> tuple[float, float]:
    """Kr and Kb of a picture; unknown matrices count as BT.709 from 720 rows on and BT.601 below."""
    return _LUMA_WEIGHTS.get(color.matrix, _BT709 if height >= _HD_HEIGHT else _BT601)


def write_rgb(planes: Sequence[Any], color: ColorTags, rgb: Sequence[Any], empty: Empty) -> None:
    """Fill the three ``rgb`` planes (height, width) of uint8 from Y, U and V.

    All are arrays, or all are tensors of one device, and so is what ``empty`` makes. No range in ``color`` means
    limited range.
    """
    y, u, v = planes
    height, width = y.shape
    kr, kb = luma_weights(color, height)
    black, luma_span, chroma_span = (0, 255, 255) if color.full_range else (16, 219, 224)
    luma_factor = round(255 / luma_span * 2**_BITS)
    unit = 255 / chroma_span * 2**_BITS / _CHROMA_WEIGHT
    to_red, to_blue = 2 * (1 - kr) * unit, 2 * (1 - kb) * unit
    kg = 1 - kr - kb

    luma = empty((height, width))
    luma[...] = y
    luma *= luma_factor
    luma += 2 ** (_BITS - 1) - black * luma_factor
    u = _full_size(u, height, width, empty)
    v = _full_size(v, height, width, empty)
    channels = (
        luma + v * round(to_red),
        luma - u * round(to_blue * kb / kg) - v * round(to_red * kr / kg),
        luma + u * round(to_blue),
    )
    for channel, target in zip(channels, rgb, strict=True):
        target[...] = (channel >> _BITS).clip(0, 255)


def _full_size(plane: Any, height: int, width: int, empty: Empty) -> Any:
    """A chroma plane at luma size, eight times its value, zero for grey."""
    rows, columns = plane.shape
    centred = empty((rows, columns))
    centred[...] = plane
    centred -= 128
    tall = empty((2 * rows, columns))
    near = centred * 3
    tall[0::2], tall[1::2] = near, near
    tall[2::2] += centred[:-1]
    tall[0] += centred[0]
    tall[1:-1:2] += centred[1:]
    tall[-1] += centred[-1]
    tall = tall[:height]
    wide = empty((height, 2 * columns))
    wide[:, 0::2], wide[:, 1::2] = tall, tall
    wide[:, 0::2] += tall
    wide[:, 1:-1:2] += tall[:, 1:]
    wide[:, -1] += tall[:, -1]
    return wide[:, :width]
