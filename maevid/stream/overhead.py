"""How many bytes libavformat's Matroska adds to the payloads: a bound, known before the first packet is written."""

from __future__ import annotations

_BLOCK, _LONG_PACKET = 4 + 1 + 2, 16_383
"""Of a simple block: track, time and flags, identifier, and its size, two bytes longer for long packets."""
_GROUP = 17 + 20
"""Of a packet in a block group (subtitles), with its entry in the cues."""
_CUE = 13 + 2
"""Of a picture's entry in the cues beside time and cluster position: its place within a cluster takes two bytes."""
_CLUSTER = 20
"""Of a cluster's header."""
_CLUSTER_SECONDS, _CLUSTER_BYTES, _CLUSTER_OPEN_BYTES = 5, 5_000_000, 4096
"""A cluster ends at these limits, and before a picture as soon as it has more than the last."""
_END = 64
"""At the end, whatever the file holds."""


def largest_overhead(
    *, pictures: int, sound: int, other: int, seconds: float, file_bytes: int, end: float | None = None
) -> int:
    """Most bytes beside header and payloads in a file of at most ``file_bytes`` that lasts ``seconds``.

    ``pictures``, ``sound`` and ``other`` count the packets of the video, of sound, and of all other streams; ``end`` is
    the last picture's time in seconds where the clip does not start near 0.
    """
    by_limit = int(seconds / _CLUSTER_SECONDS + file_bytes / _CLUSTER_BYTES)
    by_picture = min(pictures, file_bytes // _CLUSTER_OPEN_BYTES)
    cue = _CUE + _length(int(1000 * max(seconds, end or 0.0)) + 1) + _length(file_bytes)
    blocks = _BLOCK * (pictures + sound) + 2 * (file_bytes // _LONG_PACKET)
    clusters = _CLUSTER * (2 + by_limit + by_picture)
    return _END + blocks + cue * pictures + _GROUP * other + clusters


def _length(value: int) -> int:
    """Bytes of a number."""
    return max(1, (value.bit_length() + 7) // 8)
