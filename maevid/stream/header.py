"""The header of a written file, set right in place: what libavformat cannot be asked to write.

libavformat writes the video track as raw video (it refuses codecs that it does not know), and rewrites parts
of the header when it ends. This module then edits bytes of the Tracks and Tags elements on disk, each in just
the room it has: the codec ID, the FourCC, the shape of the samples, and the values of tags that are known
only at the end. Elements are found by walking down from the segment, so nothing else can be hit.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import BinaryIO

from maevid.stream import ebml
from maevid.stream import matroska as mkv

STAND_IN = b"V_UNCOMPRESSED"
"""The codec ID that libavformat writes; as long as :data:`maevid.stream.matroska.CODEC_ID`."""
_LARGEST_SIDE = 65535


def edit_tracks(file: BinaryIO, sample_aspect: Fraction, *, known_rate: bool) -> None:
    """Turn the raw video track of the Matroska ``file`` into a maevid track.

    Its samples are ``sample_aspect`` times as wide as high; without a ``known_rate`` the duration of a
    frame goes out of the header, where libavformat puts one in any case. Raises ValueError when there is
    no such track.
    """
    found = False
    for item in _level_one(file):
        if item.id == mkv.TRACKS:
            body = _read(file, item.body, item.end)
            for child in ebml.children(body):
                if child.id == mkv.TRACK_ENTRY:
                    entry = body[child.body : child.end]
                    edited = _edit_track(entry, sample_aspect, known_rate)
                    if edited is not None:
                        _write(file, item.body + child.body, edited)
                        found = True
    if not found:
        raise ValueError("the file has no raw video track to turn into a maevid track")


def fill_tags(file: BinaryIO, values: Mapping[str, str]) -> None:
    """Replace the text of the tags that ``values`` names by texts at most as long as what stands there."""
    for item in _level_one(file):
        if item.id == mkv.TAGS:
            body = _read(file, item.body, item.end)
            _write(file, item.body, _fill_tags(body, values))


def _level_one(file: BinaryIO) -> list[ebml.Element]:
    """The elements of the segment before its first cluster, with positions in the file."""
    found: list[ebml.Element] = []
    at = 0
    while True:
        head = ebml.read_element(_read(file, at, at + ebml.LONGEST_HEADER))
        if head is None or head.id == mkv.CLUSTER:
            return found
        body = at + head.body
        if head.id == mkv.SEGMENT:
            at = body
        elif head.size is None:
            return found
        else:
            found.append(ebml.Element(head.id, at, body, head.size))
            at = body + head.size


def _edit_track(entry: bytes, sample_aspect: Fraction, known_rate: bool) -> bytes | None:
    """The body of a TrackEntry, edited and as long as before; None when it is no raw video track."""
    parts = [(c.id, entry[c.start : c.body], entry[c.body : c.end]) for c in ebml.children(entry)]
    if (mkv.CODEC_ID_ELEMENT, STAND_IN) not in [(identity, body) for identity, _, body in parts]:
        return None
    edited = b""
    kept = b""
    for identity, head, body in parts:
        if identity == mkv.CODEC_ID_ELEMENT:
            edited += head + mkv.CODEC_ID.encode()
            kept += head + mkv.CODEC_ID.encode()
        elif identity == mkv.VIDEO:
            edited += ebml.element(mkv.VIDEO, _with_shape(_with_fourcc(body), sample_aspect))
            kept += head + _with_fourcc(body)
        elif identity == mkv.DEFAULT_DURATION and not known_rate:
            kept += ebml.void(len(head + body))
        else:
            kept += head + body
            if identity not in {ebml.VOID, mkv.MAX_BLOCK_ADDITION}:
                edited += head + body
    room = len(entry) - len(edited)
    # Without room for the shape (or with one byte over, which no element fills) the SAR is in the tags alone.
    return edited + ebml.void(room) if room == 0 or room > 1 else kept


def _with_fourcc(video: bytes) -> bytes:
    """The body of a Video element with maevid's FourCC in place of the pixel format."""
    for child in ebml.children(video):
        if child.id == mkv.COLOUR_SPACE and child.size == len(mkv.FOURCC):
            return video[: child.body] + mkv.FOURCC + video[child.end :]
    return video


def _with_shape(video: bytes, sample_aspect: Fraction) -> bytes:
    """The body of a Video element that says, in samples, how wide and high the picture is shown."""
    numbers = {}
    kept = b""
    for child in ebml.children(video):
        numbers[child.id] = ebml.unsigned(video[child.body : child.end])
        if child.id not in {mkv.DISPLAY_WIDTH, mkv.DISPLAY_HEIGHT, mkv.DISPLAY_UNIT}:
            kept += video[child.start : child.end]
    width, height = Fraction(numbers.get(mkv.PIXEL_WIDTH, 1)), Fraction(numbers.get(mkv.PIXEL_HEIGHT, 1))
    if sample_aspect > 1:
        width *= sample_aspect
    else:
        height /= sample_aspect
    shrink = min(Fraction(1), _LARGEST_SIDE / max(width, height))
    kept += ebml.unsigned_element(mkv.DISPLAY_WIDTH, max(1, round(width * shrink)))
    return kept + ebml.unsigned_element(mkv.DISPLAY_HEIGHT, max(1, round(height * shrink)))


def _fill_tags(body: bytes, values: Mapping[str, str]) -> bytes:
    """The body of a Tags element with the text of every tag that ``values`` names, padded with zero bytes."""
    edited = bytearray(body)
    for tag in ebml.children(body):
        for simple in ebml.children(body, tag.body, tag.end):
            if simple.id != mkv.SIMPLE_TAG:
                continue
            name = ""
            for item in ebml.children(body, simple.body, simple.end):
                if item.id == mkv.TAG_NAME:
                    name = ebml.text(body[item.body : item.end])
                elif item.id == mkv.TAG_STRING and name in values:
                    text = values[name].encode()
                    if len(text) <= item.end - item.body:
                        edited[item.body : item.end] = text.ljust(item.end - item.body, b"\0")
    return bytes(edited)


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _write(file: BinaryIO, at: int, data: bytes) -> None:
    file.seek(at)
    file.write(data)
