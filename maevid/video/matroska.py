"""The sample aspect ratio of a finished Matroska file, which PyAV has no way to give to FFmpeg's muxer.

FFmpeg reads it from ``AVStream.sample_aspect_ratio``, which PyAV 18 cannot set. So the display size is put
into the track header afterwards: FFmpeg leaves unused room between the seek head and the segment
information; it shrinks, the information moves up, the track header grows by as much, and everything behind
it stays in place. Element numbers are those of RFC 9559; ratios are written as FFmpeg writes them (display
unit 3).
"""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

_SEGMENT = b"\x18\x53\x80\x67"
_SEEK_HEAD, _VOID, _INFO, _TRACKS = b"\x11\x4d\x9b\x74", b"\xec", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b"
_CRC = b"\xbf"
_SEEK_ID, _SEEK_POSITION = b"\x53\xab", b"\x53\xac"
_TRACK_ENTRY, _TRACK_TYPE, _VIDEO = b"\xae", b"\x83", b"\xe0"
_PIXEL_WIDTH, _PIXEL_HEIGHT = b"\xb0", b"\xba"
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = b"\x54\xb0", b"\x54\xba", b"\x54\xb2"
_UNIT_ASPECT_RATIO = b"\x03"
_VIDEO_TRACK = 1
_LONGEST_SIZE = 8

# An element: its number, how many bytes its size is written in, and its content.
Element = tuple[bytes, int, bytes]


def set_sample_aspect_ratio(path: Path, ratio: Fraction) -> bool:
    """Give the first video track of a complete Matroska file the shape of its samples (width over height).

    False, and the file untouched, when it is not laid out as FFmpeg does it.
    """
    with open(path, "r+b") as file:
        try:
            start = _segment_start(file)
            before = [_read_element(file) for _ in range(4)]
            if [element[0] for element in before] != [_SEEK_HEAD, _VOID, _INFO, _TRACKS]:
                return False
            after = _with_aspect_ratio(before, ratio)
        except (ValueError, IndexError):
            return False
        if len(_join(after)) != len(_join(before)):
            return False
        file.seek(start)
        file.write(_join(after))
    return True


def _with_aspect_ratio(elements: list[Element], ratio: Fraction) -> list[Element]:
    """Seek head, void, information and tracks, with the display size in the tracks and all else made to
    fit."""
    seek_head, void, info, tracks = elements
    wider = (*tracks[:2], _tracks_with_ratio(tracks[2], ratio))
    growth = len(_join([wider])) - len(_join([tracks]))
    room = len(_join([void])) - growth - 1 - _LONGEST_SIZE
    if room < 0:
        raise ValueError("no room")
    return [
        (*seek_head[:2], _moved_entries(seek_head[2], growth)),
        (_VOID, _LONGEST_SIZE, bytes(room)),
        info,
        wider,
    ]


def _tracks_with_ratio(content: bytes, ratio: Fraction) -> bytes:
    """The content of the tracks element, with the display size in its first video track."""
    entries = _split(content)
    for index, (number, size_bytes, entry) in enumerate(entries):
        fields = _split(entry) if number == _TRACK_ENTRY else []
        if _number(fields, _TRACK_TYPE) == _VIDEO_TRACK:
            at = next(i for i, field in enumerate(fields) if field[0] == _VIDEO)
            fields[at] = (*fields[at][:2], _video_with_ratio(fields[at][2], ratio))
            entries[index] = (number, size_bytes, _join(fields))
            return _join(_with_crc(entries))
    raise ValueError("no video track")


def _video_with_ratio(content: bytes, ratio: Fraction) -> bytes:
    """The content of a track's video element with a display size of the given sample shape."""
    fields = [field for field in _split(content) if field[0] not in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT)]
    shape = Fraction(_number(fields, _PIXEL_WIDTH), _number(fields, _PIXEL_HEIGHT)) * ratio
    fields = [field for field in fields if field[0] != _DISPLAY_UNIT]
    for number, value in ((_DISPLAY_WIDTH, shape.numerator), (_DISPLAY_HEIGHT, shape.denominator)):
        fields.append((number, 1, value.to_bytes((value.bit_length() + 7) // 8, "big")))
    fields.append((_DISPLAY_UNIT, 1, _UNIT_ASPECT_RATIO))
    return _join(fields)


def _moved_entries(content: bytes, growth: int) -> bytes:
    """The content of the seek head after information and tracks moved up by ``growth`` bytes."""
    entries = _split(content)
    for index, (number, size_bytes, entry) in enumerate(entries):
        fields = _split(entry) if number != _CRC else []
        if any(field[0] == _SEEK_ID and field[2] in (_INFO, _TRACKS) for field in fields):
            moved = [
                (n, s, (int.from_bytes(c, "big") - growth).to_bytes(len(c), "big"))
                if n == _SEEK_POSITION
                else (n, s, c)
                for n, s, c in fields
            ]
            entries[index] = (number, size_bytes, _join(moved))
    return _join(_with_crc(entries))


def _with_crc(elements: list[Element]) -> list[Element]:
    """The same elements; a check value, which stands first, made to fit the others."""
    if not elements or elements[0][0] != _CRC:
        return elements
    value = zlib.crc32(_join(elements[1:])).to_bytes(4, "little")
    return [(_CRC, elements[0][1], value), *elements[1:]]


def _number(elements: list[Element], number: bytes) -> int:
    """The value of the first element with that number; 0 without one."""
    return next((int.from_bytes(content, "big") for found, _, content in elements if found == number), 0)


def _split(content: bytes) -> list[Element]:
    """The elements that a master element contains."""
    elements = []
    position = 0
    while position < len(content):
        id_bytes = _length(content[position])
        size_at = position + id_bytes
        size_bytes = _length(content[size_at])
        start = size_at + size_bytes
        size = _size(content[size_at:start])
        if start + size > len(content):
            raise ValueError("an element is longer than its parent")
        elements.append((content[position:size_at], size_bytes, content[start : start + size]))
        position = start + size
    return elements


def _join(elements: list[Element]) -> bytes:
    """Bytes of elements; a size takes as many bytes as before, or more when it has to."""
    parts = []
    for number, size_bytes, content in elements:
        least = next(n for n in range(1, _LONGEST_SIZE + 1) if len(content) < (1 << (7 * n)) - 1)
        width = max(least, size_bytes)
        parts += [number, ((1 << (7 * width)) | len(content)).to_bytes(width, "big"), content]
    return b"".join(parts)


def _segment_start(file: BinaryIO) -> int:
    """Where the content of the segment begins, which is also where the file is positioned then."""
    _read_element(file)
    if file.read(4) != _SEGMENT:
        raise ValueError("no segment follows the header")
    first = file.read(1)
    file.read(_length(first[0]) - 1)
    return file.tell()


def _read_element(file: BinaryIO) -> Element:
    """The next element of the file."""
    first = file.read(1)
    number = first + file.read(_length(first[0]) - 1)
    first = file.read(1)
    size = first + file.read(_length(first[0]) - 1)
    return number, len(size), file.read(_size(size))


def _length(first: int) -> int:
    """How many bytes an EBML number has, told by the zero bits before its first one."""
    if not first:
        raise ValueError("no EBML number begins with 0")
    return 9 - first.bit_length()


def _size(data: bytes) -> int:
    """The value of an EBML number without its length marker."""
    return int.from_bytes(data, "big") & ((1 << (7 * len(data))) - 1)
