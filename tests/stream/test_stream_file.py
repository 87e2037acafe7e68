"""A maevid file written and read: packets, times, facts, other streams, and what the writer leaves behind."""

from __future__ import annotations

import errno
import os
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from streamfiles import MODEL, WEIGHTS, audio_payloads, copy_with_audio, make_packets, video_info, write_file

from maevid.errors import DamagedError, InputError, OutputError
from maevid.stream import ebml
from maevid.stream import matroska as mkv
from maevid.stream.header import STAND_IN
from maevid.stream.matroska import CODEC_ID
from maevid.stream.overhead import has_own_duration, largest_overhead
from maevid.stream.packet import Packet
from maevid.stream.reader import StreamReader
from maevid.stream.timeline import milliseconds
from maevid.stream.writer import StreamWriter
from maevid.video.frame import ColorTags, VideoInfo


def test_packets_times_and_order_survive(tmp_path: Path) -> None:
    packets = make_packets(40)
    path = write_file(tmp_path / "a.mkv", packets)
    with StreamReader(path) as reader:
        assert len(reader) == 40
        assert [coded.unwrap() for coded in reader] == packets
        assert [coded.pts for coded in reader] == [packet.pts for packet in packets]
        assert [reader.packet(i) for i in (39, 0, 17, -1, -40)] == [packets[i] for i in (39, 0, 17, 39, 0)]
        assert not reader.truncated
        assert reader.runs == 1
        for beyond in (40, -41):
            with pytest.raises(IndexError):
                reader.packet(beyond)


@pytest.mark.parametrize(
    "info",
    [
        video_info(),
        video_info(
            width=1,
            height=1,
            time_base=Fraction(1001, 30000),
            average_rate=Fraction(30000, 1001),
            sample_aspect_ratio=Fraction(16, 15),
            rotation=90,
            color=ColorTags(9, 9, 16, True),
            pixel_format="yuv422p10le",
            interlaced=True,
        ),
        video_info(rotation=180, sample_aspect_ratio=Fraction(8, 9), color=ColorTags(), average_rate=None),
        video_info(rotation=270, color=ColorTags(0, 22, 18, None), width=4097, height=33),
    ],
)
def test_facts_of_the_source_survive(tmp_path: Path, info: VideoInfo) -> None:
    packets = make_packets(3, step=1)
    with StreamReader(write_file(tmp_path / "a.mkv", packets, info)) as reader:
        told = reader.info
        described = reader.described
    assert told == replace(info, codec="mae", frames=3, duration=float(3 * info.time_base))
    assert described.model == MODEL
    assert described.weights == WEIGHTS
    assert described.source_codec == "h264"


def test_other_tools_see_shape_colour_and_rotation(tmp_path: Path) -> None:
    info = video_info(sample_aspect_ratio=Fraction(4, 3), rotation=90, color=ColorTags(1, 1, 1, True))
    path = write_file(tmp_path / "a.mkv", make_packets(3), info)
    track = StreamReader(path).tracks[0]
    assert (track.sample_aspect, track.rotation, track.color) == ((427 * 240, 320 * 240), 90, info.color)
    with av.open(str(path)) as container:
        assert len(container.streams) == 1
        assert sum(1 for packet in container.demux() if packet.size) == 3


def test_facts_come_from_header_and_packets_when_tags_are_lost(tmp_path: Path) -> None:
    info = video_info(sample_aspect_ratio=Fraction(2), rotation=270)
    path = write_file(tmp_path / "a.mkv", make_packets(5), info)
    data = path.read_bytes()
    at = data.rindex(b"\x12\x54\xc3\x67")
    path.write_bytes(data[: at + 3] + b"\x68" + data[at + 4 :])
    with StreamReader(path) as reader:
        assert reader.tags == {}
        assert [coded.pts for coded in reader] == [0, 40, 80, 120, 160]
        assert reader.info == replace(
            info, time_base=Fraction(1, 1000), codec="maevid", frames=5, duration=reader.info.duration
        )
        assert reader.info.duration == pytest.approx(0.2)


def test_exact_times_survive_where_milliseconds_do_not_tell_them_apart(tmp_path: Path) -> None:
    info = video_info(time_base=Fraction(1, 90000), average_rate=Fraction(3000))
    packets = make_packets(200, step=30, start=7)
    with StreamReader(write_file(tmp_path / "a.mkv", packets, info)) as reader:
        assert [coded.pts for coded in reader] == [packet.pts for packet in packets]


@pytest.mark.parametrize("start", [-12800, 12800 * 50_000, -1])
def test_start_before_zero_or_late_survives(tmp_path: Path, start: int) -> None:
    packets = make_packets(30, start=start)
    with StreamReader(write_file(tmp_path / "a.mkv", packets)) as reader:
        assert [coded.pts for coded in reader] == [packet.pts for packet in packets]
        assert reader.runs == 1


def test_irregular_times_with_long_gaps_survive(tmp_path: Path) -> None:
    packets = [
        replace(packet, pts=pts, duration=0)
        for packet, pts in zip(
            make_packets(6), (0, 1, 100_000, 100_001, 12800 * 7000, 12800 * 7000 + 3), strict=True
        )
    ]
    with StreamReader(write_file(tmp_path / "a.mkv", packets)) as reader:
        assert [coded.pts for coded in reader] == [packet.pts for packet in packets]


def test_pictures_of_several_sizes_survive(tmp_path: Path) -> None:
    packets = make_packets(4) + make_packets(4, start=4 * 512, width=16)
    with StreamReader(write_file(tmp_path / "a.mkv", packets)) as reader:
        assert [coded.unwrap() for coded in reader] == packets


def test_sound_subtitles_chapters_and_title_go_along(tmp_path: Path, source_clip: Path) -> None:
    packets = make_packets(50)
    path = copy_with_audio(source_clip, tmp_path / "a.mkv", packets)
    assert audio_payloads(path) == audio_payloads(source_clip)
    with av.open(str(path)) as copy, av.open(str(source_clip)) as source:
        assert copy.metadata["title"] == "A made clip"
        assert [c["metadata"] for c in copy.chapters()] == [c["metadata"] for c in source.chapters()]
        assert [s.language for s in list(copy.streams)[1:]] == ["deu", "fra"]
        assert [bytes(p) for p in copy.demux(subtitles=0) if p.size] == [b"Hello"]
    with StreamReader(path) as reader:
        assert [coded.unwrap() for coded in reader] == packets
        assert reader.video_index == 0


def test_reader_hands_on_other_streams_as_their_time_comes(tmp_path: Path, source_clip: Path) -> None:
    path = copy_with_audio(source_clip, tmp_path / "a.mkv", make_packets(50, start=-256))
    sound: list[bytes] = []
    starts: list[tuple[float, float]] = []
    now = -0.04

    def take(packet: av.Packet) -> None:
        starts.append((float(packet.pts * packet.time_base), now))
        if packet.stream.type == "audio":
            sound.append(bytes(packet))

    with StreamReader(path) as reader:
        assert reader.shift > 0
        for coded in reader.packets(take):
            now = float(coded.pts * reader.info.time_base)
    assert sound == audio_payloads(source_clip)
    assert all(now - 0.001 <= start <= now + 0.041 for start, now in starts if now < 1.9)
    with StreamReader(path) as reader:
        times = []
        list(reader.packets(lambda packet: times.append(packet.pts * packet.time_base)))
        with av.open(str(source_clip)) as source:
            expected = [p.pts * p.time_base for p in source.demux(audio=0, subtitles=0) if p.size]
        assert sorted(times) == pytest.approx(sorted(expected), abs=0.0011)


def test_equal_input_makes_equal_files(tmp_path: Path, source_clip: Path) -> None:
    one = copy_with_audio(source_clip, tmp_path / "a.mkv", make_packets(50))
    two = copy_with_audio(source_clip, tmp_path / "b.mkv", make_packets(50))
    assert one.read_bytes() == two.read_bytes()


def test_codec_name_in_payload_or_metadata_is_left_alone(tmp_path: Path) -> None:
    packets = [replace(p, parts=(STAND_IN * 9, CODEC_ID.encode() * 9)) for p in make_packets(5)]
    tags = {"COMMENT": STAND_IN.decode()}
    path = tmp_path / "a.mkv"
    with StreamWriter(path, video_info(), codec="mae", model=MODEL, weights=WEIGHTS, tags=tags) as writer:
        for packet in packets:
            writer.write(packet)
    with StreamReader(path) as reader:
        assert [coded.unwrap() for coded in reader] == packets
        assert reader.tags["COMMENT"] == STAND_IN.decode()
    assert path.read_bytes().count(STAND_IN) == 5 * 9 + 1


def test_a_long_header_with_attachments_is_edited_too(tmp_path: Path) -> None:
    """Attached fonts push tags and clusters far beyond any buffer of the muxer."""
    source = tmp_path / "source.mkv"
    font = bytes(range(256)) * 2000
    with av.open(str(source), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.add_attachment("font.ttf", "application/x-truetype-font", font)
        container.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(video.encode())
    packets = make_packets(5)
    path = copy_with_audio(source, tmp_path / "a.mkv", packets)
    assert font in path.read_bytes()
    with StreamReader(path) as reader:
        assert [coded.unwrap() for coded in reader] == packets
        assert reader.tags["NUMBER_OF_FRAMES"] == "5"


def test_numbers_known_at_the_end_are_true(tmp_path: Path) -> None:
    packets = make_packets(50)
    path = tmp_path / "a.mkv"
    with StreamWriter(path, video_info(), codec="mae", model=MODEL, weights=WEIGHTS) as writer:
        sizes = [writer.write(packet) for packet in packets]
        assert sizes == [len(packet.to_bytes()) for packet in packets]
        before = writer.bytes_written
    assert 0 < before < writer.bytes_written == path.stat().st_size
    assert (writer.frames, writer.packet_bytes) == (50, sum(sizes))
    tags = StreamReader(path).tags
    assert tags["NUMBER_OF_FRAMES"] == "50"
    assert tags["NUMBER_OF_BYTES"] == str(sum(sizes))
    assert tags["BPS"] == str(round(8 * sum(sizes) / 2))


@pytest.mark.parametrize(
    ("count", "size", "sound"), [(1, 40, False), (60, 40, True), (900, 100, False), (300, 5000, True)]
)
def test_the_size_of_a_file_is_bounded_in_advance(
    tmp_path: Path, source_clip: Path, count: int, size: int, sound: bool
) -> None:
    others: list[int] = []
    with (
        av.open(str(source_clip)) as source,
        StreamWriter(
            tmp_path / "a.mkv", video_info(), codec="mae", model=MODEL, weights=WEIGHTS, source=source
        ) as writer,
    ):
        header = writer.start()
        assert header == writer.bytes_written == writer.start()
        for packet in source.demux(audio=0) if sound else ():
            if packet.size:
                others.append(packet.size)
                writer.copy(packet)
        for packet in make_packets(count, size=size):
            writer.write(packet)
    bound = largest_overhead(
        pictures=count, sound=len(others), other=0, seconds=count / 25, file_bytes=writer.bytes_written
    )
    assert (writer.copied, writer.copied_bytes) == (len(others), sum(others))
    payloads = header + writer.packet_bytes + sum(others)
    assert writer.bytes_written <= payloads + bound
    assert writer.bytes_written >= payloads + bound - 12 * (count + len(others)) - 100
    added = writer.bytes_written - header - writer.packet_bytes - sum(others)
    assert added >= 20 * count


def test_the_bound_worked_out_by_hand() -> None:
    """64 at the end of a file with sound, 7 a block, 20 a cue (15, time in 2 bytes, position in 3), 37 a line."""
    count = {"pictures": 10, "sound": 5, "other": 2}
    # A cluster has 6, its time 2, its size 3: two more than the ten that pictures may open and the two that 5 s
    # each need. The cues have 4 and their size 2.
    fixed = 64 + 7 * 15 + 37 * 2 + 11 * (10 + 2 + 2) + 6
    # Six long packets have room in the file, of two bytes more each.
    assert largest_overhead(**count, seconds=12, file_bytes=100_000) == fixed + 6 * 2 + 10 * 20
    # A clip that starts late has longer times in its cues and clusters.
    assert largest_overhead(**count, seconds=12, file_bytes=100_000, end=66.0) == fixed + 6 * 2 + 10 * 21 + 14
    # A file of 4 kB opens one cluster; its positions take two bytes, times and the sizes of clusters one and two.
    small = 64 + 7 * 15 + 37 * 2 + 9 * (1 + 2) + 6 + 10 * 18
    assert largest_overhead(**count, seconds=0.2, file_bytes=4096) == small
    # Without the header nothing is left that could open one.
    assert largest_overhead(**count, seconds=0.2, file_bytes=4096, header_bytes=300) == small - 9
    # A block group for a duration of its own.
    assert largest_overhead(**count, seconds=0.2, file_bytes=4096, own_durations=3) == small + 3 * 10


@pytest.mark.parametrize(
    ("rate", "pattern"),
    [(Fraction(25), (512,)), (Fraction(25), (40, 1000, 400_000)), (Fraction(30000, 1001), (7, 430))],
)
@pytest.mark.parametrize(
    ("count", "size", "slack"), [(1, 400, 0), (2, 1500, 8), (5, 700, 15), (40, 900, 400)]
)
def test_a_small_file_of_pictures_is_known_to_a_few_bytes(
    tmp_path: Path, rate: Fraction, pattern: tuple[int, ...], count: int, size: int, slack: int
) -> None:
    """Pictures that last longer or shorter than the rate says have block groups."""
    info = video_info(average_rate=rate)
    base = info.time_base
    durations = [pattern[k % len(pattern)] for k in range(count)]
    starts = [sum(durations[:k]) for k in range(count)]
    lasting = [
        milliseconds(a + d, base) - milliseconds(a, base) for a, d in zip(starts, durations, strict=True)
    ]
    with StreamWriter(tmp_path / "a.mkv", info, codec="mae", model=MODEL, weights=WEIGHTS) as writer:
        header = writer.start()
        for packet, start, duration in zip(make_packets(count, size=size), starts, durations, strict=True):
            writer.write(replace(packet, pts=start, duration=duration))
    own = sum(has_own_duration(length, rate) for length in lasting)
    assert bool(own) == (pattern != (512,))
    bound = largest_overhead(
        pictures=count,
        sound=0,
        other=0,
        seconds=float(sum(durations) * base),
        file_bytes=writer.bytes_written,
        header_bytes=header,
        own_durations=own,
    )
    spare = header + writer.packet_bytes + bound - writer.bytes_written
    assert 0 <= spare <= slack + 6 * own + (12 * count if own else 0)


def test_failure_leaves_nothing_and_keeps_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"precious")

    def packets() -> Iterator[Packet]:
        yield from make_packets(3)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_file(path, packets())
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["a.mkv"]


def test_a_file_without_pictures_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no picture"):
        write_file(tmp_path / "a.mkv", [])
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_file(tmp_path / "missing" / "a.mkv", make_packets(1))
    with pytest.raises(ValueError, match="4 bytes"):
        StreamWriter(tmp_path / "a.mkv", video_info(), codec="mae", model=b"abc", weights=WEIGHTS)
    with pytest.raises(OutputError, match="16384x16384 picture is too large"):
        write_file(tmp_path / "a.mkv", make_packets(1), video_info(width=16384, height=16384))
    largest = write_file(tmp_path / "a.mkv", make_packets(1), video_info(width=65535, height=3960))
    assert StreamReader(largest, max_pixels=2**28).info.width == 65535
    largest.unlink()
    assert os.listdir(tmp_path) == []


def test_a_source_that_fails_at_once_leaves_nothing(tmp_path: Path, source_clip: Path) -> None:
    source = av.open(str(source_clip))
    source.close()
    with pytest.raises(AssertionError, match="not open"):
        StreamWriter(
            tmp_path / "a.mkv", video_info(), codec="mae", model=MODEL, weights=WEIGHTS, source=source
        )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a:b %d é.mkv", "-o.mkv", "concat:x.mkv", "x", "x.mp4"])
def test_any_name_is_just_a_name(tmp_path: Path, name: str) -> None:
    path = write_file(tmp_path / name, make_packets(3))
    assert os.listdir(tmp_path) == [name]
    with StreamReader(path) as reader:
        assert len(list(reader.packets(lambda packet: None))) == 3
        assert len(reader.container.streams) == 1


def test_closing_twice_is_harmless_and_a_closed_reader_says_so(tmp_path: Path) -> None:
    writer = StreamWriter(tmp_path / "a.mkv", video_info(), codec="mae", model=MODEL, weights=WEIGHTS)
    assert writer.skipped == []
    writer.write(make_packets(1)[0])
    writer.close()
    writer.close()
    writer.abort()
    reader = StreamReader(tmp_path / "a.mkv")
    reader.close()
    reader.close()
    assert len(reader) == 1
    with pytest.raises(ValueError, match="closed"):
        reader.packet(0)


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    """The limit on file size stands for a full disk: the same failing write, without a mount."""
    import resource
    import signal

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
        with pytest.raises(OutputError, match=r"cannot write .*a\.mkv: file too large"):
            write_file(tmp_path / "a.mkv", make_packets(300, size=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


def test_packet_of_another_model_is_refused(tmp_path: Path) -> None:
    with StreamWriter(tmp_path / "a.mkv", video_info(), codec="mae", model=MODEL, weights=WEIGHTS) as writer:
        writer.write(make_packets(1)[0])
        with pytest.raises(ValueError, match="model 00000000"):
            writer.write(replace(make_packets(1)[0], model=bytes(4)))


def test_threads_read_at_random_without_disturbing_each_other(tmp_path: Path) -> None:
    packets = make_packets(200)
    wrong: list[int] = []
    with StreamReader(write_file(tmp_path / "a.mkv", packets)) as reader:

        def read(first: int) -> None:
            numbers = [index % 200 for index in range(first, first + 200 * 7, 7)]
            wrong.extend(index for index in numbers if reader.packet(index) != packets[index])

        threads = [threading.Thread(target=read, args=(start,)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_pickled_reader_opens_the_file_again(tmp_path: Path) -> None:
    packets = make_packets(5)
    with StreamReader(write_file(tmp_path / "a.mkv", packets), max_pixels=320 * 240) as reader:
        copy = pickle.loads(pickle.dumps(reader))
    assert copy.packet(3) == packets[3]
    assert copy.max_pixels == 320 * 240


def test_pixel_limit_makes_a_picture_count_as_damaged(tmp_path: Path) -> None:
    reader = StreamReader(write_file(tmp_path / "a.mkv", make_packets(2)), max_pixels=100)
    with pytest.raises(DamagedError, match=r"frame 1: .*over the limit of 100 pixels"):
        reader.packet(1)


def test_a_picture_that_the_file_does_not_account_for_is_refused(tmp_path: Path) -> None:
    packets = make_packets(2)
    path = write_file(tmp_path / "a.mkv", packets)
    with StreamReader(path, max_pixels=320 * 240) as reader:
        reader.check_size()
        reader.check_size(packets[0])
        for forged in (replace(packets[0], width=16), replace(packets[0], height=16)):
            size = f"{forged.width}x{forged.height}"
            with pytest.raises(DamagedError, match=f"holds a {size} picture, the file is 320x240"):
                reader.check_size(forged)
    # Both the header and the packets say so: there is no smaller size to believe.
    with (
        StreamReader(path, max_pixels=320 * 240 - 1) as reader,
        pytest.raises(DamagedError, match=r"are 320x240, over the limit of 76799 pixels: .*--max-pixels"),
    ):
        reader.check_size()


def test_a_header_that_claims_a_huge_picture_is_not_believed_against_the_packets(tmp_path: Path) -> None:
    packets = make_packets(2)
    path = write_file(tmp_path / "a.mkv", packets, video_info(width=65535, height=3960))
    with StreamReader(path, max_pixels=320 * 240) as reader:
        assert (reader.info.width, reader.info.height) == (320, 240)
        reader.check_size(packets[1])


def test_what_the_index_knows_of_a_picture(tmp_path: Path) -> None:
    packets = make_packets(6)
    path = write_file(tmp_path / "a.mkv", packets)
    with StreamReader(path) as reader:
        third, fifth = reader.coded(3), reader.coded(5)
    data = bytearray(path.read_bytes())
    data[third.offset] ^= 1
    data[fifth.offset - 7 : fifth.offset + fifth.size] = bytes(7 + fifth.size)
    path.write_bytes(data[: fifth.offset + fifth.size] + write_cluster(packets[0], 900))
    with StreamReader(path) as reader:
        facts = [reader.header_facts(index) for index in range(len(reader))]
        packet = packets[0]
        assert facts[0] == (len(packet.to_bytes()), packet.rate_index, 512, 320, 240)
        assert facts[3] == (third.size, -1, 0, 0, 0)
        assert facts[5] is None
        with pytest.raises(DamagedError, match="frame 5 is lost"):
            reader.packet(5)
        assert reader.header_facts(-1) == facts[-1]
        with pytest.raises(IndexError, match=f"frame {len(reader)} of a file of {len(reader)}"):
            reader.header_facts(len(reader))


def write_cluster(packet: Packet, ms: int) -> bytes:
    """A cluster with one picture, as another muxer might append it."""
    block = b"\x81\x00\x00\x80" + packet.to_bytes()
    body = ebml.unsigned_element(mkv.TIMESTAMP, ms) + ebml.element(mkv.SIMPLE_BLOCK, block)
    return ebml.element(mkv.CLUSTER, body)


@pytest.mark.parametrize("at", ["opening", "reading"])
def test_a_disk_that_fails_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def failing(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    path = write_file(tmp_path / "a.mkv", make_packets(3))
    if at == "opening":
        monkeypatch.setattr(os, "pread", failing)
        with pytest.raises(InputError, match=r"cannot read .*a\.mkv: input/output error"):
            StreamReader(path)
        return
    with StreamReader(path) as reader:
        monkeypatch.setattr(os, "pread", failing)
        with pytest.raises(DamagedError, match="frame 1: packet cannot be read: input/output error"):
            reader.packet(1)
        monkeypatch.undo()
        assert reader.packet(1) == make_packets(3)[1]


def test_a_track_that_the_container_packs_says_what_to_do(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mkv", make_packets(2))
    data = path.read_bytes()
    # The seek head names it too.
    tracks = ebml.read_element(data, data.rindex(mkv.TRACKS.to_bytes(4), 0, 1000))
    assert tracks is not None
    entry = next(c for c in ebml.children(data, tracks.body, tracks.end) if c.id == mkv.TRACK_ENTRY)
    room = next(c for c in ebml.children(data, entry.body, entry.end) if c.id == ebml.VOID)
    packed = ebml.element(0x6D80, bytes(room.end - room.start - 3))
    assert len(packed) == room.end - room.start
    path.write_bytes(data[: room.start] + packed + data[room.end :])
    with pytest.raises(InputError, match=r"compressed once more by its container; .*mkvmerge"):
        StreamReader(path)


def test_a_header_cut_short_is_told_as_damage(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mkv", make_packets(2))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(mkv.TRACKS.to_bytes(4)) + 3])
    with pytest.raises(DamagedError, match=r"a\.mkv is cut or damaged within its header"):
        StreamReader(path)


def test_other_streams_are_moved_with_the_pictures_and_read_in_any_metadata(
    tmp_path: Path, source_clip: Path
) -> None:
    path = copy_with_audio(source_clip, tmp_path / "a.mkv", make_packets(50, start=-256))
    data = path.read_bytes()
    # A title that is no UTF-8.
    path.write_bytes(data.replace(b"A made clip", b"A made\xff\xfeclip"[:11]))
    with av.open(str(path), metadata_errors="replace") as container:
        demuxed = [(p.pts, p.dts) for p in container.demux(audio=0, subtitles=0) if p.size]
    with StreamReader(path) as reader:
        taken: list[tuple[int | None, int | None]] = []
        list(reader.packets(lambda packet: taken.append((packet.pts, packet.dts))))
        assert reader.warnings == []
        assert reader.container.metadata["title"].startswith("A made\ufffd")
        assert taken == [(pts - reader.shift, dts - reader.shift) for pts, dts in demuxed]


def test_a_growing_file_opens_and_goes_on(tmp_path: Path) -> None:
    packets = make_packets(60, size=5000)
    with StreamWriter(tmp_path / "a.mkv", video_info(), codec="mae", model=MODEL, weights=WEIGHTS) as writer:
        for packet in packets[:20]:
            writer.write(packet)
        (part,) = tmp_path.glob(".*.part.mkv")
        with StreamReader(part) as reader:
            seen = [coded.unwrap() for coded in reader]
            assert seen == packets[: len(seen)]
            assert len(seen) >= 18
            for packet in packets[20:]:
                writer.write(packet)
            assert reader.refresh() == len(reader) - len(seen) >= 38
            assert [coded.unwrap() for coded in reader] == packets[: len(reader)]
            assert reader.info.frames == len(reader)


def test_what_is_no_maevid_file_is_told(tmp_path: Path, source_clip: Path) -> None:
    empty, text, folder, pipe = (tmp_path / name for name in ("empty", "text", "folder", "pipe"))
    empty.touch()
    text.write_text("Hello " * 100)
    folder.mkdir()
    os.mkfifo(pipe)
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=80)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    for path, says in (
        (source_clip, "its video is mpeg4; use `maevid compress`"),
        (empty, "it is empty"),
        (text, "neither maevid nor FFmpeg can read it"),
        (folder, "is a folder"),
        (pipe, "not an ordinary file"),
        (sound, "it has no video"),
        (tmp_path / "missing", "no such file"),
        (Path("a\0b"), "no file has such a name"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            StreamReader(path)
        assert "\n" not in str(caught.value)


def test_a_newer_format_asks_for_a_newer_maevid(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mkv", make_packets(2))
    data = path.read_bytes()
    at = data.index(b"MAEVID_VERSION") + len(b"MAEVID_VERSION\x44\x87\x81")
    assert data[at : at + 1] == b"1"
    path.write_bytes(data[:at] + b"2" + data[at + 1 :])
    with pytest.raises(InputError, match=r"version 2.* install a newer"):
        StreamReader(path)


def test_a_packet_reads_alone(tmp_path: Path) -> None:
    """What a reader in another program needs: the bytes at an offset are the packet."""
    path = write_file(tmp_path / "a.mkv", make_packets(5))
    data = path.read_bytes()
    for coded in StreamReader(path):
        assert Packet.from_bytes(data[coded.offset : coded.offset + coded.size]) == coded.packet
