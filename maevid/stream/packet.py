"""A coded picture as it lies in the file: a short self-contained header, then the payload of the codec.

Byte order of the header (all multi-byte integers little-endian, ``uvarint`` is LEB128 of at most 10 bytes,
``svarint`` is a zigzag-folded uvarint; both are below 2**64 and as short as they can be)::

    2  magic "MV"
    1  version (1)
    1  flags: bit 0 key (always 1), bits 1-7 zero
    4  model: first four bytes of the SHA-256 that identifies codec and weights
    1  rate index, 0..255
    uvarint width, uvarint height        luma samples, 1..65535 each
    svarint pts, uvarint duration        in units of the track's TIME_BASE tag; duration below 2**63
    uvarint part count (1..8), then a uvarint length for each part
    4  latent check: CRC-32 of the decoded latents as little-endian int32 (0: codec gives none)
    4  CRC-32 of everything before it and of the payload
    …  payload: the parts, one after the other

Nothing may follow the last part. One sequence of bytes means one packet and the reverse: a reader that
accepts bytes writes the same bytes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from maevid.errors import DamagedError

MAGIC = b"MV"
VERSION = 1
KEY = 1
MAX_PIXELS = 2**26
"""Luma samples that a reader accepts by default: 67 million, twice those of 8K. At 110 bytes a sample, decoding
so large a picture takes 7 GB."""
MAX_SIDE = 65535
MAX_PARTS = 8
_FIXED_BYTES = 9 + 8
"""Of a header without its variable-length numbers."""
MAX_HEADER = _FIXED_BYTES + 2 * 3 + 2 * 10 + 1 + MAX_PARTS * 10
"""Bytes of the longest header that :func:`read_header` accepts."""


class PacketHeader(NamedTuple):
    """The fields of a packet before its payload, as read and not yet checked against the CRC.

    ``header_bytes`` is the length of the header, ``checked_bytes`` how many of them the CRC covers.
    """

    model: bytes
    rate_index: int
    width: int
    height: int
    pts: int
    duration: int
    part_bytes: tuple[int, ...]
    latent_check: int
    crc: int
    header_bytes: int

    @property
    def checked_bytes(self) -> int:
        """Bytes of the header that the CRC covers: all but the CRC itself."""
        return self.header_bytes - 4

    @property
    def packet_bytes(self) -> int:
        """Bytes of the whole packet."""
        return self.header_bytes + sum(self.part_bytes)


@dataclass(frozen=True, slots=True)
class Packet:
    """One coded picture. See the module for the byte layout and the ranges of the fields.

    Raises ValueError when a field is outside its range: a packet that exists can be written.
    """

    model: bytes
    rate_index: int
    width: int
    height: int
    pts: int
    duration: int
    parts: tuple[bytes, ...]
    latent_check: int = 0
    version: int = VERSION
    flags: int = KEY

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("model length", len(self.model), 4, 4),
            ("rate index", self.rate_index, 0, 255),
            ("width", self.width, 1, MAX_SIDE),
            ("height", self.height, 1, MAX_SIDE),
            ("pts", self.pts, -(2**63), 2**63 - 1),
            ("duration", self.duration, 0, 2**63 - 1),
            ("part count", len(self.parts), 1, MAX_PARTS),
            ("latent check", self.latent_check, 0, 2**32 - 1),
            ("version", self.version, VERSION, VERSION),
            ("flags", self.flags, KEY, KEY),
        ):
            if not low <= value <= high:
                raise ValueError(f"packet {name} {value} is outside {low}..{high}")

    def to_bytes(self) -> bytes:
        """The packet as it is written."""
        head = bytearray(MAGIC)
        head += bytes((self.version, self.flags))
        head += self.model
        head.append(self.rate_index)
        sizes = len(self.parts), *map(len, self.parts)
        for value in (self.width, self.height, _folded(self.pts), self.duration, *sizes):
            _append_uvarint(head, value)
        head += self.latent_check.to_bytes(4, "little")
        crc = crc32(head)
        for part in self.parts:
            crc = crc32(part, crc)
        head += crc.to_bytes(4, "little")
        return b"".join((head, *self.parts))

    @classmethod
    def from_bytes(cls, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Packet:
        """Read a whole packet, every field and the CRC checked.

        Raises DamagedError for anything that :meth:`to_bytes` cannot have written, and for a picture of
        more than ``max_pixels`` luma samples. Takes no memory beyond a copy of the payload.
        """
        header = read_header(data, max_pixels=max_pixels)
        if header.packet_bytes != len(data):
            raise DamagedError(f"packet of {len(data)} bytes says it has {header.packet_bytes}")
        crc = crc32(data[: header.checked_bytes])
        crc = crc32(memoryview(data)[header.header_bytes :], crc)
        if crc != header.crc:
            raise DamagedError(f"packet check value is {crc:08x} instead of {header.crc:08x}")
        parts = []
        start = header.header_bytes
        for length in header.part_bytes:
            parts.append(bytes(data[start : start + length]))
            start += length
        return cls(
            model=header.model,
            rate_index=header.rate_index,
            width=header.width,
            height=header.height,
            pts=header.pts,
            duration=header.duration,
            parts=tuple(parts),
            latent_check=header.latent_check,
        )


def header_size(width: int, height: int, pts: int, duration: int, part_bytes: Sequence[int]) -> int:
    """Bytes of the header of a packet with these fields and parts of so many bytes."""
    numbers = (width, height, _folded(pts), duration, len(part_bytes), *part_bytes)
    return _FIXED_BYTES + sum(max(1, -(-number.bit_length() // 7)) for number in numbers)


def read_header(data: bytes, *, max_pixels: int = MAX_PIXELS) -> PacketHeader:
    """Read the header from the start of ``data``, which may end anywhere after it (MAX_HEADER bytes suffice).

    The CRC is not checked, since it covers the payload too. Raises DamagedError for a header that
    :meth:`Packet.to_bytes` cannot have written or a picture of more than ``max_pixels`` luma samples.
    """
    if len(data) < 9:
        raise _cut_within_header(data)
    if data[:2] != MAGIC:
        raise DamagedError("packet does not start with 'MV': it is damaged or no maevid packet")
    if data[2] != VERSION:
        raise DamagedError(f"packet has format version {data[2]}, this maevid reads version {VERSION}")
    if data[3] != KEY:
        raise DamagedError(f"packet has flags {data[3]:#04x} that this maevid does not know")
    try:
        width, at = _read_uvarint(data, 9)
        height, at = _read_uvarint(data, at)
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise DamagedError(f"packet has an impossible picture size, {width}x{height}")
        if width * height > max_pixels:
            raise DamagedError(
                f"packet holds a {width}x{height} picture, over the limit of {max_pixels} pixels (--max-pixels)"
            )
        folded, at = _read_uvarint(data, at)
        duration, at = _read_uvarint(data, at)
        if duration >= 2**63:
            raise DamagedError(f"packet has an impossible duration, {duration}")
        count, at = _read_uvarint(data, at)
        if not 1 <= count <= MAX_PARTS:
            raise DamagedError(f"packet has an impossible number of parts, {count}")
        lengths = []
        for _ in range(count):
            length, at = _read_uvarint(data, at)
            lengths.append(length)
    except IndexError:
        raise _cut_within_header(data) from None
    if len(data) < at + 8:
        raise _cut_within_header(data)
    return PacketHeader(
        model=bytes(data[4:8]),
        rate_index=data[8],
        width=width,
        height=height,
        pts=folded >> 1 if not folded & 1 else -(folded >> 1) - 1,
        duration=duration,
        part_bytes=tuple(lengths),
        latent_check=int.from_bytes(data[at : at + 4], "little"),
        crc=int.from_bytes(data[at + 4 : at + 8], "little"),
        header_bytes=at + 8,
    )


def _cut_within_header(data: bytes) -> DamagedError:
    return DamagedError(f"packet ends after {len(data)} bytes, within its header")


def _folded(number: int) -> int:
    """Zigzag: 0, -1, 1, -2, … become 0, 1, 2, 3, …"""
    return number << 1 if number >= 0 else (-number << 1) - 1


def _append_uvarint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read_uvarint(data: bytes, at: int) -> tuple[int, int]:
    """The value that starts at ``at`` and the position after it; its shortest form only.

    Raises IndexError where ``data`` ends.
    """
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    second = data[at + 1]
    if 0 < second < 0x80:
        return byte & 0x7F | second << 7, at + 2
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 or value >= 2**64:
                break
            return value, at
    raise DamagedError("packet header holds a number that is not in its shortest form or too large")
