"""Video codecs, all-intra: one key frame with its headers a packet, constant quantiser, through FFmpeg."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid_classical.base import ClassicalCodec, av1_step, h26x_step
from maevid_classical.ffmpeg import decode_picture, encode_picture
from maevid_classical.planes import Planes, cropped, padded
from maevid_classical.svt import tamed

_START = b"\x00\x00\x01"
_H264_SEI = 6


@dataclass(frozen=True)
class Recipe:
    """How a video codec is run. ``options`` gives the encoder's for a QP; rate index 0 is ``highest_qp``.

    Sides are padded to ``multiple`` and at least ``smallest`` samples; ``finish`` goes over the bytes that
    ``encode`` gives.
    """

    name: str
    settings: str
    encoder: str
    decoder: str
    highest_qp: int
    step: Callable[[int], float]
    options: Callable[[int], Mapping[str, str]]
    multiple: int
    smallest: int
    finish: Callable[[bytes], bytes] = bytes
    encode: Callable[[str, Mapping[str, str], Planes], bytes] = encode_picture


class VideoCodec(ClassicalCodec):
    """A recipe as a frame codec. QP 0, which is lossless in most of them, is left out."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        super().__init__(
            recipe.name, recipe.settings, [recipe.step(qp) for qp in range(recipe.highest_qp, 0, -1)]
        )

    def encode_planes(self, planes: Planes, rate_index: int) -> tuple[bytes, ...]:
        """The key frame."""
        recipe = self.recipe
        options = recipe.options(recipe.highest_qp - rate_index)
        data = recipe.encode(recipe.encoder, options, padded(planes, recipe.multiple, recipe.smallest))
        return (recipe.finish(data),)

    def decode_planes(self, parts: tuple[bytes, ...], height: int, width: int) -> Planes:
        """The picture, cut to its size."""
        (data,) = parts
        smallest = self.recipe.smallest
        picture = decode_picture(self.recipe.decoder, data, max(height, smallest), max(width, smallest))
        return cropped(picture, height, width)


def without_sei(data: bytes) -> bytes:
    """An H.264 byte stream without supplemental information: x264 writes 700 bytes of its settings there."""
    return b"".join(b"\x00" + unit for unit in _units(data) if unit[len(_START)] & 31 != _H264_SEI)


def _units(data: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream, each with a start code of three bytes and no zero bytes behind it."""
    at = data.find(_START)
    while at >= 0:
        following = data.find(_START, at + len(_START))
        yield data[at : following if following >= 0 else len(data)].rstrip(b"\x00")
        at = following


def _x264(qp: int) -> dict[str, str]:
    parameters = "keyint=1:ipratio=1:rc-lookahead=0:sync-lookahead=0:threads=1"
    return {"preset": "veryslow", "tune": "psnr", "qp": str(qp), "x264-params": parameters}


def _x265(qp: int) -> dict[str, str]:
    parameters = (
        f"qp={qp}:keyint=1:ipratio=1:bframes=0:rc-lookahead=0:repeat-headers=1:info=0:log-level=error"
    )
    return {"preset": "slow", "tune": "psnr", "x265-params": f"{parameters}:pools=none:frame-threads=1:wpp=0"}


def _svtav1(qp: int) -> dict[str, str]:
    return {"preset": "4", "qp": str(qp), "svtav1-params": "lp=1:tune=1:aq-mode=0:pred-struct=1:keyint=1"}


def _vp9(qp: int) -> dict[str, str]:
    bounds = {"crf": str(qp), "qmin": str(qp), "qmax": str(qp), "b": "0"}
    return {**bounds, "deadline": "good", "cpu-used": "1", "lag-in-frames": "0", "auto-alt-ref": "0"}


X264 = Recipe(
    "x264-intra",
    "x264, preset veryslow, tune psnr, constant QP",
    *("libx264", "h264", 51, h26x_step, _x264, 2, 16),
    finish=without_sei,
)
X265 = Recipe(
    "x265-intra",
    "x265, preset slow, tune psnr, constant QP",
    *("libx265", "hevc", 51, h26x_step, _x265, 2, 64),
)
SVTAV1 = Recipe(
    "svtav1-intra",
    "SVT-AV1, preset 4, tune PSNR, constant QP",
    *("libsvtav1", "libdav1d", 63, av1_step, _svtav1, 2, 64),
    encode=lambda *arguments: tamed(lambda: encode_picture(*arguments)),
)
VP9 = Recipe(
    "vp9-intra",
    "libvpx VP9, good, cpu-used 1, constant QP",
    *("libvpx-vp9", "vp9", 63, av1_step, _vp9, 2, 16),
)


def open_x264(options: CodecOptions) -> FrameCodec:
    """All-intra H.264."""
    return VideoCodec(X264)


def open_x265(options: CodecOptions) -> FrameCodec:
    """All-intra HEVC."""
    return VideoCodec(X265)


def open_svtav1(options: CodecOptions) -> FrameCodec:
    """All-intra AV1."""
    return VideoCodec(SVTAV1)


def open_vp9(options: CodecOptions) -> FrameCodec:
    """All-intra VP9."""
    return VideoCodec(VP9)
