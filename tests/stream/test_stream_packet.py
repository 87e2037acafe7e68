"""The packet: what is written reads back, and whatever else is read is refused in one clear way."""

from __future__ import annotations

import dataclasses
import random
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamfiles import unhurried

from maevid.errors import DamagedError
from maevid.stream.packet import MAX_HEADER, Packet, header_size, read_header

packets = st.builds(
    Packet,
    model=st.binary(min_size=4, max_size=4),
    rate_index=st.integers(0, 255),
    width=st.integers(1, 4096),
    height=st.integers(1, 16384),
    pts=st.integers(-(2**63), 2**63 - 1),
    duration=st.integers(0, 2**63 - 1),
    parts=st.lists(st.binary(max_size=300), min_size=1, max_size=8).map(tuple),
    latent_check=st.integers(0, 2**32 - 1),
)

SMALL = Packet(b"\x01\x02\x03\x04", 99, 320, 240, -5, 40, (b"hyper", b"latent" * 3), latent_check=0xDEADBEEF)


def sealed(data: bytes, header_bytes: int) -> bytes:
    """``data`` with a right CRC written over the last four bytes of its header."""
    crc = zlib.crc32(data[header_bytes:], zlib.crc32(data[: header_bytes - 4]))
    return data[: header_bytes - 4] + crc.to_bytes(4, "little") + data[header_bytes:]


@unhurried
@given(packets)
def test_packet_survives_the_round_trip(packet: Packet) -> None:
    data = packet.to_bytes()
    assert Packet.from_bytes(data) == packet
    header = read_header(data[:MAX_HEADER])
    assert header.packet_bytes == len(data)
    fields = packet.width, packet.height, packet.pts, packet.duration, [len(part) for part in packet.parts]
    assert header_size(*fields) == header.header_bytes
    assert (header.pts, header.duration) == (packet.pts, packet.duration)
    assert (header.rate_index, header.model) == (packet.rate_index, packet.model)


def test_layout_is_the_documented_one() -> None:
    packet = Packet(b"abcd", 7, 300, 2, -1, 128, (b"xy", b""), latent_check=0x01020304)
    head = b"MV\x01\x01abcd\x07\xac\x02\x02\x01\x80\x01\x02\x02\x00\x04\x03\x02\x01"
    crc = zlib.crc32(head + b"xy").to_bytes(4, "little")
    assert packet.to_bytes() == head + crc + b"xy"


def test_every_single_bit_flip_is_noticed() -> None:
    data = SMALL.to_bytes()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedError):
            Packet.from_bytes(bytes(flipped))


def test_every_cut_and_every_extra_byte_is_noticed() -> None:
    data = SMALL.to_bytes()
    for end in range(len(data)):
        with pytest.raises(DamagedError):
            Packet.from_bytes(data[:end])
    with pytest.raises(DamagedError, match=f"of {len(data) + 1} bytes says it has {len(data)}"):
        Packet.from_bytes(data + b"\0")


@settings(unhurried, max_examples=500)
@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_are_refused(noise: bytes, with_magic: bool) -> None:
    data = b"MV\x01\x01" + noise if with_magic else noise
    try:
        packet = Packet.from_bytes(data)
    except DamagedError:
        return
    assert packet.to_bytes() == data


def test_mutations_with_a_right_crc_are_refused_or_mean_one_packet() -> None:
    """An attacker can compute a CRC: every field must hold on its own."""
    rng = random.Random(1)
    original = SMALL.to_bytes()
    header_bytes = read_header(original).header_bytes
    accepted = 0
    for _ in range(20_000):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(header_bytes - 4) if rng.random() < 0.8 else rng.randrange(len(data))
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        try:
            forged = sealed(bytes(data), read_header(bytes(data)).header_bytes)
            packet = Packet.from_bytes(forged)
        except DamagedError:
            continue
        accepted += 1
        assert packet.to_bytes() == forged
    assert accepted > 1000


@pytest.mark.parametrize(
    ("width", "height"), [(b"\xff\xff\x03", b"\xff\xff\x03"), (b"\x00", b"\x01"), (b"\x80\x80\x04", b"\x01")]
)
def test_forged_size_is_refused_before_memory_is_taken(width: bytes, height: bytes) -> None:
    head = b"MV\x01\x01abcd\x07" + width + height + b"\x00\x00\x01\x00" + bytes(8)
    data = sealed(head, len(head))
    tracemalloc.start()
    with pytest.raises(DamagedError, match=r"\d+x\d+"):
        Packet.from_bytes(data)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_pixel_limit_is_the_callers() -> None:
    data = SMALL.to_bytes()
    assert Packet.from_bytes(data, max_pixels=320 * 240) == SMALL
    with pytest.raises(DamagedError, match="320x240 picture, over the limit of 76799 pixels"):
        Packet.from_bytes(data, max_pixels=320 * 240 - 1)


@pytest.mark.parametrize(
    ("number", "fine"),
    [
        (b"\x00", True),
        (b"\x7f", True),
        (b"\x80\x01", True),
        (b"\x80\x00", False),
        (b"\x81\x80\x00", False),
        (b"\xff" * 9 + b"\x01", True),
        (b"\xff" * 9 + b"\x02", False),
        (b"\xff" * 10 + b"\x01", False),
        (b"\x80" * 200, False),
    ],
)
def test_numbers_are_bounded_and_in_their_shortest_form(number: bytes, fine: bool) -> None:
    head = b"MV\x01\x01abcd\x07\x10\x10" + number + b"\x00\x01\x00" + bytes(8)
    data = sealed(head, len(head))
    if fine:
        assert Packet.from_bytes(data).to_bytes() == data
    else:
        with pytest.raises(DamagedError, match="shortest form"):
            Packet.from_bytes(data)


@pytest.mark.parametrize(
    ("offset", "value", "says"), [(0, 0, "MV"), (2, 2, "version 2"), (3, 3, "flags"), (3, 0, "flags")]
)
def test_each_fault_is_named(offset: int, value: int, says: str) -> None:
    data = bytearray(SMALL.to_bytes())
    data[offset] = value
    with pytest.raises(DamagedError, match=says):
        Packet.from_bytes(bytes(data))


@pytest.mark.parametrize("size", [(65535, 1), (1, 65535), (1, 1)])
def test_the_largest_and_least_sides_are_possible(size: tuple[int, int]) -> None:
    packet = dataclasses.replace(SMALL, width=size[0], height=size[1])
    assert Packet.from_bytes(packet.to_bytes()) == packet


@pytest.mark.parametrize(("duration", "fine"), [(2**63 - 1, True), (2**63, False)])
def test_a_duration_beyond_63_bits_is_impossible(duration: int, fine: bool) -> None:
    varint = bytes(duration >> shift & 127 | 128 for shift in range(0, 63, 7)) + bytes([duration >> 63])
    head = b"MV\x01\x01abcd\x07\x10\x10\x00" + (varint if duration >> 63 else varint[:8] + b"\x7f")
    head += b"\x01\x00" + bytes(8)
    data = sealed(head, len(head))
    if fine:
        assert Packet.from_bytes(data).duration == duration
    else:
        with pytest.raises(DamagedError, match=f"impossible duration, {duration}"):
            Packet.from_bytes(data)


@pytest.mark.parametrize("count", [0, 9, 255])
def test_part_count_is_bounded(count: int) -> None:
    varint = bytes([count]) if count < 128 else bytes([count & 127 | 128, 1])
    head = b"MV\x01\x01abcd\x07\x10\x10\x00\x00" + varint + bytes(count) + bytes(8)
    with pytest.raises(DamagedError, match="parts"):
        Packet.from_bytes(sealed(head, len(head)))


@pytest.mark.parametrize(
    "change",
    [
        {"model": b"abc"},
        {"rate_index": 256},
        {"width": 0},
        {"height": 65536},
        {"pts": 2**63},
        {"duration": -1},
        {"parts": ()},
        {"parts": (b"",) * 9},
        {"latent_check": 2**32},
        {"version": 2},
        {"flags": 3},
    ],
)
def test_a_packet_that_cannot_be_written_cannot_be_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="packet"):
        dataclasses.replace(SMALL, **change)
