"""The picture type that passes between modules: three 4:2:0 planes with their time and colour tags."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ColorTags:
    """How the samples of a frame map to light, as code points of ITU-T H.273 (FFmpeg uses the same
    numbers).

    2 means "unspecified" for matrix, primaries and transfer. ``full_range`` is None when unspecified.
    """

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    full_range: bool | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One 8-bit 4:2:0 picture.

    ``y`` has shape (height, width); ``u`` and ``v`` have shape ((height + 1) // 2, (width + 1) // 2).
    ``pts`` and ``duration`` count units of ``time_base`` seconds; ``duration`` is 0 when unknown.
    """

    y: Plane
    u: Plane
    v: Plane
    pts: int
    time_base: Fraction
    duration: int = 0
    color: ColorTags = field(default_factory=ColorTags)

    def __post_init__(self) -> None:
        height, width = self.y.shape
        chroma = ((height + 1) // 2, (width + 1) // 2)
        if self.u.shape != chroma or self.v.shape != chroma:
            raise ValueError(
                f"chroma planes of a {width}x{height} frame must be {chroma}, not {self.u.shape}"
            )

    @property
    def width(self) -> int:
        """Luma samples in a row."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """Luma rows."""
        return int(self.y.shape[0])

    @property
    def seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """(y, u, v)."""
        return self.y, self.u, self.v


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video stream before its first frame is decoded.

    ``rotation`` is the clockwise angle in degrees (0, 90, 180 or 270) by which a player turns the picture;
    frames are stored unturned. ``frames`` is an estimate (0 when unknown), ``duration`` is in seconds.
    ``field_order`` is FFmpeg's: 0 unknown, 1 progressive, 2 and 4 top field first, 3 and 5 bottom field
    first.
    """

    width: int
    height: int
    time_base: Fraction
    average_rate: Fraction | None = None
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int = 0
    color: ColorTags = field(default_factory=ColorTags)
    pixel_format: str = "yuv420p"
    codec: str = ""
    frames: int = 0
    duration: float | None = None
    interlaced: bool = False
    field_order: int = 0
