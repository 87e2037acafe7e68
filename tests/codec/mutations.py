"""Damage for packets and files: what a fuzzer does to bytes, and its packets with their CRC forged to fit again."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from maevid.errors import MaevidError
from maevid.stream.packet import read_header

INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xFF)


def mutate(data: bytes, random: np.random.Generator) -> bytes:
    """One to four random changes: bits, bytes, stretches removed, repeated, filled, swapped or cut off."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        if not out:
            break
        at, end = sorted(int(x) for x in random.integers(0, len(out) + 1, 2))
        at = min(at, len(out) - 1)
        end = min(end, at + 64)
        match int(random.integers(8)):
            case 0 | 1:
                out[at] ^= 1 << int(random.integers(8))
            case 2:
                out[at] = int(random.choice(INTERESTING))
            case 3:
                out[at:end] = random.bytes(end - at)
            case 4:
                del out[at:end]
            case 5:
                out[at:at] = out[at:end]
            case 6:
                out[at:end] = bytes([int(random.choice(INTERESTING))]) * (end - at)
            case _:
                if random.random() < 0.2:
                    del out[at:]
                else:
                    out[at:at] = random.bytes(int(random.integers(1, 6)))
    return bytes(out)


def reforged(data: bytes) -> bytes:
    """The packet with its part length and CRC set to fit its payload, where it still has one part."""
    try:
        header = read_header(data, max_pixels=2**32)
    except MaevidError:
        return data
    payload = data[header.header_bytes :]
    if len(header.part_bytes) == 1:
        length = _uvarint(header.part_bytes[0])
        end = header.header_bytes - 8
        if data[end - len(length) : end] == length:
            head = data[: end - len(length)] + _uvarint(len(payload)) + data[end : end + 4]
            return head + crc32(payload, crc32(head)).to_bytes(4, "little") + payload
    head = data[: header.header_bytes - 4]
    return head + crc32(payload, crc32(head)).to_bytes(4, "little") + payload


def _uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
