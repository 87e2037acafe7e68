"""JPEG 2000 by OpenJPEG through Pillow: irreversible wavelet, constant distortion, 4:2:0 in one codestream."""

from __future__ import annotations

import io
import math

from PIL import Image

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.video.frame import Plane
from maevid_classical.base import ClassicalCodec
from maevid_classical.codestream import join
from maevid_classical.ffmpeg import decode_picture
from maevid_classical.planes import Planes

_LOWEST_DECIBELS, _STEPS_A_DECIBEL, _STEPS = 20, 4, 121
_CHROMA_DECIBELS = 6
"""Chroma gets this much more PSNR than luma: about what H.264 and HEVC give it at equal steps."""


class Jpeg2000(ClassicalCodec):
    """OpenJPEG; rate index i asks for a luma PSNR of 20 + i/4 dB.

    Pillow cannot pass OpenJPEG planes of different sizes. JPEG 2000 codes components apart from each other anyway
    (4:2:0 has no colour transform), so each plane is coded on its own and the codestreams are joined to one.
    """

    def __init__(self) -> None:
        decibels = [_decibels(index) for index in range(_STEPS)]
        super().__init__("jpeg2000", "OpenJPEG, irreversible", [_step(value) for value in decibels])

    def encode_planes(self, planes: Planes, rate_index: int) -> tuple[bytes, ...]:
        """A raw codestream of three components."""
        luma = _decibels(rate_index)
        y, u, v = planes
        chroma = luma + _CHROMA_DECIBELS
        return (join((_encode(y, luma), _encode(u, chroma), _encode(v, chroma))),)

    def decode_planes(self, parts: tuple[bytes, ...], height: int, width: int) -> Planes:
        """The planes, from FFmpeg's decoder (Pillow makes RGB of components of different sizes)."""
        (data,) = parts
        return decode_picture("jpeg2000", data, height, width)


def open_jpeg2000(options: CodecOptions) -> FrameCodec:
    """JPEG 2000."""
    return Jpeg2000()


def _encode(plane: Plane, decibels: float) -> bytes:
    file = io.BytesIO()
    Image.fromarray(plane).save(
        file, "JPEG2000", no_jp2=True, irreversible=True, quality_mode="dB", quality_layers=[decibels]
    )
    return file.getvalue()


def _decibels(rate_index: int) -> float:
    return _LOWEST_DECIBELS + rate_index / _STEPS_A_DECIBEL


def _step(decibels: float) -> float:
    """The step whose error step²/12 has that PSNR."""
    return 255 * math.sqrt(12) / 10 ** (decibels / 20)
