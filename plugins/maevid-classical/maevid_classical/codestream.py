"""Joins JPEG 2000 codestreams of single planes into one codestream of three components, 4:2:0.

Byte layout as in ITU-T T.800 (ISO/IEC 15444-1), Annex A. With one tile, one layer and one precinct a resolution, the
packets of a component are its resolutions in order, whatever the progression; in the progression
component-position-resolution-layer those of the second component just follow those of the first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SOC, SIZ, COD, COC, QCD, QCC, SOT, SOD, EOC = (
    0xFF4F,
    0xFF51,
    0xFF52,
    0xFF53,
    0xFF5C,
    0xFF5D,
    0xFF90,
    0xFF93,
    0xFFD9,
)
_CPRL = 4
_LONGEST_SIDE = 1 << 15
"""The default precinct is as large; a longer side would have several."""


@dataclass(frozen=True)
class Plane:
    """What a codestream of one component holds: the bodies of its main header's segments, and its packets."""

    size: bytes
    coding: bytes
    quantisation: bytes
    packets: bytes


def join(streams: tuple[bytes, bytes, bytes]) -> bytes:
    """One codestream of the three, the second and third of half size.

    Raises ValueError for streams that are not as OpenJPEG writes them by default.
    """
    luma, *chroma = (_read(stream) for stream in streams)
    size = bytearray(luma.size)
    size[34:] = struct.pack(">H", 3) + bytes((7, 1, 1, 7, 2, 2, 7, 2, 2))
    coding = bytearray(luma.coding)
    coding[1] = _CPRL
    header = (
        struct.pack(">H", SOC)
        + _segment(SIZ, size)
        + _segment(COD, coding)
        + _segment(QCD, luma.quantisation)
    )
    for number, plane in enumerate(chroma, 1):
        # Small pictures have fewer resolutions in chroma than in luma.
        if plane.coding[5:] != luma.coding[5:]:
            header += _segment(COC, bytes((number, 0)) + plane.coding[5:])
        if plane.quantisation != luma.quantisation:
            header += _segment(QCC, bytes((number,)) + plane.quantisation)
    packets = b"".join(plane.packets for plane in (luma, *chroma))
    tile = _segment(SOT, struct.pack(">HIBB", 0, 14 + len(packets), 0, 1)) + struct.pack(">H", SOD)
    return header + tile + packets + struct.pack(">H", EOC)


def _segment(marker: int, body: bytes | bytearray) -> bytes:
    return struct.pack(">HH", marker, 2 + len(body)) + body


def _read(data: bytes) -> Plane:
    """Walk through the segments of a codestream of one tile."""
    found: dict[int, bytes] = {}
    at = 2
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == SOD:
            break
        found[marker] = data[at + 4 : at + 2 + length]
        at += 2 + length
    try:
        plane = Plane(found[SIZ], found[COD], found[QCD], data[at + 2 : -2])
        width, height = struct.unpack_from(">II", plane.size, 2)
        tile = found[SOT]
    except (KeyError, struct.error) as error:
        raise ValueError("OpenJPEG gave a codestream without a main header") from error
    layers = struct.unpack_from(">H", plane.coding, 2)[0]
    whole = struct.unpack_from(">I", tile, 2)[0] == len(plane.packets) + 14
    if plane.coding[0] or layers != 1 or not whole or data[-2:] != struct.pack(">H", EOC):
        raise ValueError("OpenJPEG gave a codestream of several layers, precincts or tile parts")
    if max(width, height) > _LONGEST_SIDE:
        raise ValueError(f"a side is longer than {_LONGEST_SIDE}")
    return plane
