"""How many bytes libavformat's Matroska adds to the payloads: a bound, known before the first packet is written.

For a file of one picture it is exact, for a few without sound off by a few bytes, so that small files are filled too.
"""

from __future__ import annotations

import math
from fractions import Fraction

_BLOCK, _LONG_PACKET = 4 + 1 + 2, 16_383
"""Of a simple block: track, time and flags, identifier, and its size, two bytes longer for long packets."""
_DURATION = 1 + 4 + 2 + 3
"""More of a picture that has a duration of its own: a block group, and the duration in it."""
_GROUP = 17 + 20
"""Of a packet in a block group (subtitles), with its entry in the cues."""
_CUE = 13
"""Of a picture's entry in the cues beside its time, its cluster's position and its place within the cluster."""
_CLUSTER = 4 + 2
"""Of a cluster's header beside its size and time: two identifiers, and the length of the time."""
_CLUSTER_SECONDS, _CLUSTER_BYTES, CLUSTER_OPEN_BYTES = 5, 5_000_000, 4096
"""A cluster ends at these limits, and before a picture as soon as it has more than the last."""
_CUES = 4
"""Of the cues beside their size and entries."""
_SOUND = 64
"""In a file with more than pictures: the last packet of sound may say what of it is not to be heard."""


def largest_overhead(
    *,
    pictures: int,
    sound: int,
    other: int,
    seconds: float,
    file_bytes: int,
    header_bytes: int = 0,
    own_durations: int = 0,
    end: float | None = None,
) -> int:
    """Most bytes beside header and payloads in a file of at most ``file_bytes`` that lasts ``seconds``.

    ``pictures``, ``sound`` and ``other`` count the packets of the video, of sound, and of all other streams; ``end`` is
    the last picture's time in seconds where the clip does not start near 0. The file has ``header_bytes`` of header;
    ``own_durations`` counts the pictures of which :func:`has_own_duration` is true.
    """
    beyond = max(0, file_bytes - header_bytes)
    alone = sound == other == 0
    by_limit = int(seconds / _CLUSTER_SECONDS + beyond / _CLUSTER_BYTES)
    by_picture = beyond // CLUSTER_OPEN_BYTES
    clusters = min(pictures, 1 + by_limit + by_picture) if alone else 2 + by_limit + min(pictures, by_picture)
    time = _length(int(1000 * max(seconds, end or 0.0)) + 1)
    place = 1 if alone and pictures == 1 else 2
    cues = pictures * (_CUE + time + _length(file_bytes) + place) + _GROUP * other
    blocks = _BLOCK * (pictures + sound) + 2 * (beyond // _LONG_PACKET) + _DURATION * own_durations
    each = _CLUSTER + time + _size_length(min(beyond, 2 * _CLUSTER_BYTES))
    return blocks + clusters * each + _CUES + _size_length(cues) + cues + (0 if alone else _SOUND)


def has_own_duration(milliseconds: int, rate: Fraction | None) -> bool:
    """Whether a picture's duration is written beside it, since it is not that of the average ``rate``.

    A video of unknown rate is written as one of 25 a second.
    """
    usual = 1000 / (rate or 25)
    return not math.floor(usual) <= milliseconds <= math.ceil(usual)


def _length(value: int) -> int:
    """Bytes of a number."""
    return max(1, (value.bit_length() + 7) // 8)


def _size_length(value: int) -> int:
    """Bytes of the size of an element, which has seven bits a byte and no size with all of them set."""
    return max(1, ((value + 1).bit_length() + 6) // 7)
