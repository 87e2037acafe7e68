"""A still picture as a file of its own: a short head that tells format, colours and codec, then one packet.

Layout::

    8   signature 89 'M' 'A' 'E' 'V' 0D 0A 1A
    1   version (1)
    3   matrix, primaries, transfer: code points of ITU-T H.273 (2: unspecified)
    1   range: 0 limited, 1 full, 2 unspecified
    1   length of the codec's name, 1..255
    …   the codec's name, ASCII
    4   CRC-32 of everything before it, little-endian
    …   the packet (see maevid.stream.packet), up to the end; its pts and duration are 0
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

from maevid.access.codecs import Device, shared_codec
from maevid.access.output import Kind, Output, Picture, Pixels
from maevid.access.pictures import PictureConverter
from maevid.codec.registry import DEFAULT_CODEC
from maevid.errors import DamagedError, InputError
from maevid.rate import RateRequest, RateScale, make_controller
from maevid.stream.packet import MAX_PIXELS, Packet
from maevid.video.frame import ColorTags, Frame

SIGNATURE = b"\x89MAEV\r\n\x1a"
SUFFIX = ".maev"
VERSION = 1
_RANGES = (False, True, None)
_FIXED = len(SIGNATURE) + 6


@dataclass(frozen=True)
class Still:
    """A coded still picture: its packet, what its samples mean, and the name of its codec."""

    packet: Packet
    color: ColorTags
    codec: str = DEFAULT_CODEC

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in samples."""
        return self.packet.width, self.packet.height

    @classmethod
    def encode(
        cls,
        picture: Any,
        *,
        quality: float | None = None,
        color: ColorTags | None = None,
        codec: str = DEFAULT_CODEC,
        device: str = "auto",
        precision: str = "auto",
        weights: Path | None = None,
    ) -> Still:
        """Code a picture (as :meth:`maevid.Writer.write` takes it) at a quality of 0 to 100, 50 by default.

        Raises UsageError for what is no picture and for options that make no sense, ModelError for unusable weights.
        """
        planes, tags, _ = PictureConverter(color or ColorTags())(picture)
        place = Device(device)
        coder = shared_codec(codec, place, precision, weights)
        scale = RateScale.of(coder.rate_indices, coder.lam)
        index = make_controller(RateRequest(quality=quality), scale).next_index(0)
        frame = Frame(*planes, pts=0, time_base=Fraction(1), color=tags)
        with place.selected():
            return cls(coder.encode(frame, index).packet, tags, coder.name)

    def decode(
        self,
        *,
        output: Kind = "numpy",
        pixels: Pixels = "rgb",
        device: str = "cpu",
        precision: str = "auto",
        weights: Path | None = None,
    ) -> Picture:
        """The picture, as :func:`maevid.open` gives one; raises what that raises."""
        place = Device(device)
        made = Output(output, pixels, place)
        codec = shared_codec(self.codec, place, precision, weights)
        with place.selected():
            return made.one(codec.decode(self.packet), self.color)

    def to_bytes(self) -> bytes:
        """The file."""
        color, name = self.color, self.codec.encode("ascii")
        head = SIGNATURE + bytes(
            (
                VERSION,
                color.matrix,
                color.primaries,
                color.transfer,
                _RANGES.index(color.full_range),
                len(name),
            )
        )
        head += name
        return head + crc32(head).to_bytes(4, "little") + self.packet.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Still:
        """Read a file, all of it checked.

        Raises InputError for what is no such file or is of a newer version, and DamagedError for one that is not
        what was written, or of more than ``max_pixels`` luma samples.
        """
        if not data.startswith(SIGNATURE):
            raise InputError("this is not a maevid picture: its signature is another")
        if len(data) > len(SIGNATURE) and data[len(SIGNATURE)] != VERSION:
            raise InputError(
                f"the picture has format version {data[len(SIGNATURE)]}, this maevid reads version {VERSION}"
            )
        end = _FIXED + data[_FIXED - 1] if len(data) >= _FIXED else len(data)
        if len(data) < end + 4 or crc32(data[:end]) != int.from_bytes(data[end : end + 4], "little"):
            raise DamagedError("the head of the picture is damaged or cut")
        matrix, primaries, transfer, light = data[len(SIGNATURE) + 1 : _FIXED - 1]
        name = data[_FIXED:end]
        if light >= len(_RANGES) or not name or not name.isascii():
            raise DamagedError("the head of the picture has impossible values")
        color = ColorTags(matrix, primaries, transfer, _RANGES[light])
        return cls(Packet.from_bytes(data[end + 4 :], max_pixels=max_pixels), color, name.decode("ascii"))
