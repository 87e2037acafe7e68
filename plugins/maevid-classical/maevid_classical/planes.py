"""Planes as FFmpeg pictures and back, with the samples as they are."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from maevid.video.frame import Plane

Planes = tuple[Plane, Plane, Plane]
Shape = tuple[int, int]


def padded(planes: Planes, multiple: int, smallest: int) -> Planes:
    """Planes whose luma sides are multiples of an even number and at least ``smallest``, edges repeated."""
    height, width = planes[0].shape
    to_height, to_width = (max(smallest, -(-side // multiple) * multiple) for side in (height, width))
    if (to_height, to_width) == (height, width):
        return planes
    y, u, v = planes
    return (
        _extend(y, to_height, to_width),
        _extend(u, to_height // 2, to_width // 2),
        _extend(v, to_height // 2, to_width // 2),
    )


def cropped(planes: Planes, height: int, width: int) -> Planes:
    """The upper left of planes, contiguous. Smaller planes stay what they are."""
    y, u, v = planes
    rows, columns = (height + 1) // 2, (width + 1) // 2
    return (
        np.ascontiguousarray(y[:height, :width]),
        np.ascontiguousarray(u[:rows, :columns]),
        np.ascontiguousarray(v[:rows, :columns]),
    )


def to_picture(planes: Planes) -> av.VideoFrame:
    """An FFmpeg 4:2:0 picture of the planes."""
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, "yuv420p")
    for target, plane in zip(picture.planes, planes, strict=True):
        rows = np.zeros((target.height, target.line_size), np.uint8)
        rows[:, : plane.shape[1]] = plane
        target.update(rows.tobytes())
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    return picture


def from_picture(picture: av.VideoFrame) -> Planes:
    """The planes of an FFmpeg 4:2:0 picture of 8 bits. Raises ValueError for any other format."""
    if picture.format.name not in ("yuv420p", "yuvj420p"):
        raise ValueError(f"the picture has format {picture.format.name}")
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint8)
        .reshape(plane.height, plane.line_size)[:, : plane.width]
        .copy()
        for plane in picture.planes
    )
    return y, u, v


def _extend(plane: Plane, height: int, width: int) -> Plane:
    return np.pad(plane, ((0, height - plane.shape[0]), (0, width - plane.shape[1])), mode="edge")
