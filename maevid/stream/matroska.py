"""The Matroska elements that maevid knows, and the facts in a file's header: tracks, tags, time unit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from maevid.stream import ebml
from maevid.video.frame import ColorTags

CODEC_ID = "V_MAEVID/INTRA"
FOURCC = b"MAEV"
"""Stands where Matroska keeps a pixel format. FFmpeg's remuxer copies no track of an unknown codec without
a FourCC; with it, it writes the track as ``V_MS/VFW/FOURCC`` with this FourCC, which maevid reads too."""

EBML_HEADER, SEGMENT, CLUSTER, BLOCK_GROUP = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xA0
SEEK_HEAD, INFO, TRACKS, TAGS = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1254C367
CHAPTERS, ATTACHMENTS, CUES = 0x1043A770, 0x1941A469, 0x1C53BB6B
TIMESTAMP, SIMPLE_BLOCK, BLOCK, CRC = 0xE7, 0xA3, 0xA1, 0xBF
OPENED = frozenset({SEGMENT, CLUSTER, BLOCK_GROUP})
"""Elements that a flat walk enters instead of passing over."""
PASSED_OVER = frozenset(
    {EBML_HEADER, SEEK_HEAD, CHAPTERS, ATTACHMENTS, CUES, CRC, ebml.VOID}
    # Of a cluster: Position, PrevSize, SilentTracks, EncryptedBlock.
    | {0xA7, 0xAB, 0x5854, 0xAF}
    # Of a block group: BlockDuration, Reference…, additions, CodecState, DiscardPadding, Slices, old ones.
    | {0x9B, 0xFB, 0xFA, 0xFD, 0xC8, 0xA2, 0xA4, 0x75A1, 0x75A2, 0x8E}
)
"""Elements of which a flat walk needs no more than the length."""

TRACK_ENTRY, VIDEO, COLOUR, PROJECTION = 0xAE, 0xE0, 0x55B0, 0x7670
CODEC_ID_ELEMENT, DEFAULT_DURATION, MAX_BLOCK_ADDITION = 0x86, 0x23E383, 0x55EE
PIXEL_WIDTH, PIXEL_HEIGHT = 0xB0, 0xBA
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT, COLOUR_SPACE = 0x54B0, 0x54BA, 0x54B2, 0x2EB524
TAG, SIMPLE_TAG, TAG_NAME, TAG_STRING = 0x7373, 0x67C8, 0x45A3, 0x4487
KINDS = {1: "video", 2: "audio", 17: "subtitle"}
_VFW = "V_MS/VFW/FOURCC"


@dataclass(frozen=True, slots=True)
class Track:
    """One track, as the header tells it. ``default_duration`` is in nanoseconds, 0 when not given.

    ``rotation`` is in degrees clockwise. ``sample_aspect`` is (numerator, denominator). ``packed`` says that
    the container compresses or encrypts the track's blocks.
    """

    number: int = 0
    uid: int = 0
    kind: str = ""
    codec_id: str = ""
    fourcc: bytes = b""
    language: str = "eng"
    name: str = ""
    width: int = 0
    height: int = 0
    sample_aspect: tuple[int, int] = (1, 1)
    rotation: int = 0
    color: ColorTags = field(default_factory=ColorTags)
    interlaced: bool = False
    default_duration: int = 0
    packed: bool = False

    @property
    def is_maevid(self) -> bool:
        """Whether the track holds maevid packets, by its codec."""
        return self.codec_id == CODEC_ID or (self.codec_id == _VFW and self.fourcc == FOURCC)


def parse_tracks(data: bytes) -> list[Track]:
    """The tracks in the body of a Tracks element; what is damaged is left at its default."""
    return [_parse_track(data[c.body : c.end]) for c in ebml.children(data) if c.id == TRACK_ENTRY]


def parse_tags(data: bytes) -> list[tuple[set[int], dict[str, str]]]:
    """The tags in the body of a Tags element: the UIDs of the tracks they are for (none: the whole file)
    and their values by name."""
    found = []
    for tag in ebml.children(data):
        if tag.id != TAG:
            continue
        targets: set[int] = set()
        values: dict[str, str] = {}
        for part in ebml.children(data, tag.body, tag.end):
            if part.id == 0x63C0:
                for target in ebml.children(data, part.body, part.end):
                    if target.id == 0x63C5:
                        targets.add(ebml.unsigned(data[target.body : target.end]))
            elif part.id == SIMPLE_TAG:
                name = value = ""
                for item in ebml.children(data, part.body, part.end):
                    if item.id == TAG_NAME:
                        name = ebml.text(data[item.body : item.end])
                    elif item.id == TAG_STRING:
                        value = ebml.text(data[item.body : item.end])
                values.setdefault(name, value)
        found.append((targets, values))
    return found


def parse_timestamp_scale(data: bytes) -> int:
    """Nanoseconds in one unit of time, from the body of an Info element."""
    for child in ebml.children(data):
        if child.id == 0x2AD7B1:
            return ebml.unsigned(data[child.body : child.end]) or 1_000_000
    return 1_000_000


def _parse_track(data: bytes) -> Track:
    track = Track()
    for child in ebml.children(data):
        body = data[child.body : child.end]
        if child.id == 0xD7:
            track = replace(track, number=ebml.unsigned(body))
        elif child.id == 0x73C5:
            track = replace(track, uid=ebml.unsigned(body))
        elif child.id == 0x83:
            track = replace(track, kind=KINDS.get(ebml.unsigned(body), "other"))
        elif child.id == CODEC_ID_ELEMENT:
            track = replace(track, codec_id=ebml.text(body))
        elif child.id == 0x63A2 and len(body) >= 20:
            track = replace(track, fourcc=body[16:20])
        elif child.id == 0x22B59C:
            track = replace(track, language=ebml.text(body))
        elif child.id == 0x536E:
            track = replace(track, name=ebml.text(body))
        elif child.id == DEFAULT_DURATION:
            track = replace(track, default_duration=ebml.unsigned(body))
        elif child.id == 0x6D80:
            track = replace(track, packed=True)
        elif child.id == VIDEO:
            track = _parse_video(track, body)
    return track


def _parse_video(track: Track, data: bytes) -> Track:
    numbers: dict[int, int] = {}
    color = track.color
    rotation = 0
    for child in ebml.children(data):
        body = data[child.body : child.end]
        if child.id == COLOUR:
            color = _parse_color(body)
        elif child.id == PROJECTION:
            for part in ebml.children(body):
                if part.id == 0x7675:
                    # Roll counts anticlockwise.
                    turn = ebml.real(body[part.body : part.end])
                    rotation = round(-turn / 90) * 90 % 360 if abs(turn) <= 360 else 0
        elif child.size is not None and child.size <= 8:
            numbers[child.id] = ebml.unsigned(body)
    width, height = numbers.get(PIXEL_WIDTH, 0), numbers.get(PIXEL_HEIGHT, 0)
    sample_aspect = (1, 1)
    # Units 0 (pixels) and 3 (aspect ratio) tell the shape of the picture; the others are lengths or unknown.
    if numbers.get(DISPLAY_UNIT, 0) in {0, 3}:
        shown = numbers.get(DISPLAY_WIDTH, width) * height, numbers.get(DISPLAY_HEIGHT, height) * width
        if all(shown):
            sample_aspect = shown
    return replace(
        track,
        width=width,
        height=height,
        sample_aspect=sample_aspect,
        rotation=rotation,
        color=color,
        interlaced=numbers.get(0x9A) == 1,
    )


def _parse_color(data: bytes) -> ColorTags:
    numbers = {c.id: ebml.unsigned(data[c.body : c.end]) for c in ebml.children(data)}
    return ColorTags(
        matrix=numbers.get(0x55B1, 2),
        primaries=numbers.get(0x55BB, 2),
        transfer=numbers.get(0x55BA, 2),
        full_range={1: False, 2: True}.get(numbers.get(0x55B9, 0)),
    )
