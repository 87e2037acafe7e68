"""Where every coded picture of a Matroska file lies, found by walking over the headers of its blocks.

The walk is flat: it enters segments, clusters and block groups and passes over everything else. It needs no
cues, no right sizes of masters, and no end, so a file that is cut, or still growing, reads like any other.
Where the bytes make no sense it goes back to the last place that surely was right, and from there to the next
cluster or packet (known by its magic, its length and the block header before it): damage to the container
costs the pictures that it hits and no others.
"""

from __future__ import annotations

import os
import sys
from array import array
from dataclasses import dataclass, field

from maevid.errors import DamagedError
from maevid.stream import ebml
from maevid.stream import matroska as mkv
from maevid.stream.packet import KEY, MAGIC, MAX_HEADER, VERSION, PacketHeader, read_header

WINDOW = 1024
"""Bytes read at a time while walking: several audio blocks, or the headers of one picture."""
CHUNK = 1 << 20
"""Bytes read at a time while looking for a place to go on."""
LARGEST_MASTER = 1 << 24
"""Bytes of the largest Info, Tracks or Tags element that is read; a larger one is passed over."""
PATIENCE = 200_000
"""Elements walked in vain before going back ends: keeps the time linear on a file made to waste it."""

GOOD, DAMAGED, LOST = 0, 1, 2
"""States of a row: its packet header reads well; there is a block, but its header is damaged; the walk had to
be taken up again here, so that blocks may be missing."""

_PACKET_SYNC = MAGIC + bytes((VERSION, KEY))
_CLUSTER_SYNC = mkv.CLUSTER.to_bytes(4)
_TRACKS_SYNC = mkv.TRACKS.to_bytes(4)
_BEFORE_PACKET = 1 + 8 + 8 + 3
"""Bytes of the longest block header: ID, size, track number, time and flags."""
_FIRST_OF = {
    mkv.CLUSTER: frozenset({mkv.TIMESTAMP, mkv.CRC, ebml.VOID}),
    mkv.TRACKS: frozenset({mkv.TRACK_ENTRY, mkv.CRC, ebml.VOID}),
}


@dataclass(slots=True)
class Columns:
    """One row for each coded picture, in file order.

    ``time`` is the block's time in nanoseconds; ``cluster`` tells apart the blocks that have their time from
    different places. ``pts``, ``duration``, ``rate``, ``width`` and ``height`` come from the packet's header,
    not yet checked against the CRC (0 unless the state is GOOD). ``offset`` and ``size`` of a LOST row tell
    the bytes in which blocks may be missing.
    """

    state: array[int] = field(default_factory=lambda: array("B"))
    offset: array[int] = field(default_factory=lambda: array("q"))
    size: array[int] = field(default_factory=lambda: array("q"))
    time: array[int] = field(default_factory=lambda: array("q"))
    cluster: array[int] = field(default_factory=lambda: array("q"))
    pts: array[int] = field(default_factory=lambda: array("q"))
    duration: array[int] = field(default_factory=lambda: array("q"))
    rate: array[int] = field(default_factory=lambda: array("B"))
    width: array[int] = field(default_factory=lambda: array("H"))
    height: array[int] = field(default_factory=lambda: array("H"))

    def __len__(self) -> int:
        return len(self.state)

    def append(
        self, state: int, offset: int, size: int, time: int, cluster: int, header: PacketHeader | None = None
    ) -> None:
        """Add a row; without a ``header`` what only a header tells is 0."""
        self.state.append(state)
        self.offset.append(offset)
        self.size.append(size)
        self.time.append(time)
        self.cluster.append(cluster)
        self.pts.append(header.pts if header else 0)
        self.duration.append(header.duration if header else 0)
        self.rate.append(header.rate_index if header else 0)
        self.width.append(header.width if header else 0)
        self.height.append(header.height if header else 0)

    def cut(self, length: int) -> None:
        """Forget the rows from ``length`` on."""
        for name in self.__slots__:
            del getattr(self, name)[length:]


class Index:
    """The walk over one open file and what it has found. :meth:`advance` goes on as the file grows.

    ``video`` is the track that holds packets; None when the header names none, and the walk ends before the
    first cluster. ``truncated`` says that what follows the last whole element makes no sense: the file is
    cut, or damaged at its end, or still being written.
    """

    def __init__(self, descriptor: int) -> None:
        self.is_matroska = False
        self.tracks: list[mkv.Track] = []
        self.video: mkv.Track | None = None
        self.tags: list[tuple[set[int], dict[str, str]]] = []
        self.rows = Columns()
        self.truncated = False
        self._file = descriptor
        self._size = 0
        self._at = 0
        self._window = b""
        self._base = 0
        self._scale = 1_000_000
        self._cluster_time = 0
        self._clusters = 0
        self._other_video: set[int] = set()
        self._anchor = 1
        self._anchor_rows = 0
        self._walked = 0
        self._patience = PATIENCE

    def advance(self, rows: int = sys.maxsize) -> None:
        """Walk to the end of what the file holds now, or until there are ``rows`` rows."""
        self._size = os.fstat(self._file).st_size
        self._window = b""
        self.truncated = False
        while self._at < self._size and not self.truncated and len(self.rows) < rows and self._step():
            pass

    def _step(self) -> bool:
        """Take one element; False when the file is none that this class can walk over."""
        at = self._at - self._base
        if at < 0 or at + ebml.LONGEST_HEADER > len(self._window):
            self._window, self._base, at = os.pread(self._file, WINDOW, self._at), self._at, 0
        found = ebml.read_element(self._window, at)
        self._walked += 1
        if self._at == 0:
            if found is None or found.id != mkv.EBML_HEADER:
                return False
            self.is_matroska = True
        if found is None:
            self._resume()
            return True
        body = self._base + found.body
        if found.id in mkv.OPENED:
            if found.id == mkv.CLUSTER:
                if self.video is None:
                    return False
                self._clusters += 1
                self._trust(body)
            self._at = body
        elif (
            found.size is None or body + found.size > self._size or not self._take(found.id, body, found.size)
        ):
            self._resume()
        else:
            self._at = body + found.size
        return True

    def _take(self, identity: int, body: int, size: int) -> bool:
        """Use a whole element; False when it can be none of Matroska's."""
        if identity in {mkv.SIMPLE_BLOCK, mkv.BLOCK}:
            return self._take_block(body, size)
        if identity == mkv.TIMESTAMP:
            if size > 8:
                return False
            self._cluster_time = ebml.unsigned(os.pread(self._file, size, body))
        elif identity in {mkv.INFO, mkv.TRACKS, mkv.TAGS}:
            if size <= LARGEST_MASTER:
                self._take_master(identity, os.pread(self._file, size, body))
        else:
            return identity in mkv.PASSED_OVER
        return True

    def _take_master(self, identity: int, body: bytes) -> None:
        if identity == mkv.INFO:
            self._scale = mkv.parse_timestamp_scale(body)
        elif identity == mkv.TAGS:
            self.tags += mkv.parse_tags(body)
        elif self.video is None:
            self.tracks = mkv.parse_tracks(body)
            self.video = next((track for track in self.tracks if track.is_maevid), None)
            self._other_video = {t.number for t in self.tracks if t.kind == "video" and t != self.video}

    def _take_block(self, body: int, size: int) -> bool:
        at = body - self._base
        if at + _BEFORE_PACKET + MAX_HEADER > len(self._window):
            self._window, self._base, at = os.pread(self._file, WINDOW, body), body, 0
        number_bytes = 9 - self._window[at].bit_length() if size else 9
        start = number_bytes + 3
        if number_bytes > 8 or size < start or self.video is None:
            return False
        block = self._window[at : at + min(size, start + MAX_HEADER)]
        number = int.from_bytes(block[:number_bytes]) - (1 << 7 * number_bytes)
        ours = number == self.video.number
        # A damaged track number must not hide a picture: a packet that fits its block exactly is one.
        if not ours and (number in self._other_video or block[start : start + 2] != MAGIC):
            return True
        header = _header_of(block[start:])
        laced = block[start - 1] & 0x06
        exact = header is not None and header.packet_bytes == size - start and not laced
        if ours or exact:
            time = self._cluster_time + int.from_bytes(block[start - 3 : start - 1], signed=True)
            state = GOOD if exact else DAMAGED
            # An 8-byte time is far out of any column's range; a damaged one is as good as none.
            nanoseconds = max(-(2**62), min(time * self._scale, 2**62))
            self.rows.append(
                state, body + start, size - start, nanoseconds, self._clusters, header if exact else None
            )
        if exact:
            self._trust(body + size)
        return True

    def _trust(self, at: int) -> None:
        """Note that all before ``at`` surely is what it seems, and a search may start there."""
        self._anchor, self._anchor_rows, self._walked = at, len(self.rows), 0

    def _resume(self) -> None:
        """Go on at the next cluster or packet after the last place that surely was right."""
        going_back = self._patience > 0
        self._patience -= self._walked
        start = self._anchor if going_back else self._at + 1
        found = self._find(start)
        if found is None:
            self.truncated = True
            return
        if going_back:
            self.rows.cut(self._anchor_rows)
        if self._clusters:
            time = max(-(2**62), min(self._cluster_time * self._scale, 2**62))
            self.rows.append(LOST, start, found - start, time, self._clusters)
        self._clusters += 1
        self._at = found
        self._trust(found + 1)

    def _find(self, start: int) -> int | None:
        """Position of the first cluster, or block with a packet, that starts at or after ``start``."""
        wanted = (_CLUSTER_SYNC, _PACKET_SYNC) if self.video else (_TRACKS_SYNC,)
        margin = _BEFORE_PACKET + MAX_HEADER
        base = start
        while base < self._size:
            chunk = os.pread(self._file, CHUNK + 2 * margin, base)
            hits = {sync: chunk.find(sync) for sync in wanted}
            while any(hit >= 0 for hit in hits.values()):
                sync, hit = min(((s, h) for s, h in hits.items() if h >= 0), key=lambda item: item[1])
                if sync == _PACKET_SYNC:
                    block = _block_before(chunk, hit)
                    if block is not None:
                        return base + block
                elif _is_master(chunk, hit):
                    return base + hit
                hits[sync] = chunk.find(sync, hit + 1)
            base += CHUNK
        return None


def _header_of(data: bytes) -> PacketHeader | None:
    try:
        return read_header(data, max_pixels=2**32)
    except DamagedError:
        return None


def _block_before(data: bytes, packet: int) -> int | None:
    """Where the block starts of which the packet at ``packet`` is the payload; None when there is none."""
    header = _header_of(data[packet : packet + MAX_HEADER])
    if header is None:
        return None
    for start in range(packet - 5, max(packet - _BEFORE_PACKET, 0) - 1, -1):
        if data[start] in {mkv.SIMPLE_BLOCK, mkv.BLOCK}:
            block = ebml.read_element(data, start)
            if (
                block is not None
                and block.body < packet - 3
                and block.size == packet - block.body + header.packet_bytes
                and packet - block.body == 12 - data[block.body].bit_length()
            ):
                return start
    return None


def _is_master(data: bytes, at: int) -> bool:
    """Whether a cluster or a Tracks element starts at ``at``: what it holds first tells."""
    master = ebml.read_element(data, at)
    if master is None:
        return False
    first = ebml.read_element(data, master.body)
    return first is not None and first.id in _FIRST_OF[master.id]
