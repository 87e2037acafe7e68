"""Damaged files: cut at every byte, bits flipped, regions overwritten, made to waste time. Nothing but clean
errors and right packets comes out, and a damaged packet costs no frame but its own."""

from __future__ import annotations

import os
import random
import time
import tracemalloc
from pathlib import Path

import pytest
from streamfiles import MODEL, copy_with_audio, make_packets, video_info, write_file

from maevid.errors import DamagedError, InputError, MaevidError
from maevid.stream import ebml
from maevid.stream import matroska as mkv
from maevid.stream.packet import Packet
from maevid.stream.reader import LARGEST_PACKET, StreamReader


def read_all(path: Path) -> list[Packet | None]:
    """What is left of a file, None for each damaged frame; MaevidError when it does not open."""
    with StreamReader(path) as reader:
        found = []
        for coded in reader:
            found.append(coded.packet)
            assert (coded.packet is None) == (coded.error is not None)
            assert coded.error is None or str(coded.error).startswith(f"frame {coded.index}")
        assert reader.info.frames == len(found)
        assert reader.described is not None
    return found


def in_order(found: list[Packet | None], packets: list[Packet]) -> bool:
    """Whether all undamaged packets are originals, each once, in their order."""
    rest = iter(packets)
    return all(packet in rest for packet in found if packet is not None)


def test_cut_at_every_byte_opens_up_to_the_last_whole_packet(tmp_path: Path, source_clip: Path) -> None:
    packets = make_packets(6, size=60)
    with_sound = copy_with_audio(source_clip, tmp_path / "sound.mkv", make_packets(2, size=60))
    for path, expected in (
        (write_file(tmp_path / "a.mkv", packets), packets),
        (with_sound, make_packets(2, size=60)),
    ):
        size = path.stat().st_size
        with StreamReader(path) as reader:
            ends = [coded.offset + coded.size for coded in reader]
            last_header = ends[-1]
        for cut in range(min(size, last_header + 300) - 1, -1, -1):
            os.truncate(path, cut)
            whole = sum(end <= cut for end in ends)
            if whole:
                assert read_all(path) == expected[:whole], cut
            else:
                with pytest.raises((DamagedError, InputError), match=r"is cut|it is empty|neither maevid"):
                    read_all(path)


def test_cut_files_say_so(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mkv", make_packets(6))
    with StreamReader(path) as reader:
        first, middle = reader.coded(0).offset + 5, reader.coded(3).offset + 20
    os.truncate(path, middle)
    with StreamReader(path) as reader:
        assert (len(reader), reader.truncated) == (3, True)
    os.truncate(path, first)
    with pytest.raises(DamagedError, match="is cut before its first whole packet"):
        StreamReader(path)


@pytest.mark.parametrize("size", [60, 6000])
def test_every_flipped_byte_costs_one_frame_at_most(tmp_path: Path, size: int) -> None:
    """Small packets share a cluster, large ones have one each: the walk must find its way in both."""
    packets = make_packets(6, size=size)
    path = write_file(tmp_path / "a.mkv", packets)
    data = path.read_bytes()
    with StreamReader(path) as reader:
        blocks = [(coded.offset, coded.offset + coded.size) for coded in reader]
    payload = {at for start, end in blocks for at in range(start + 40, end - 1)}
    first = blocks[0][0] - 20
    for at in range(len(data)):
        if at in payload and at % 1999:
            continue
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        try:
            found = read_all(path)
        except MaevidError:
            assert at < first, at
            continue
        good = [packet for packet in found if packet is not None]
        assert in_order(found, packets), at
        hit = sum(start <= at < end for start, end in blocks)
        assert len(good) >= 6 - (1 if at >= first else 0), at
        if hit:
            assert len(found) == 6, at


def test_flipped_packet_is_told_and_keeps_its_place(tmp_path: Path) -> None:
    packets = make_packets(20)
    path = write_file(tmp_path / "a.mkv", packets)
    with StreamReader(path) as reader:
        offset = reader.coded(7).offset
    data = bytearray(path.read_bytes())
    # Magic, height, pts (whose header reads well, but is not true), payload.
    for at in (offset, offset + 12, offset + 14, offset + 150):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with StreamReader(path) as reader:
            assert len(reader) == 20
            assert [coded.index for coded in reader if coded.error] == [7]
            assert [coded.packet for coded in reader if not coded.error] == packets[:7] + packets[8:]
            assert [coded.pts for coded in reader] == [packet.pts for packet in packets]
            with pytest.raises(DamagedError, match="frame 7: packet"):
                reader.packet(7)


def test_overwritten_region_keeps_the_count_and_the_times(tmp_path: Path) -> None:
    packets = make_packets(50)
    path = write_file(tmp_path / "a.mkv", packets)
    with StreamReader(path) as reader:
        start, end = reader.coded(10).offset - 6, reader.coded(13).offset + 50
    data = path.read_bytes()
    for filler in (b"\0", b"\xff", b"\xa3", b"\xec\x81\x00", b"MV\x01\x01"):
        noise = (filler * (end - start))[: end - start]
        path.write_bytes(data[:start] + noise + data[end:])
        with StreamReader(path) as reader:
            assert [coded.pts for coded in reader] == [packet.pts for packet in packets]
            assert [coded.index for coded in reader if coded.error] == [10, 11, 12, 13]
            assert [coded.packet for coded in reader if coded.packet] == packets[:10] + packets[14:]


def test_random_mutations_of_a_whole_file_are_harmless(tmp_path: Path, source_clip: Path) -> None:
    packets = make_packets(12, size=300)
    path = copy_with_audio(source_clip, tmp_path / "a.mkv", packets)
    data = path.read_bytes()
    rng = random.Random(4)
    opened = clean = longest = 0.0
    messages: set[str] = set()
    for number in range(2000):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            at = rng.randrange(len(damaged)) if rng.random() < 0.6 else rng.randrange(1500)
            length = min(rng.choice((1, 1, 1, 4, 60)), len(damaged) - at)
            kind = rng.randrange(4)
            if kind == 0:
                damaged[at : at + length] = rng.randbytes(length)
            elif kind == 1:
                damaged[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                del damaged[at : at + length]
            else:
                damaged[at:at] = rng.choice((rng.randbytes(length), data[at : at + length], b"\xff" * length))
        path.write_bytes(damaged)
        started = time.process_time()
        try:
            found = read_all(path)
        except MaevidError as error:
            messages.add(str(error))
        else:
            opened += 1
            clean += found == packets
            assert in_order(found, packets), number
            assert len(found) <= 12 + 40
        longest = max(longest, time.process_time() - started)
    assert opened > 1200
    assert clean > 300
    assert longest < 2
    assert not any("\n" in message for message in messages)


def test_damaged_cluster_time_does_not_move_the_picture(tmp_path: Path) -> None:
    packets = make_packets(10, size=6000)
    path = write_file(tmp_path / "a.mkv", packets)
    with StreamReader(path) as reader:
        offset = reader.coded(5).offset
    data = bytearray(path.read_bytes())
    at = data.rindex(b"\x1f\x43\xb6\x75", 0, offset)
    cluster = ebml.read_element(bytes(data), at)
    assert cluster is not None
    time_element = ebml.read_element(bytes(data), cluster.body)
    assert time_element is not None
    assert time_element.id == mkv.TIMESTAMP
    data[time_element.body] ^= 0x40
    path.write_bytes(data)
    with StreamReader(path) as reader:
        assert [coded.unwrap() for coded in reader] == packets
        assert [coded.pts for coded in reader] == [packet.pts for packet in packets]
        assert reader.runs == 1


def test_forged_sizes_take_no_memory(tmp_path: Path) -> None:
    """A block that says it is huge, in a sparse file that really is."""
    packets = make_packets(3)
    path = write_file(tmp_path / "a.mkv", packets)
    huge = LARGEST_PACKET + 1000
    with path.open("ab") as file:
        file.write(b"\xa3" + (huge | 1 << 56).to_bytes(8) + b"\x81\x00\x00\x80" + packets[0].to_bytes())
        file.truncate(path.stat().st_size + huge + 500)
    tracemalloc.start()
    with StreamReader(path) as reader:
        assert [coded.packet for coded in reader][:3] == packets
        assert len(reader) == 4
        with pytest.raises(DamagedError, match="over the limit"):
            reader.packet(3)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "pattern",
    [
        b"\xec\x80",
        b"\x1f\x43\xb6\x75\xff\xe7\x81\x00",
        b"\x1f\x43\xb6\x75\xff\xe7\x81\x00" + b"\xec\x80" * 30 + b"\0",
        b"MV\x01\x01" + MODEL,
        b"\xa3\x84\x81\x00\x00\x80",
        b"\xa0\xff",
    ],
)
def test_a_file_made_to_waste_time_does_not(tmp_path: Path, pattern: bytes) -> None:
    packets = make_packets(3)
    path = write_file(tmp_path / "a.mkv", packets)
    with path.open("ab") as file:
        file.write((pattern * (1 << 21))[: 1 << 20])
    started = time.process_time()
    with StreamReader(path) as reader:
        assert [reader.packet(i) for i in range(3)] == packets
    assert time.process_time() - started < 10


def test_forged_times_are_bounded(tmp_path: Path) -> None:
    """Extreme but valid pts and a made time base must neither overflow nor stop the reader."""
    from dataclasses import replace
    from fractions import Fraction

    packets = make_packets(4)
    path = write_file(tmp_path / "a.mkv", packets, video_info(time_base=Fraction(1, 2)))
    data = path.read_bytes()
    forged = [replace(p, pts=pts) for p, pts in zip(packets, (-(2**63), 2**63 - 1, 0, 2**62), strict=True)]
    with StreamReader(path) as reader:
        for coded, packet in reversed(list(zip(reader, forged, strict=True))):
            block = b"\x81\x00\x00\x80" + packet.to_bytes()
            start = coded.offset - 4 - 3
            data = data[:start] + ebml.element(mkv.SIMPLE_BLOCK, block) + data[coded.offset + coded.size :]
    for unit in (b"1/2", b"9/1", b"0/0", b"1/0", b"-/1"):
        path.write_bytes(data.replace(b"1/2", unit))
        with StreamReader(path) as reader:
            assert [coded.packet for coded in reader] == forged
            assert reader.info.duration is not None
