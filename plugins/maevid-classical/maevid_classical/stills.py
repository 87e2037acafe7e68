"""JPEG, WebP and AVIF: whole files of one picture, coded from the 4:2:0 planes as they are."""

from __future__ import annotations

import io
import math
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from PIL import Image

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid_classical.base import ClassicalCodec, av1_step
from maevid_classical.ffmpeg import decode_picture, encode_picture, most_samples
from maevid_classical.planes import Planes, cropped, from_picture, padded, to_picture
from maevid_classical.svt import tamed

_JPEG_TYPICAL_STEP = 16
"""A low-frequency step of the luma table in Annex K at quality 50."""
_JPEG_LOWEST = 5
"""Below it most entries of the tables stand at their end, 255: quality falls and hardly a bit is saved."""
_AVIF_HIGHEST_QP = 63
_AVIF_SMALLEST = 64


class Jpeg(ClassicalCodec):
    """libjpeg-turbo through Pillow: progressive, optimised Huffman tables; rate index 0 is quality 5, 95 is 100."""

    def __init__(self) -> None:
        settings = "libjpeg-turbo, quality 5 to 100, progressive, optimised tables"
        super().__init__("jpeg", settings, [_jpeg_step(quality) for quality in range(_JPEG_LOWEST, 101)])

    def encode_planes(self, planes: Planes, rate_index: int) -> tuple[bytes, ...]:
        """A JPEG file.

        Pillow takes chroma in full size only and averages each 2×2 samples. Four copies of a sample have that
        sample as their mean: the planes reach the coder as they are.
        """
        height, width = planes[0].shape
        full = [chroma.repeat(2, 0).repeat(2, 1)[:height, :width] for chroma in planes[1:]]
        file = io.BytesIO()
        Image.fromarray(np.dstack([planes[0], *full]), "YCbCr").save(
            file,
            "JPEG",
            quality=_JPEG_LOWEST + rate_index,
            subsampling="4:2:0",
            progressive=True,
            optimize=True,
        )
        return (file.getvalue(),)

    def decode_planes(self, parts: tuple[bytes, ...], height: int, width: int) -> Planes:
        """The planes before any chroma interpolation, from FFmpeg's decoder (Pillow cannot give them)."""
        (data,) = parts
        return decode_picture("mjpeg", data, height, width)


class WebP(ClassicalCodec):
    """libwebp through FFmpeg, method 6; the rate index is the quality 0..100."""

    def __init__(self) -> None:
        super().__init__("webp", "libwebp, method 6", [_webp_step(quality) for quality in range(101)])

    def encode_planes(self, planes: Planes, rate_index: int) -> tuple[bytes, ...]:
        """A WebP file."""
        return (encode_picture("libwebp", {"quality": str(rate_index), "compression_level": "6"}, planes),)

    def decode_planes(self, parts: tuple[bytes, ...], height: int, width: int) -> Planes:
        """The planes as VP8 holds them."""
        (data,) = parts
        return decode_picture("webp", data, height, width)


class Avif(ClassicalCodec):
    """An AVIF file around SVT-AV1's still picture mode, both of FFmpeg; rate index 0 is QP 63."""

    def __init__(self) -> None:
        steps = [av1_step(qp) for qp in range(_AVIF_HIGHEST_QP, 0, -1)]
        super().__init__("avif", "SVT-AV1 still picture in AVIF, preset 4, tune PSNR, constant QP", steps)

    def encode_planes(self, planes: Planes, rate_index: int) -> tuple[bytes, ...]:
        """An AVIF file. Small pictures are padded to 64×64, odd sides to even ones."""
        qp = _AVIF_HIGHEST_QP - rate_index
        return (tamed(lambda: _avif(padded(planes, 2, _AVIF_SMALLEST), qp)),)

    def decode_planes(self, parts: tuple[bytes, ...], height: int, width: int) -> Planes:
        """The picture, cut to its size."""
        (data,) = parts
        with cast(InputContainer, av.open(io.BytesIO(data))) as container:
            context = container.streams.video[0].codec_context
            context.thread_count = 1
            limit = most_samples(max(height, _AVIF_SMALLEST), max(width, _AVIF_SMALLEST))
            context.options = {"max_pixels": str(limit)}
            (picture,) = container.decode(video=0)
        return cropped(from_picture(picture), height, width)


def _avif(planes: Planes, qp: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=25)
        stream.height, stream.width = planes[0].shape
        stream.pix_fmt = "yuv420p"
        parameters = "lp=1:tune=1:aq-mode=0:avif=1"
        stream.codec_context.options = {"preset": "4", "qp": str(qp), "svtav1-params": parameters}
        container.mux(stream.encode(to_picture(planes)))
        container.mux(stream.encode(None))
    return file.getvalue()


def open_jpeg(options: CodecOptions) -> FrameCodec:
    """JPEG."""
    return Jpeg()


def open_webp(options: CodecOptions) -> FrameCodec:
    """WebP, lossy."""
    return WebP()


def open_avif(options: CodecOptions) -> FrameCodec:
    """AVIF."""
    return Avif()


def _jpeg_step(quality: int) -> float:
    """The libjpeg rule: tables are scaled by 50/quality below quality 50 and by (100 − quality)/50 from there."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    return _JPEG_TYPICAL_STEP * max(percent, 1) / 100


def _webp_step(quality: int) -> float:
    """VP8's step, approximately: libwebp bends the quality, VP8's 128 steps rise from 4 to 157 quarters."""
    linear = quality / 100
    bent = linear * 2 / 3 if linear < 0.75 else 2 * linear - 1
    return math.pow(39, 1 - math.cbrt(bent))
