"""EBML elements, Matroska headers and maevid's tags: what is written reads back, and nothing fails."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamfiles import MODEL, WEIGHTS, unhurried, video_info

from maevid.stream import ebml
from maevid.stream import matroska as mkv
from maevid.stream.header import STAND_IN, edit_tracks, fill_tags
from maevid.stream.tags import describe, read_tags
from maevid.video.frame import ColorTags

IDS = st.sampled_from([0xA3, 0x54B0, 0x2EB524, mkv.CLUSTER, ebml.VOID, 0xAE, mkv.VIDEO, 0x73C5])


@unhurried
@given(IDS, st.binary(max_size=300))
def test_element_reads_back(identity: int, body: bytes) -> None:
    data = ebml.element(identity, body)
    found = ebml.read_element(b"\0\0" + data, 2)
    assert found is not None
    assert (found.id, found.start, found.size, found.end) == (identity, 2, len(body), 2 + len(data))
    assert (b"\0\0" + data)[found.body : found.end] == body


@pytest.mark.parametrize("size", [0, 126, 127, 128, 16382, 16383, 2**21 - 2, 2**21 - 1])
def test_sizes_around_each_length_read_back(size: int) -> None:
    found = ebml.read_element(ebml.element(0xA3, bytes(size)))
    assert found is not None
    assert found.size == size


def test_numbers_take_no_more_bytes_than_they_need() -> None:
    for value, body in ((0, b"\0"), (255, b"\xff"), (256, b"\1\0"), (2**64 - 1, b"\xff" * 8)):
        assert ebml.unsigned_element(0xD7, value) == bytes([0xD7, 0x80 | len(body)]) + body


@pytest.mark.parametrize("length", [0, 2, 3, 9, 10, 11, 12, 100, 1000])
def test_void_fills_any_room_but_one_byte(length: int) -> None:
    data = ebml.void(length)
    assert len(data) == length
    assert not length or (ebml.read_element(data) or pytest.fail("no element")).end == length


def test_no_element_is_one_byte_long() -> None:
    with pytest.raises(ValueError, match="one byte"):
        ebml.void(1)


def test_unknown_sizes_and_broken_headers_are_told_apart() -> None:
    for open_ended in (b"\x1f\x43\xb6\x75\xff", b"\x18\x53\x80\x67\x01" + b"\xff" * 7):
        found = ebml.read_element(open_ended)
        assert found is not None
        assert found.size is None
        with pytest.raises(ValueError, match="no end"):
            _ = found.end
    for broken in (
        b"",
        b"\x00\x81",
        b"\x08\x81\x00\x00\x00\x81",
        b"\xa3",
        b"\xa3\x00",
        b"\xa3\x40",
        b"\x1f\x43",
    ):
        assert ebml.read_element(broken) is None


@unhurried
@given(st.binary(max_size=400))
def test_headers_from_strangers_never_fail(noise: bytes) -> None:
    for data in (noise, ebml.element(mkv.TRACK_ENTRY, noise), ebml.element(mkv.TAG, noise)):
        mkv.parse_tracks(data)
        mkv.parse_tags(data)
        mkv.parse_timestamp_scale(data)


@unhurried
@given(
    st.lists(st.tuples(IDS | st.sampled_from([0x55B0, 0x7670, 0x7675, 0xD7, 0x83]), st.binary(max_size=12)))
)
def test_fields_of_any_content_never_fail(fields: list[tuple[int, bytes]]) -> None:
    inner = b"".join(ebml.element(identity, body) for identity, body in fields)
    video = ebml.element(
        mkv.VIDEO, inner + ebml.element(mkv.COLOUR, inner) + ebml.element(mkv.PROJECTION, inner)
    )
    (track,) = mkv.parse_tracks(ebml.element(mkv.TRACK_ENTRY, inner + video))
    assert Fraction(*track.sample_aspect) > 0
    assert track.rotation in {0, 90, 180, 270}


@unhurried
@given(
    st.builds(
        video_info,
        time_base=st.fractions(min_value=Fraction(1, 10**6), max_value=10, max_denominator=10**6),
        average_rate=st.none()
        | st.fractions(min_value=Fraction(1, 100), max_value=1000, max_denominator=1001),
        sample_aspect_ratio=st.fractions(min_value=Fraction(1, 50), max_value=50, max_denominator=500),
        rotation=st.sampled_from([0, 90, 180, 270]),
        color=st.builds(
            ColorTags,
            st.integers(0, 255),
            st.integers(0, 255),
            st.integers(0, 255),
            st.sampled_from([None, True, False]),
        ),
        interlaced=st.booleans(),
    )
)
def test_tags_read_back(info: object) -> None:
    told = read_tags(describe(info, "mae", MODEL, WEIGHTS))  # type: ignore[arg-type]
    for name in (
        "time_base",
        "average_rate",
        "sample_aspect_ratio",
        "rotation",
        "color",
        "interlaced",
        "pixel_format",
    ):
        assert getattr(told, name) == getattr(info, name)
    assert (told.version, told.codec, told.model, told.weights) == (1, "mae", MODEL, WEIGHTS)


NAMES = sorted(describe(video_info(interlaced=True), "mae", MODEL, WEIGHTS))
PIECES = st.sampled_from(
    ["", "0", "-1", "1", "²", "/", " ", "1/0", "25/1", "9" * 30, "tv", "0x10", "1_0", "٣", "nan"]
)


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.binary(max_size=12).map(bytes.hex) | st.lists(PIECES, max_size=4).map("".join),
    )
)
def test_tags_from_strangers_never_fail(tags: dict[str, str]) -> None:
    told = read_tags(tags)
    for value in (told.time_base, told.average_rate, told.sample_aspect_ratio):
        assert value is None or value > 0
    assert told.model is None or len(told.model) == 4


def test_every_field_of_a_track_is_read() -> None:
    turn, half = struct.pack(">d", -90.0), struct.pack(">f", 180.0)
    for roll, rotation in ((turn, 90), (half, 180), (b"", 0), (b"\x7f\xf0" + bytes(6), 0), (bytes(3), 0)):
        color = b"".join(
            ebml.unsigned_element(identity, value)
            for identity, value in ((0x55B1, 9), (0x55BB, 10), (0x55BA, 16), (0x55B9, 2))
        )
        video = (
            ebml.unsigned_element(mkv.PIXEL_WIDTH, 720)
            + ebml.unsigned_element(mkv.PIXEL_HEIGHT, 576)
            + ebml.unsigned_element(mkv.DISPLAY_WIDTH, 1024)
            + ebml.unsigned_element(mkv.DISPLAY_HEIGHT, 576)
            + ebml.unsigned_element(0x9A, 1)
            + ebml.element(mkv.COLOUR, color)
            + ebml.element(mkv.PROJECTION, ebml.void(2) + ebml.element(0x7675, roll))
        )
        entry = (
            ebml.unsigned_element(0xD7, 3)
            + ebml.unsigned_element(0x73C5, 77)
            + ebml.unsigned_element(0x83, 1)
            + ebml.element(mkv.CODEC_ID_ELEMENT, b"V_MS/VFW/FOURCC")
            + ebml.element(0x63A2, bytes(16) + mkv.FOURCC + bytes(20))
            + ebml.element(0x22B59C, b"fra")
            + ebml.element(0x536E, "Été".encode())
            + ebml.unsigned_element(mkv.DEFAULT_DURATION, 40_000_000)
            + ebml.element(0x6D80, b"")
            + ebml.element(mkv.VIDEO, video)
        )
        (track,) = mkv.parse_tracks(ebml.void(5) + ebml.element(mkv.TRACK_ENTRY, entry))
        assert track == mkv.Track(
            3, 77, "video", "V_MS/VFW/FOURCC", mkv.FOURCC, "fra", "Été", 720, 576, (1024 * 576, 576 * 720),
            rotation, ColorTags(9, 10, 16, True), True, 40_000_000, True,
        )  # fmt: skip
        assert track.is_maevid


@pytest.mark.parametrize(("number", "kind"), [(1, "video"), (2, "audio"), (17, "subtitle"), (33, "other")])
def test_tracks_of_all_kinds_are_told_and_a_short_private_field_is_not_a_fourcc(
    number: int, kind: str
) -> None:
    entry = ebml.unsigned_element(0x83, number) + ebml.element(0x63A2, bytes(16) + mkv.FOURCC[:3])
    assert mkv.parse_tracks(ebml.element(mkv.TRACK_ENTRY, entry)) == [mkv.Track(kind=kind)]


def test_a_fourcc_is_the_last_thing_that_must_be_there_and_lengths_are_no_shape() -> None:
    for unit, aspect in ((0, (500 * 200, 100 * 100)), (3, (500 * 200, 100 * 100)), (1, (1, 1)), (4, (1, 1))):
        video = ebml.unsigned_element(mkv.DISPLAY_UNIT, unit) if unit else b""
        for identity, value in (
            (mkv.PIXEL_WIDTH, 100),
            (mkv.PIXEL_HEIGHT, 200),
            (mkv.DISPLAY_WIDTH, 500),
            (mkv.DISPLAY_HEIGHT, 100),
        ):
            video += ebml.unsigned_element(identity, value)
        entry = ebml.element(0x63A2, bytes(16) + mkv.FOURCC) + ebml.element(mkv.VIDEO, video)
        (track,) = mkv.parse_tracks(ebml.element(mkv.TRACK_ENTRY, entry))
        assert (track.fourcc, track.sample_aspect) == (mkv.FOURCC, aspect)


def test_tags_are_read_with_whom_they_are_for() -> None:
    def simple(name: str, value: str) -> bytes:
        return ebml.element(
            mkv.SIMPLE_TAG,
            ebml.element(mkv.TAG_NAME, name.encode())
            + ebml.void(2)
            + ebml.element(mkv.TAG_STRING, value.encode()),
        )

    both = ebml.element(
        0x63C0, ebml.unsigned_element(0x63C5, 7) + ebml.void(3) + ebml.unsigned_element(0x63C5, 9)
    )
    data = (
        ebml.void(6)
        + ebml.element(mkv.TAG, both + simple("A", "first") + simple("A", "second") + simple("B", "2"))
        + ebml.void(6)
        + ebml.element(mkv.TAG, ebml.void(4) + simple("TITLE", "Ünï"))
    )
    assert mkv.parse_tags(data) == [({7, 9}, {"A": "first", "B": "2"}), (set(), {"TITLE": "Ünï"})]


def test_the_unit_of_time_is_read_and_a_missing_or_senseless_one_is_a_millisecond() -> None:
    scale = ebml.unsigned_element(0x2AD7B1, 500_000)
    assert mkv.parse_timestamp_scale(ebml.void(3) + scale) == 500_000
    assert mkv.parse_timestamp_scale(ebml.unsigned_element(0x2AD7B1, 0)) == 1_000_000
    assert mkv.parse_timestamp_scale(ebml.void(3)) == 1_000_000


def raw_file(extra: bytes = b"", padding: int = 11) -> bytes:
    """A header as libavformat writes it: one raw video track, some room, one tag."""
    video = ebml.unsigned_element(mkv.PIXEL_WIDTH, 720) + ebml.unsigned_element(mkv.PIXEL_HEIGHT, 576)
    video += ebml.unsigned_element(mkv.DISPLAY_UNIT, 4) + ebml.element(mkv.COLOUR_SPACE, b"I420")
    entry = ebml.element(mkv.CODEC_ID_ELEMENT, STAND_IN) + ebml.unsigned_element(0x83, 1)
    entry += ebml.unsigned_element(mkv.DEFAULT_DURATION, 40_000_000) + ebml.element(mkv.VIDEO, video) + extra
    entry += ebml.void(padding)
    simple = ebml.element(mkv.TAG_NAME, b"BPS") + ebml.element(mkv.TAG_STRING, b" " * 8)
    tags = ebml.element(mkv.TAGS, ebml.element(mkv.TAG, ebml.element(mkv.SIMPLE_TAG, simple)))
    body = ebml.element(mkv.TRACKS, ebml.element(mkv.TRACK_ENTRY, entry)) + tags
    body += ebml.element(mkv.CLUSTER, STAND_IN * 3)
    return ebml.element(mkv.EBML_HEADER, b"") + ebml.element(mkv.SEGMENT, body)


@pytest.mark.parametrize("padding", [0, 2, 3, 4, 5, 6, 7, 8, 9, 11, 40])
@pytest.mark.parametrize("known_rate", [False, True])
def test_edited_header_keeps_its_length_and_says_what_fits(padding: int, known_rate: bool) -> None:
    original = raw_file(padding=padding)
    file = io.BytesIO(original)
    edit_tracks(file, Fraction(64, 45), known_rate=known_rate)
    fill_tags(file, {"BPS": "123", "OTHER": "no such tag"})
    data = file.getvalue()
    assert len(data) == len(original)
    assert data.count(STAND_IN) == 3
    tracks = data.index(mkv.TRACKS.to_bytes(4))
    found = ebml.read_element(data, tracks)
    assert found is not None
    (track,) = mkv.parse_tracks(data[found.body : found.end])
    assert track.is_maevid
    assert track.default_duration == (40_000_000 if known_rate else 0)
    assert Fraction(*track.sample_aspect) in {Fraction(64, 45), Fraction(1)}
    if padding >= 9:
        assert Fraction(*track.sample_aspect) == Fraction(64, 45)
    tags = ebml.read_element(data, found.end)
    assert tags is not None
    assert mkv.parse_tags(data[tags.body : tags.end]) == [(set(), {"BPS": "123"})]
    with pytest.raises(ValueError, match="no raw video track"):
        edit_tracks(file, Fraction(1), known_rate=True)


@pytest.mark.parametrize(
    ("aspect", "shown"),
    [
        (Fraction(1), (720, 576)),
        (Fraction(4, 3), (960, 576)),
        (Fraction(3, 4), (720, 768)),
        (Fraction(1, 2), (720, 1152)),
        (Fraction(1000), (65535, 52)),
        (Fraction(1, 1000), (82, 65535)),
        (Fraction(10**6), (65535, 1)),
    ],
)
def test_the_shape_of_the_picture_is_in_samples_whatever_it_is(
    aspect: Fraction, shown: tuple[int, int]
) -> None:
    file = io.BytesIO(raw_file(padding=40))
    edit_tracks(file, aspect, known_rate=True)
    data = file.getvalue()
    found = ebml.read_element(data, data.index(mkv.TRACKS.to_bytes(4)))
    assert found is not None
    (track,) = mkv.parse_tracks(data[found.body : found.end])
    assert track.sample_aspect == (shown[0] * 576, shown[1] * 720)


def test_only_raw_video_is_edited_and_only_before_the_first_cluster() -> None:
    """Other tracks, and a video track whose pixel format is not where libavformat puts it, stay as they are."""
    sound = ebml.element(mkv.TRACK_ENTRY, ebml.element(mkv.CODEC_ID_ELEMENT, b"A_PCM/INT/LIT"))
    bare = ebml.element(mkv.VIDEO, ebml.unsigned_element(mkv.PIXEL_WIDTH, 16))
    video = ebml.element(mkv.TRACK_ENTRY, ebml.element(mkv.CODEC_ID_ELEMENT, STAND_IN) + bare + ebml.void(30))
    tracks = ebml.element(mkv.TRACKS, ebml.void(4) + sound + video)
    # A cluster of unknown size, as live recorders write them, then what looks like a track.
    data = ebml.element(mkv.EBML_HEADER, b"") + mkv.SEGMENT.to_bytes(4) + b"\xff" + tracks
    data += mkv.CLUSTER.to_bytes(4) + b"\xff" + tracks
    file = io.BytesIO(data)
    edit_tracks(file, Fraction(1), known_rate=True)
    edited = file.getvalue()
    assert len(edited) == len(data)
    assert edited.count(STAND_IN) == edited.count(mkv.CODEC_ID.encode()) == 1
    assert edited.index(mkv.CODEC_ID.encode()) < edited.index(STAND_IN)
    assert edited.count(mkv.FOURCC) == edited.count(mkv.CODEC_ID.encode()), "nowhere but within the codec ID"
    assert edited.count(b"A_PCM/INT/LIT") == 2
    # An element of unknown size that may not have one ends the search.
    open_ended = io.BytesIO(ebml.element(mkv.EBML_HEADER, b"") + mkv.TRACKS.to_bytes(4) + b"\xff" + video)
    with pytest.raises(ValueError, match="no raw video track"):
        edit_tracks(open_ended, Fraction(1), known_rate=True)


def test_a_text_too_long_for_its_room_is_left_out() -> None:
    file = io.BytesIO(raw_file())
    fill_tags(file, {"BPS": "123456789"})
    assert b" " * 8 in file.getvalue()
