"""I420 as it lies in GStreamer's buffers, and planes: rows there are padded to whole strides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from maevid.errors import InputError
from maevid.video.frame import Plane

Planes = tuple[Plane, Plane, Plane]


@dataclass(frozen=True)
class Layout:
    """Where the samples of a picture of ``width`` × ``height`` lie in a buffer of ``size`` bytes.

    ``strides`` are bytes from row to row, ``offsets`` where Y, U and V begin.
    """

    width: int
    height: int
    strides: tuple[int, int, int]
    offsets: tuple[int, int, int]
    size: int

    @classmethod
    def of(cls, width: int, height: int, strides: Sequence[int], offsets: Sequence[int], size: int) -> Self:
        """From GstVideoInfo's numbers, which have room for a fourth plane."""
        first, second, third = strides[:3]
        y, u, v = offsets[:3]
        return cls(width, height, (first, second, third), (y, u, v), size)

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Rows and columns of the planes."""
        chroma = (self.height + 1) // 2, (self.width + 1) // 2
        return (self.height, self.width), chroma, chroma

    def planes(self, data: bytes | memoryview) -> Planes:
        """The planes as arrays of their own. Raises InputError for a buffer that is too short."""
        if len(data) < self.size:
            raise InputError(f"a buffer of {len(data)} bytes cannot hold a picture of {self.size}")
        bytes_ = np.frombuffer(data, np.uint8)
        # Copies: the buffer's memory goes back to its pool.
        y, u, v = (view.copy() for view in self._views(bytes_))
        return y, u, v

    def buffer(self, planes: Planes) -> bytes:
        """The bytes of a buffer with these planes."""
        bytes_ = np.zeros(self.size, np.uint8)
        for view, plane in zip(self._views(bytes_), planes, strict=True):
            view[...] = plane
        return bytes_.tobytes()

    def _views(self, bytes_: Plane) -> list[Plane]:
        return [
            bytes_[offset : offset + stride * rows].reshape(rows, stride)[:, :columns]
            for (rows, columns), stride, offset in zip(self.shapes, self.strides, self.offsets, strict=True)
        ]
