"""Any pixel format of FFmpeg to 8-bit 4:2:0 planes: one rounding, no dither, no change of range or
matrix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from maevid.errors import InputError
from maevid.video.chroma import Samples, halve_columns, halve_rows
from maevid.video.frame import ColorTags, Plane
from maevid.video.rgb import BT709, matrix_for, planes_of

Planes = tuple[Plane, Plane, Plane]

UNSPECIFIED = 2
_RGB_AS = "yuv444p12le"
_ACCURATE = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.FULL_CHR_H_INT
)
_PLANAR = re.compile(r"(yuva?|yuvj)(420|422|440|444)p(9|10|12|14|16)?(le)?|gray(9|10|12|14|16)?(le)?")
_SEMI_PLANAR = re.compile(r"nv(12|21|16|24|42)|p[024]1[0246](le)?|nv20le")
# Byte offsets of Y (every 2), U and V (every 4). Read here: swscale loses the last column of odd widths.
_PACKED = {"yuyv422": (0, 1, 3), "yvyu422": (0, 3, 1), "uyvy422": (1, 0, 2)}


@dataclass(frozen=True, slots=True)
class Layout:
    """What matters of a pixel format here.

    ``via`` is the format that swscale turns it into first, None when numpy reads it as it is. ``depth``,
    ``half_width`` and ``half_height`` (is chroma subsampled?) describe the samples that numpy gets.
    ``alpha`` is false for palettes, which have it whether it is used or not.
    """

    name: str
    via: str | None
    depth: int
    half_width: bool
    half_height: bool
    gray: bool
    rgb: bool
    alpha: bool


@lru_cache(maxsize=64)
def layout_of(name: str) -> Layout:
    """The layout of an FFmpeg pixel format by name."""
    pixel_format = av.VideoFormat(name, 16, 16)
    components = pixel_format.components
    alpha = any(part.is_alpha for part in components) and not pixel_format.has_palette
    depth = max(8, min(16, components[0].bits))
    if pixel_format.is_rgb or pixel_format.has_palette or pixel_format.is_bayer or name.startswith("xyz"):
        if depth == 8 or pixel_format.has_palette:
            return Layout(name, _RGB_AS, 12, False, False, False, True, alpha)
        planar = f"gbrp{depth}le"
        return Layout(name, None if name == planar else planar, depth, False, False, False, True, alpha)
    if sum(not part.is_alpha for part in components) < 3:
        return _direct_or_via(name, "gray", depth, 16, 16, alpha)
    width, height = pixel_format.chroma_width(16), pixel_format.chroma_height(16)
    if width < 8 or height < 8:
        return Layout(name, "yuv420p", 8, True, True, False, False, alpha)
    shape = {(16, 16): "444", (8, 16): "422", (16, 8): "440", (8, 8): "420"}[width, height]
    return _direct_or_via(name, f"yuv{shape}p", depth, width, height, alpha)


def _direct_or_via(name: str, base: str, depth: int, width: int, height: int, alpha: bool) -> Layout:
    """A layout that numpy reads as it is where it can, else through the planar format of the same
    samples."""
    direct = _PLANAR.fullmatch(name) or _SEMI_PLANAR.fullmatch(name) or name in _PACKED
    via = None if direct else base + (f"{depth}le" if depth > 8 else "")
    return Layout(name, via, depth, width < 16, height < 16, base == "gray", False, alpha)


class PixelConverter:
    """Turns decoded pictures into the planes and colour tags of a :class:`~maevid.video.frame.Frame`.

    Chroma is filtered at full precision and rounded once together with the reduction to 8 bits: rows by the
    mean of two (of one field when the picture is interlaced), columns by (1, 2, 1)/4 around the left
    sample, where MPEG puts 4:2:0 chroma. Limited range reduces by 2^(n-8); full range by (2^n - 1)/255 as
    H.273 defines it. RGB becomes limited-range YUV, BT.709 from 720 rows on and BT.601 below, and is
    tagged so. 8-bit 4:2:0 comes out bit by bit.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, picture: av.VideoFrame, tags: ColorTags) -> tuple[Planes, ColorTags]:
        """Planes (each contiguous, owning its memory) and the tags that hold for them.

        ``tags`` are the picture's own. Raises InputError for a format that swscale cannot read.
        """
        layout = layout_of(picture.format.name)
        full = bool(tags.full_range)
        if layout.rgb:
            matrix = matrix_for(UNSPECIFIED, picture.height)
            tags = ColorTags(matrix, tags.primaries, tags.transfer, full_range=False)
            full = False
        elif layout.gray and tags.full_range is None:
            # FFmpeg reads gray without a tag as full range; so that our copy looks the same, it is told.
            tags = ColorTags(tags.matrix, tags.primaries, tags.transfer, full_range=True)
            full = True
        elif layout.name.startswith("yuvj"):
            tags = ColorTags(tags.matrix, tags.primaries, tags.transfer, full_range=True)
            full = True
        interlaced = picture.interlaced_frame
        if layout.via is not None:
            picture = self._reformat(picture, layout, tags)
        if picture.format.name.startswith("gbrp"):
            return _deep_rgb_to_420(picture, tags.matrix), tags
        height, width = picture.height, picture.width
        y, *chroma = _read(picture)
        luma = _reduce(y, layout.depth, 1, full=full, chroma=False)
        if not chroma:
            shape = ((height + 1) // 2, (width + 1) // 2)
            return (luma, np.full(shape, 128, np.uint8), np.full(shape, 128, np.uint8)), tags
        u, v = (_to_420(part, layout, full=full, interlaced=interlaced) for part in chroma)
        return (luma, u, v), tags

    def _reformat(self, picture: av.VideoFrame, layout: Layout, tags: ColorTags) -> av.VideoFrame:
        """The picture in the planar format that the layout names."""
        try:
            if not layout.rgb or layout.via != _RGB_AS:
                return self._reformatter.reformat(picture, format=layout.via, interpolation=_ACCURATE)
            return self._reformatter.reformat(
                picture,
                format=layout.via,
                dst_colorspace=Colorspace.ITU709 if tags.matrix == BT709 else Colorspace.ITU601,
                dst_color_range=ColorRange.MPEG,
                interpolation=_ACCURATE,
            )
        except (ValueError, av.error.FFmpegError) as error:
            raise InputError(
                f"pixel format {layout.name} cannot be read; convert it first (ffmpeg -pix_fmt yuv420p)"
            ) from error


def _read(picture: av.VideoFrame) -> list[Samples]:
    """Views of Y, or of Y, U and V samples, in the low bits of uint8 or uint16; alpha is left out."""
    name = picture.format.name
    if name in _PACKED:
        y, u, v = _PACKED[name]
        rows = _rows(picture, 0, np.dtype("u1"), 4 * ((picture.width + 1) // 2))
        return [rows[:, y::2][:, : picture.width], rows[:, u::4], rows[:, v::4]]
    components = picture.format.components
    depth = components[0].bits
    sample = np.dtype("u1") if depth <= 8 else np.dtype("<u2")
    if not _SEMI_PLANAR.fullmatch(name):
        planes = 1 if len(components) < 3 else 3
        return [_rows(picture, i, sample, picture.planes[i].width) for i in range(planes)]
    y_rows = _rows(picture, 0, sample, picture.width)
    pairs = _rows(picture, 1, sample, 2 * picture.planes[1].width)
    if name.startswith("p"):
        y_rows, pairs = y_rows >> (16 - depth), pairs >> (16 - depth)
    first, second = pairs[:, 0::2], pairs[:, 1::2]
    return [y_rows, second, first] if name in ("nv21", "nv42") else [y_rows, first, second]


def _rows(picture: av.VideoFrame, index: int, sample: np.dtype[Any], width: int) -> Samples:
    """A view of one plane, ``width`` samples of each row, top row first."""
    plane = picture.planes[index]
    stride = abs(plane.line_size)
    # PyAV's stubs do not say that planes are buffers.
    data = np.frombuffer(memoryview(cast(bytes, plane)), np.uint8).reshape(plane.height, stride)
    rows: Samples = data[:, : width * sample.itemsize].view(sample)
    return rows[::-1] if plane.line_size < 0 else rows


def _to_420(samples: Samples, layout: Layout, *, full: bool, interlaced: bool) -> Plane:
    """One chroma plane filtered down to half width and height, at 8 bits."""
    weight = 1
    if not (layout.half_width and layout.half_height):
        samples = samples.astype(np.uint16 if layout.depth <= 12 else np.uint32)
    if not layout.half_width:
        samples, weight = halve_columns(samples), 4 * weight
    if not layout.half_height:
        samples, weight = halve_rows(samples, interlaced=interlaced), 2 * weight
    return _reduce(samples, layout.depth, weight, full=full, chroma=True)


def _deep_rgb_to_420(picture: av.VideoFrame, matrix: int) -> Planes:
    """Limited-range YUV of planar RGB above 8 bits, where swscale comes out up to 0.9 levels too bright."""
    white = np.float32((1 << picture.format.components[0].bits) - 1)
    green, blue, red = (
        _rows(picture, i, np.dtype("<u2"), picture.width).astype(np.float32) / white for i in range(3)
    )
    return planes_of(np.stack([red, green, blue]), ColorTags(matrix, full_range=False))


def _reduce(samples: Samples, depth: int, weight: int, *, full: bool, chroma: bool) -> Plane:
    """Sums of ``weight`` samples of ``depth`` bits as 8-bit means, rounded to the nearest (halves up).

    Luma and limited range are proportional. In full range (H.273, equations 27 to 32) white is 2^depth - 1,
    while chroma zero stays at 2^(depth-1), hence the offset.
    """
    if depth == 8 and weight == 1:
        return np.array(samples, np.uint8, order="C")
    if not full or depth == 8:
        shift = depth - 8 + (weight.bit_length() - 1)
        wide: Samples = samples.astype(np.uint32 if depth > 12 else np.uint16)
        np.add(wide, 1 << (shift - 1), out=wide)
        np.right_shift(wide, shift, out=wide)
        return np.minimum(wide, 255).astype(np.uint8)
    white = (1 << depth) - 1
    offset = weight * (257 * white - (510 << (depth - 1))) if chroma else weight * white
    scaled = samples.astype(np.uint32)
    scaled *= 510
    scaled += offset
    scaled //= 2 * weight * white
    return np.minimum(scaled, 255).astype(np.uint8)
