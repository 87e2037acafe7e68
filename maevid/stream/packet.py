"""A coded picture as it lies in the file: a short self-contained header, then the payload of the codec.

Byte order of the header (all multi-byte integers little-endian, ``uvarint`` is LEB128 of at most 10 bytes,
``svarint`` is a zigzag-folded uvarint)::

    2  magic "MV"
    1  version (1)
    1  flags: bit 0 key (always 1), bits 1-7 zero
    4  model: first four bytes of the SHA-256 that identifies codec and weights
    1  rate index, 0..255
    uvarint width, uvarint height        luma samples, 1..65535 each
    svarint pts, uvarint duration        in units of the track's TIME_BASE tag
    uvarint part count (1..8), then a uvarint length for each part
    4  latent check: CRC-32 of the decoded latents as little-endian int32 (0: codec gives none)
    4  CRC-32 of everything before it and of the payload
    …  payload: the parts, one after the other
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Packet:
    """One coded picture. See the module for the byte layout and the ranges of the fields."""

    model: bytes
    rate_index: int
    width: int
    height: int
    pts: int
    duration: int
    parts: tuple[bytes, ...]
    latent_check: int = 0
    version: int = 1
    flags: int = 1
