"""4:2:0 planes to RGB and back, in float: for codecs that know nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maevid.video.chroma import doubled, halve_columns, halve_rows
from maevid.video.frame import ColorTags, Plane

Planes = tuple[Plane, Plane, Plane]
Rgb = npt.NDArray[np.float32]

BT709 = 1
BT470BG = 5
BT601 = 6
BT2020 = 9
BT2020_CONSTANT = 10
_HD_HEIGHT = 720
_LUMA_WEIGHTS = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
_SAME = {BT470BG: BT601, BT2020_CONSTANT: BT2020}


def matrix_for(matrix: int, height: int) -> int:
    """BT709, BT601 or BT2020 for the tag of a picture of that height.

    An unknown or missing tag is taken as BT.709 from 720 rows on and as BT.601 below.
    """
    matrix = _SAME.get(matrix, matrix)
    if matrix in _LUMA_WEIGHTS:
        return matrix
    return BT709 if height >= _HD_HEIGHT else BT601


def rgb_of(planes: Planes, color: ColorTags) -> Rgb:
    """Planes as RGB, float32 (3, height, width), 0 black and 1 white.

    Not clipped: samples outside the RGB cube come out below 0 or above 1, and :func:`planes_of` gives back what went
    in.
    """
    height, width = planes[0].shape
    red_weight, blue_weight = _LUMA_WEIGHTS[matrix_for(color.matrix, height)]
    luma, u, v = (plane.astype(np.float32) for plane in planes)
    black, luma_range, chroma_range = _ranges(color)
    luma = (luma - np.float32(black)) / np.float32(luma_range)
    u, v = (doubled((part - 128) / np.float32(chroma_range), height, width) for part in (u, v))
    red = luma + np.float32(2 * (1 - red_weight)) * v
    blue = luma + np.float32(2 * (1 - blue_weight)) * u
    green = (luma - red_weight * red - blue_weight * blue) / np.float32(1 - red_weight - blue_weight)
    return np.stack([red, green, blue])


def planes_of(rgb: Rgb, color: ColorTags) -> Planes:
    """RGB, float32 (3, height, width), as 8-bit planes in the matrix and range that the tags name, rounded once."""
    red, green, blue = rgb
    red_weight, blue_weight = _LUMA_WEIGHTS[matrix_for(color.matrix, red.shape[0])]
    black, luma_range, chroma_range = _ranges(color)
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    u = (blue - luma) * np.float32(chroma_range / 2 / (1 - blue_weight))
    v = (red - luma) * np.float32(chroma_range / 2 / (1 - red_weight))
    u, v = (halve_rows(halve_columns(part), interlaced=False) / 8 for part in (u, v))
    y, u, v = (
        np.floor(part + 0.5).clip(0, 255).astype(np.uint8)
        for part in (black + luma_range * luma, 128 + u, 128 + v)
    )
    return y, u, v


def _ranges(color: ColorTags) -> tuple[float, float, float]:
    """Code value of black, and code values of the whole range of luma and of chroma."""
    return (0, 255, 255) if color.full_range else (16, 219, 224)
