"""Pictures for a terminal: 4:2:0 planes to RGB, shrinking, the amplified difference, the map of bits by block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maevid.pipeline.events import Planes
from maevid.tui.session import FloatArray
from maevid.video.frame import ColorTags

Rgb = npt.NDArray[np.uint8]
GAIN = 8
"""What the difference is multiplied by: one code level of error becomes eight, grey means none."""

# Kr, Kb of ITU-T H.273 matrix code points; everything else is shown as BT.709.
_LUMA_WEIGHTS = {5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}


def shrink(plane: npt.NDArray[np.uint8], columns: int, rows: int) -> FloatArray:
    """Mean over boxes (nearest sample where enlarged): float64 of shape (rows, columns)."""
    height, width = plane.shape
    result: FloatArray = plane.astype(np.float64)
    for axis, (have, want) in enumerate(((height, rows), (width, columns))):
        starts = np.arange(want) * have // want
        if want >= have:
            result = np.take(result, starts, axis=axis)
        else:
            sizes = np.diff(np.append(starts, have))
            shape = (-1, 1) if axis == 0 else (1, -1)
            result = np.asarray(np.add.reduceat(result, starts, axis=axis) / sizes.reshape(shape))
    return result


def to_rgb(y: FloatArray, u: FloatArray, v: FloatArray, color: ColorTags) -> Rgb:
    """Planes of one size, in 8-bit code values, to RGB of shape (rows, columns, 3)."""
    kr, kb = _LUMA_WEIGHTS.get(color.matrix, (0.2126, 0.0722))
    if color.full_range:
        luma, cb, cr = y, u - 128, v - 128
    else:
        luma, cb, cr = (y - 16) * (255 / 219), (u - 128) * (255 / 224), (v - 128) * (255 / 224)
    red = luma + 2 * (1 - kr) * cr
    blue = luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    rgb: Rgb = np.clip(np.stack([red, green, blue], axis=-1) + 0.5, 0, 255).astype(np.uint8)
    return rgb


def picture_rgb(planes: Planes, color: ColorTags, columns: int, rows: int) -> Rgb:
    """The picture at ``columns`` × ``rows`` pixels."""
    y, u, v = (shrink(plane, columns, rows) for plane in planes)
    return to_rgb(y, u, v, color)


def difference_rgb(source: Planes, coded: Planes, columns: int, rows: int) -> Rgb:
    """Coded minus source, ``GAIN`` times, around mid-grey; taken at full size, before shrinking hides it.

    Each box shows its strongest luma error (with its sign) rather than the mean, which would cancel to grey.
    """
    error = coded[0].astype(np.int16) - source[0]
    height, width = error.shape
    row_starts, column_starts = np.arange(rows) * height // rows, np.arange(columns) * width // columns
    if rows < height and columns < width:
        high = np.maximum.reduceat(np.maximum.reduceat(error, row_starts), column_starts, axis=1)
        low = np.minimum.reduceat(np.minimum.reduceat(error, row_starts), column_starts, axis=1)
        error = np.where(high >= -low, high, low)
    else:
        error = error[row_starts][:, column_starts]
    grey = np.clip(128 + GAIN * error.astype(np.int64), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


# Black, violet, red, orange, pale yellow: brightness rises all the way, so the map reads without colour too.
_HEAT = np.array(
    [[8, 6, 24], [84, 20, 110], [190, 50, 80], [245, 140, 30], [252, 250, 180]], dtype=np.float64
)


def heat(values: FloatArray) -> FloatArray:
    """Colours of values 0..1, shape (…, 3), 0..255."""
    place = np.clip(values, 0, 1) * (len(_HEAT) - 1)
    lower = np.minimum(place.astype(int), len(_HEAT) - 2)
    part = (place - lower)[..., None]
    return np.asarray(_HEAT[lower] * (1 - part) + _HEAT[lower + 1] * part)


def block_map_rgb(
    bits: FloatArray, frame_size: tuple[int, int], columns: int, rows: int, over: Rgb | None
) -> Rgb:
    """Bits by 16×16 block as colours, from 0 to the largest block, laid half and half over a picture if given.

    ``frame_size`` is (width, height) in luma samples: the last blocks of a row or column may be cut.
    """
    width, height = frame_size
    block_x = np.minimum(((np.arange(columns) + 0.5) * width / columns).astype(int) // 16, bits.shape[1] - 1)
    block_y = np.minimum(((np.arange(rows) + 0.5) * height / rows).astype(int) // 16, bits.shape[0] - 1)
    colors = heat(bits[block_y][:, block_x] / max(float(bits.max(initial=0.0)), 1e-9))
    if over is not None:
        luma = over.astype(np.float64) @ np.array([0.2126, 0.7152, 0.0722])
        colors = colors * (0.35 + 0.65 * luma[..., None] / 255) + 0.12 * luma[..., None]
    return np.clip(colors, 0, 255).astype(np.uint8)


def fit(width: float, height: float, columns: int, rows: int) -> tuple[int, int]:
    """Largest whole size with the shape of ``width``×``height`` in ``columns``×``rows`` square pixels; rows even."""
    scale = min(columns / width, rows / height)
    fitted = max(round(width * scale), 1), max(round(height * scale / 2) * 2, 2)
    return min(fitted[0], columns), min(fitted[1], rows - rows % 2)
