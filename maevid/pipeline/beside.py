"""What a file holds beside the pictures' packets: sound and subtitles, container and times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from maevid.rate import FirstPass, RateRequest
from maevid.stream.overhead import CLUSTER_OPEN_BYTES, largest_overhead

if TYPE_CHECKING:
    import av

HEADER_BYTES = 2000
"""About what header and tags take, before they are written."""


class Beside:
    """Counts in ``found`` what comes of a source beside its pictures, and judges what it takes of a second."""

    def __init__(self, found: FirstPass) -> None:
        self._found = found
        self._first = math.inf
        self._last = -math.inf

    def take(self, packet: av.Packet[Any]) -> None:
        """Take note of a packet that is not the video's."""
        self._found.count_other(packet.size, sound=packet.stream.type == "audio")
        if packet.pts is not None and packet.time_base:
            began = float(packet.pts * packet.time_base)
            self._first = min(self._first, began)
            self._last = max(self._last, began + float((packet.duration or 0) * packet.time_base))

    def rate(self, pictures: int, seconds: float) -> float:
        """Bits per second, container counted, after so many pictures within ``seconds`` (> 0).

        Packets are set against their own times, so it does not matter how far sound runs ahead of the pictures.
        """
        found = self._found
        container = largest_overhead(pictures=pictures, sound=0, other=0, seconds=seconds, file_bytes=0)
        others = largest_overhead(
            pictures=0, sound=found.sound_packets, other=found.other_packets, seconds=seconds, file_bytes=0
        )
        lasted = max(self._last - self._first, seconds)
        return 8 * (container / seconds + (found.other_bytes + others) / lasted)


def bytes_beside(request: RateRequest, found: FirstPass, header: int) -> int:
    """The most that a file of ``request`` has beside the pictures' packets, ``header`` bytes of header counted, when
    the first pass has seen all of the clip."""
    seconds = found.timeline.duration
    return (
        header
        + found.other_bytes
        + largest_overhead(
            pictures=len(found.seconds),
            sound=found.sound_packets,
            other=found.other_packets,
            seconds=seconds,
            file_bytes=request.size or header + _most_bytes(request, found, seconds),
            header_bytes=header,
            own_durations=found.own_durations,
            end=found.seconds[-1],
        )
    )


def _most_bytes(request: RateRequest, found: FirstPass, seconds: float) -> int:
    """About the most that pictures and all else will have, for what of the container grows with the file."""
    frames = len(found.seconds)
    # Where nothing says how large they get, so large that they have a cluster each.
    rate = request.bitrate
    pictures = frames * CLUSTER_OPEN_BYTES if rate is None else int(rate * seconds / 8)
    return pictures + pictures // 50 + 50 * frames + found.other_bytes
