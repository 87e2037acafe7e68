"""A maevid file being read: its facts at once, any packet in one step, and all that damage has left."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from maevid.atomic import reason
from maevid.errors import DamagedError, InputError
from maevid.stream.index import DAMAGED, Index
from maevid.stream.matroska import Track
from maevid.stream.packet import MAX_PIXELS, Packet
from maevid.stream.recognize import open_descriptor, what_it_is
from maevid.stream.tags import VERSION, Described, read_tags
from maevid.stream.timeline import Timeline, make_timeline
from maevid.video.frame import VideoInfo

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.stream import Stream

_CARRIED = ("audio", "subtitle")
LARGEST_PACKET = 2**28
"""Bytes of the largest packet that is taken into memory."""


class HeaderFacts(NamedTuple):
    """Of one picture: its packet's bytes, rate index (-1: damaged), duration, and size in luma samples."""

    size: int
    rate_index: int
    duration: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Coded:
    """One coded picture of a file: its packet, or what is wrong with it.

    ``index`` counts from 0 and counts damaged pictures too. ``pts`` is the picture's time in the file as
    it is now, in units of the reader's ``info.time_base``: equal to ``packet.pts`` unless another tool has
    cut or joined the file. ``offset`` is the packet's position in the file and ``size`` its bytes (-1 and
    0 where the damage has swallowed the packet whole).
    """

    index: int
    pts: int
    offset: int
    size: int
    packet: Packet | None
    error: DamagedError | None

    def unwrap(self) -> Packet:
        """The packet; raises the DamagedError when it is damaged."""
        if self.packet is None:
            raise self.error or DamagedError(f"frame {self.index} is damaged")
        return self.packet


class StreamReader:
    """A maevid file, open for reading: ``len(reader)`` pictures, each by its number or in order.

    Opening walks once over the headers of all blocks, without reading payloads; from then on each packet
    is one read. All methods may be called from several threads, and after a fork; a pickled reader opens
    the file again.

    ``info`` holds the facts of the video: from the track's tags, or where those are lost from the track's
    header and the packets (then pts are block times in milliseconds). ``tags`` are the track's tags,
    ``described`` what they mean to maevid. ``warnings`` gathers lines for people about what had to be left
    out.

    Raises InputError for what is no maevid file, and DamagedError for one that is cut before its first whole
    packet. A picture of more than ``max_pixels`` luma samples counts as damaged; see also :meth:`check_size`.
    """

    def __init__(self, path: str | Path, *, max_pixels: int = MAX_PIXELS) -> None:
        self.path = Path(path)
        self.max_pixels = max_pixels
        self.warnings: list[str] = []
        self._lock = threading.Lock()
        self._container: InputContainer | None = None
        self._file = open_descriptor(self.path)
        try:
            self._index = Index(self._file)
            self._index.advance()
            self._track = self._find_track()
            self.tags = self._find_tags(self._track)
            self.described: Described = read_tags(self.tags)
            if (self.described.version or VERSION) > VERSION:
                raise InputError(
                    f"{self.path} has maevid format version {self.described.version}, "
                    f"this maevid reads version {VERSION}; install a newer one"
                )
            self._line = self._make_timeline()
            if not len(self):
                raise DamagedError(f"{self.path} is cut before its first whole packet: nothing is left of it")
            self.info = self._make_info()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise InputError(f"cannot read {self.path}: {reason(error)}") from error
            raise

    def __len__(self) -> int:
        return len(self._line.row)

    def __iter__(self) -> Iterator[Coded]:
        return (self.coded(index) for index in range(len(self)))

    @property
    def truncated(self) -> bool:
        """Whether the file ends within an element: it is cut, damaged at its end, or still being written."""
        return self._index.truncated

    @property
    def runs(self) -> int:
        """Stretches of the file in which block times and pts go along: 1 unless something was joined."""
        return self._line.runs

    @property
    def shift(self) -> int:
        """Milliseconds by which times in the container are later than those that this class tells."""
        return self._line.shift

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks of the file as its header tells them."""
        return tuple(self._index.tracks)

    @property
    def codec(self) -> str | None:
        """Name of the codec; None when the tag is lost."""
        return self.described.codec

    def pts(self, index: int) -> int:
        """Time of a picture in units of ``info.time_base``; nothing is read."""
        return self._line.pts[self._checked(index)]

    def check_size(self, packet: Packet | None = None) -> None:
        """Refuse what would take memory that the file does not account for.

        Raises DamagedError when the file's pictures have more than ``max_pixels`` luma samples, or ``packet`` is
        of another size than they.
        """
        size = (self.info.width, self.info.height)
        if size[0] * size[1] > self.max_pixels:
            raise DamagedError(
                f"{self.path} says that its pictures are {size[0]}x{size[1]}, over the limit of "
                f"{self.max_pixels} pixels: if that is true, raise it with --max-pixels"
            )
        if packet is not None and (packet.width, packet.height) != size:
            raise DamagedError(
                f"packet holds a {packet.width}x{packet.height} picture, the file is {size[0]}x{size[1]}"
            )

    def header_facts(self, index: int) -> HeaderFacts | None:
        """What the index holds of a picture, not checked against its CRC; None when it is lost. Nothing is
        read."""
        row = self._line.row[self._checked(index)]
        if row < 0:
            return None
        rows = self._index.rows
        if rows.state[row] == DAMAGED:
            return HeaderFacts(rows.size[row], -1, 0, 0, 0)
        return HeaderFacts(
            rows.size[row], rows.rate[row], rows.duration[row], rows.width[row], rows.height[row]
        )

    def coded(self, index: int) -> Coded:
        """The coded picture ``index`` (negative: from the end), checked. Raises IndexError beyond the end."""
        index = self._checked(index)
        row = self._line.row[index]
        pts = self._line.pts[index]
        if row < 0:
            error = DamagedError(f"frame {index} is lost: the file is damaged where it was")
            return Coded(index, pts, -1, 0, None, error)
        offset, size = self._index.rows.offset[row], self._index.rows.size[row]
        try:
            return Coded(index, pts, offset, size, self._read(row), None)
        except DamagedError as error:
            return Coded(index, pts, offset, size, None, DamagedError(f"frame {index}: {error}"))

    def packet(self, index: int) -> Packet:
        """The packet of picture ``index``. Raises DamagedError when it is damaged."""
        return self.coded(index).unwrap()

    def packets(self, on_packet: Callable[[av.Packet[Stream]], None] | None = None) -> Iterator[Coded]:
        """All coded pictures in order; packets of other streams go to ``on_packet`` as their time comes.

        Their stream indices are those of :attr:`container`, their times shifted to go with the pictures' pts.
        Where the file is damaged they end early, and a line in ``warnings`` says so.
        """
        others = self._other_packets() if on_packet else iter(())
        waiting = next(others, None)
        for coded in self:
            now = coded.pts * self.info.time_base
            while waiting is not None and on_packet and _start(waiting) <= now:
                on_packet(waiting)
                waiting = next(others, None)
            yield coded
        while waiting is not None and on_packet:
            on_packet(waiting)
            waiting = next(others, None)

    @property
    def container(self) -> InputContainer:
        """The file as PyAV shows it, for its other streams, chapters and metadata; opened at first use.

        Raises DamagedError when libavformat cannot open what is left of the file.
        """
        with self._lock:
            if self._container is None:
                self._container = self._open_container()
            return self._container

    @property
    def video_index(self) -> int:
        """Index of the video among the container's streams."""
        return self._index.tracks.index(self._track)

    def refresh(self) -> int:
        """Take in what a growing file has got since; returns how many pictures are new."""
        with self._lock:
            before = len(self)
            self._index.advance()
            self._line = self._make_timeline()
            self.info = self._make_info()
            return len(self) - before

    def close(self) -> None:
        """Close the file; the reader cannot be used any more."""
        with self._lock:
            if self._container is not None:
                self._container.close()
                self._container = None
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, self.max_pixels)

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of a file of {len(self)}")
        return index % len(self)

    def _read(self, row: int) -> Packet:
        size = self._index.rows.size[row]
        if size > LARGEST_PACKET:
            raise DamagedError(f"packet of {size} bytes is over the limit of {LARGEST_PACKET}")
        if self._file < 0:
            raise ValueError("the reader is closed")
        try:
            data = os.pread(self._file, size, self._index.rows.offset[row])
        except OSError as error:
            raise DamagedError(f"packet cannot be read: {reason(error)}") from error
        return Packet.from_bytes(data, max_pixels=self.max_pixels)

    def _is_intact(self, row: int) -> bool:
        try:
            self._read(row)
        except DamagedError:
            return False
        return True

    def _make_timeline(self) -> Timeline:
        return make_timeline(self._index.rows, self.described.time_base, self._is_intact)

    def _find_track(self) -> Track:
        if self._index.video is not None:
            if self._index.video.packed:
                raise InputError(
                    f"the video of {self.path} is compressed once more by its container; "
                    "remux it with `mkvmerge --compression -1:none`"
                )
            return self._index.video
        if self._index.is_matroska and not self._index.tracks:
            raise DamagedError(f"{self.path} is cut or damaged within its header: it cannot be opened")
        raise InputError(f"{self.path} is not a maevid file: {what_it_is(self.path)}")

    def _find_tags(self, track: Track) -> dict[str, str]:
        """The tags of the track; or, where its UID has changed, those that only a maevid track has."""
        found: dict[str, str] = {}
        for targets, values in self._index.tags:
            if track.uid in targets or (targets and "MAEVID_VERSION" in values):
                for name, value in values.items():
                    found.setdefault(name, value)
        return found

    def _make_info(self) -> VideoInfo:
        track, told = self._track, self.described
        rows = self._index.rows
        unit = told.time_base or Fraction(1, 1000)
        sizes = next(((w, h) for w, h in zip(rows.width, rows.height, strict=True) if w), (0, 0))
        told_size = (track.width or sizes[0], track.height or sizes[1])
        if any(sizes) and told_size[0] * told_size[1] > self.max_pixels:
            told_size = sizes
        rate = told.average_rate
        if rate is None and track.default_duration:
            rate = Fraction(10**9, track.default_duration).limit_denominator(1001)
        return VideoInfo(
            width=told_size[0],
            height=told_size[1],
            time_base=unit,
            average_rate=rate,
            sample_aspect_ratio=told.sample_aspect_ratio or Fraction(*track.sample_aspect),
            rotation=track.rotation if told.rotation is None else told.rotation,
            color=told.color or track.color,
            pixel_format=told.pixel_format or "yuv420p",
            codec=told.codec or "maevid",
            frames=len(self),
            duration=float(self._duration() * unit),
            interlaced=told.interlaced or track.interlaced,
            field_order=told.field_order,
        )

    def _duration(self) -> Fraction:
        """From the first pts to the end of the last picture, which lasts as long as the others on average
        where its packet does not tell."""
        pts = self._line.pts
        span = max(pts) - min(pts)
        last = self.header_facts(-1)
        if last is not None and last.duration and self.described.time_base:
            return Fraction(span + last.duration)
        return span + Fraction(span, max(1, len(pts) - 1))

    def _open_container(self) -> InputContainer:
        import av
        import av.error

        try:
            return av.open(f"file:{self.path}", metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise DamagedError(f"{self.path} cannot be opened by FFmpeg: {error.strerror}") from error

    def _other_packets(self) -> Iterator[av.Packet[Stream]]:
        import av.error

        try:
            with self._open_container() as container:
                streams = [s for s in container.streams if s.index != self.video_index and s.type in _CARRIED]
                for packet in container.demux(streams) if streams else ():
                    if packet.pts is None and packet.dts is None:
                        continue
                    unit = Fraction(packet.time_base.numerator, packet.time_base.denominator)
                    moved = round(Fraction(self.shift, 1000) / unit)
                    if packet.pts is not None:
                        packet.pts -= moved
                    if packet.dts is not None:
                        packet.dts -= moved
                    yield packet
        except (DamagedError, av.error.FFmpegError) as error:
            # The pictures do not depend on it: they go on.
            self.warnings.append(f"sound and subtitles of {self.path} end early, it is damaged: {error}")


def _reopen(path: Path, max_pixels: int) -> StreamReader:
    return StreamReader(path, max_pixels=max_pixels)


def _start(packet: av.Packet[Stream]) -> Fraction:
    """When a packet starts, in seconds."""
    start = packet.pts if packet.pts is not None else packet.dts or 0
    return start * Fraction(packet.time_base.numerator, packet.time_base.denominator)
