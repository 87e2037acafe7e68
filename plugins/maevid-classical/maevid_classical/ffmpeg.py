"""One picture through an encoder or decoder of FFmpeg."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext

from maevid_classical.planes import Planes, from_picture, to_picture


def encode_picture(encoder: str, options: Mapping[str, str], planes: Planes) -> bytes:
    """All bytes that a new encoder gives for one picture, stream headers among them."""
    context = cast(VideoCodecContext, av.CodecContext.create(encoder, "w"))
    context.height, context.width = planes[0].shape
    context.pix_fmt = "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.gop_size, context.max_b_frames, context.thread_count = 1, 0, 1
    context.options = dict(options)
    packets = [*context.encode(to_picture(planes)), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def decode_picture(decoder: str, data: bytes, height: int, width: int) -> Planes:
    """The one picture in ``data``, of about that size or less.

    Raises ValueError or FFmpegError where there is none, are several, or one that is damaged or much larger.
    """
    context = cast(VideoCodecContext, av.CodecContext.create(decoder, "r"))
    context.thread_count = 1
    limit = most_samples(height, width)
    context.options = {"err_detect": "crccheck+bitstream+buffer+explode", "max_pixels": str(limit)}
    pictures = [*context.decode(av.Packet(data)), *context.decode(None)]
    if len(pictures) != 1:
        raise ValueError(f"it holds {len(pictures)} pictures")
    return from_picture(pictures[0])


def most_samples(height: int, width: int) -> int:
    """What FFmpeg may count as the size of such a picture: with whole coding blocks and aligned rows."""
    return (height + 128) * (width + 128)
