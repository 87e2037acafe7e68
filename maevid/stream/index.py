"""Where every coded picture of a Matroska file lies, found by walking over the headers of its blocks.

The walk is flat: it enters segments, clusters and block groups and passes over everything else. It needs no
cues, no right sizes of masters, and no end, so a file that is cut, or still growing, reads like any other.
Where the bytes make no sense it goes back to the last place that surely was right, and from there to the next
cluster or packet (known by its magic, its length and the block header before it): damage to the container
costs the pictures that it hits and no others.
"""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field

from maevid.errors import DamagedError
from maevid.stream import ebml
from maevid.stream import matroska as mkv
from maevid.stream.packet import KEY, MAGIC, MAX_HEADER, VERSION, PacketHeader, read_header

FAR_WINDOW, NEAR_WINDOW = 1 << 10, 1 << 16
"""Bytes read at a time while walking: the headers of one large picture, or many small blocks at once."""
LEAST_CHUNK, CHUNK = 1 << 12, 1 << 20
"""Bytes read at a time while looking for a place to go on: first few, then more."""
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
        self._others: set[int] = set()
        self._anchor = 1
        self._anchor_rows = 0
        self._walked = 0
        self._patience = PATIENCE

    def advance(self) -> None:
        """Walk to the end of what the file holds now."""
        self._size = os.fstat(self._file).st_size
        self._window = b""
        self.truncated = False
        while self._at < self._size and not self.truncated and self._step():
            pass

    def _step(self) -> bool:
        """Take one element and all small ones that follow; False when the file cannot be walked over."""
        at = self._seen(self._at, ebml.LONGEST_HEADER)
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
            self._pass_over_others()
        return True

    def _seen(self, position: int, length: int) -> int:
        """Have ``length`` bytes from ``position`` in the window, or all there are; where in it they start."""
        at = position - self._base
        if at < 0 or at + length > len(self._window):
            near = 0 <= at < NEAR_WINDOW
            self._window = os.pread(self._file, NEAR_WINDOW if near else FAR_WINDOW, position)
            self._base, at = position, 0
        return at

    def _pass_over_others(self) -> None:
        """Pass over simple blocks of other tracks within the window, fast: most blocks are such."""
        window, others = self._window, self._others
        at = self._at - self._base
        end = len(window) - 24
        while at < end and window[at] == mkv.SIMPLE_BLOCK:
            length = window[at + 1]
            head = 2
            if length & 0x80:
                length &= 0x7F
            elif length & 0x40:
                length = (length & 0x3F) << 8 | window[at + 2]
                head = 3
            else:
                break
            body = at + head
            after = body + length
            if (
                length < 6
                or after > end
                or window[body] not in others
                or window[body + 4 : body + 6] == MAGIC
            ):
                break
            at = after
            self._walked += 1
        self._at = self._base + at

    def _take(self, identity: int, body: int, size: int) -> bool:
        """Use a whole element; False when it can be none of Matroska's."""
        if identity in {mkv.SIMPLE_BLOCK, mkv.BLOCK}:
            return self._take_block(body, size)
        if identity == mkv.TIMESTAMP:
            if size > 8:
                return False
            at = self._seen(body, size)
            self._cluster_time = ebml.unsigned(self._window[at : at + size])
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
            others = [track for track in self.tracks if track is not self.video]
            self._other_video = {track.number for track in others if track.kind == "video"}
            # As they stand at the start of a block, when the number takes one byte.
            self._others = {track.number | 0x80 for track in others if track.number < 127}

    def _take_block(self, body: int, size: int) -> bool:
        at = self._seen(body, min(size, _BEFORE_PACKET + MAX_HEADER))
        block = self._window[at : at + min(size, _BEFORE_PACKET + MAX_HEADER)]
        number_bytes = 9 - block[0].bit_length() if block else 9
        start = number_bytes + 3
        if number_bytes > 8 or len(block) < start or self.video is None:
            return False
        number = int.from_bytes(block[:number_bytes]) - (1 << 7 * number_bytes)
        ours = number == self.video.number
        # A damaged track number must not hide a picture: a packet that fits its block exactly is one.
        if not ours and (number in self._other_video or block[start : start + 2] != MAGIC):
            return True
        header = _header_of(block[start : start + MAX_HEADER])
        laced = block[start - 1] & 0x06
        exact = header is not None and header.packet_bytes == size - start and not laced
        if ours or exact:
            time = self._nanoseconds(int.from_bytes(block[start - 3 : start - 1], signed=True))
            state = GOOD if exact else DAMAGED
            self.rows.append(
                state, body + start, size - start, time, self._clusters, header if exact else None
            )
        if exact:
            self._trust(body + size)
        return True

    def _nanoseconds(self, in_cluster: int) -> int:
        """A block's time; one that only damage or malice makes so large is moved to a bound."""
        return max(-(2**62), min((self._cluster_time + in_cluster) * self._scale, 2**62))

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
        rows = self.rows
        if len(rows) and rows.state[-1] == LOST:
            rows.size[-1] = found - rows.offset[-1]
        elif self._clusters:
            rows.append(LOST, start, found - start, self._nanoseconds(0), self._clusters)
        self._clusters += 1
        self._at = found
        self._trust(found + 1)

    def _find(self, start: int) -> int | None:
        """Position of the first cluster, or block with a whole packet, that starts at or after ``start``."""
        wanted = (_CLUSTER_SYNC, _PACKET_SYNC) if self.video else (_TRACKS_SYNC,)
        margin = _BEFORE_PACKET + MAX_HEADER
        base = start
        length = LEAST_CHUNK
        while base < self._size:
            chunk = os.pread(self._file, length + 2 * margin, base)
            hits = {sync: chunk.find(sync) for sync in wanted}
            while any(hit >= 0 for hit in hits.values()):
                sync, hit = min(((s, h) for s, h in hits.items() if h >= 0), key=lambda item: item[1])
                if sync == _PACKET_SYNC:
                    block = _block_before(chunk, hit, self._size - base)
                    if block is not None:
                        return base + block
                elif _is_master(chunk, hit):
                    return base + hit
                hits[sync] = chunk.find(sync, hit + 1)
            base += length
            length = min(4 * length, CHUNK)
        return None


def _header_of(data: bytes) -> PacketHeader | None:
    try:
        return read_header(data, max_pixels=2**32)
    except DamagedError:
        return None


def _block_before(data: bytes, packet: int, end: int) -> int | None:
    """Where the block starts of which the packet at ``packet`` is the payload; None when there is none, or it
    goes on beyond ``end``, where the file ends."""
    header = _header_of(data[packet : packet + MAX_HEADER])
    if header is None or packet + header.packet_bytes > end:
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
