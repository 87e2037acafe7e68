"""What a program may hand over as a picture, turned into 8-bit 4:2:0 planes."""

from __future__ import annotations

from typing import Any, Literal

import av
import numpy as np

from maevid.errors import UsageError
from maevid.stream.packet import MAX_SIDE
from maevid.video.frame import ColorTags, Plane
from maevid.video.pixels import PixelConverter

PixelFormat = Literal["rgb24", "gray", "yuv420p"]
Converted = tuple[tuple[Plane, Plane, Plane], ColorTags, PixelFormat]


class PictureConverter:
    """Planes, colour tags and pixel format of arrays (height, width, 3) of RGB or (height, width) of grey, of tensors
    (3, height, width) or (height, width) on any device, and of planes (y, u, v); all of uint8.

    ``color`` says what planes mean. RGB becomes limited-range BT.709 from 720 rows on and BT.601 below, and takes
    primaries and transfer from it; grey becomes full-range luma. Raises UsageError for anything else.
    """

    def __init__(self, color: ColorTags) -> None:
        self._color = color
        self._converter = PixelConverter()

    def __call__(self, picture: Any) -> Converted:
        if isinstance(picture, tuple | list):
            return self._planes(picture), self._color, "yuv420p"
        samples = _array(picture)
        if hasattr(picture, "detach") and samples.ndim == 3:
            if samples.shape[0] != 3:
                raise UsageError(f"a tensor of RGB has the shape (3, height, width), not {samples.shape}")
            samples = samples.transpose(1, 2, 0)
        if samples.ndim not in (2, 3) or (samples.ndim == 3 and samples.shape[2] != 3):
            raise UsageError(
                f"an array of a picture has the shape (height, width, 3) or (height, width), not {samples.shape}"
            )
        _check_size(samples)
        name: PixelFormat = "rgb24" if samples.ndim == 3 else "gray"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), format=name)
        planes, color = self._converter.convert(frame, self._color)
        return planes, color, name

    def _planes(self, given: tuple[Any, ...] | list[Any]) -> tuple[Plane, Plane, Plane]:
        planes = [np.array(_array(plane)) for plane in given]
        if len(planes) != 3 or any(plane.ndim != 2 for plane in planes):
            shapes = ", ".join(str(plane.shape) for plane in planes)
            raise UsageError(f"planes are y, u and v, each of two dimensions, not of shapes {shapes}")
        y, u, v = planes
        _check_size(y)
        height, width = y.shape
        half = (height + 1) // 2, (width + 1) // 2
        if u.shape != half or v.shape != half:
            raise UsageError(
                f"u and v of a 4:2:0 picture of {width}x{height} have the shape {half}, not {u.shape} and {v.shape}"
            )
        return y, u, v


def _array(picture: Any) -> Plane:
    """An array, or a tensor brought here, as a view where that is possible."""
    samples = picture.detach().cpu().numpy() if hasattr(picture, "detach") else picture
    if not isinstance(samples, np.ndarray):
        raise UsageError(f"a picture is an array, a tensor or three planes, not {type(picture).__name__}")
    if samples.dtype != np.uint8:
        raise UsageError(
            f"pictures are of uint8 samples, 0 to 255, not of {samples.dtype}: convert them first"
        )
    return samples


def _check_size(samples: Plane) -> None:
    height, width = samples.shape[:2]
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise UsageError(f"a picture of {width}x{height} cannot be coded: sides go from 1 to {MAX_SIDE}")
