"""A maevid file being written: an ordinary Matroska file that appears under its name when it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import av
import av.error

from maevid.atomic import AtomicFile
from maevid.errors import OutputError
from maevid.stream.header import edit_tracks, fill_tags
from maevid.stream.packet import Packet
from maevid.stream.tags import describe
from maevid.stream.timeline import milliseconds
from maevid.video.frame import VideoInfo
from maevid.video.passthrough import PassThrough, copy_chapters_and_metadata

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

_MILLISECOND = Fraction(1, 1000)
_LARGEST_AREA = (2**31 - 1) // 8
"""libavutil's own limit on width times height, each with a margin of 128."""
_BLANK = " " * 20
"""Room for a number that is known only at the end."""
_OPTIONS = {
    "allow_raw_vfw": "1",
    # A checksum over the tracks would not survive the edit of the header.
    "write_crc32": "0",
    # No random UIDs, no date, no version: equal input makes equal files.
    "fflags": "+bitexact",
    # Nothing lingers in memory: a file that is still growing can be read up to its last cluster.
    "flush_packets": "1",
}
_KNOWN_AT_THE_END = ("NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "BPS")


class StreamWriter:
    """Writes packets in presentation order, and what is copied from a source, to a maevid file.

    The file grows beside ``path`` under a temporary name. :meth:`close` completes and renames it;
    :meth:`abort`, or leaving a ``with`` block by any exception, removes it and leaves a file that stands
    under ``path`` untouched. As a context manager it closes at the end.

    ``info`` tells the video as its source has it. ``codec`` is the name of the codec, ``model`` its
    identity (the four bytes that every packet carries), ``weights`` the full hash of its weights in
    hexadecimal. ``tags`` go to the video track beside maevid's own. ``source`` with ``video_index`` names
    the container whose other streams (audio, subtitles, attachments), chapters and metadata go along;
    whoever reads it hands its packets to :meth:`copy`. ``token`` is that of the temporary name (random otherwise).

    Memory is bounded: packets of all tracks are put in the order of their times as long as no track is more
    than ten seconds ahead of another; beyond that the order is given up, not the memory.

    ``frames`` and ``packet_bytes`` count the pictures written and their packets' bytes, ``copied`` and ``copied_bytes``
    the packets of other streams, whether or not they are in the file yet.

    Every method raises OutputError when the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        info: VideoInfo,
        *,
        codec: str,
        model: bytes,
        weights: str,
        tags: Mapping[str, str] | None = None,
        source: InputContainer | None = None,
        video_index: int = -1,
        token: str | None = None,
    ) -> None:
        if len(model) != 4:
            raise ValueError(f"a model is identified by 4 bytes, not {len(model)}")
        if (info.width + 128) * (info.height + 128) >= _LARGEST_AREA:
            raise OutputError(f"a {info.width}x{info.height} picture is too large to write, even for FFmpeg")
        self.path = Path(path)
        self.frames = 0
        self.packet_bytes = 0
        self.copied = 0
        self.copied_bytes = 0
        self._info = info
        self._model = model
        self._first_pts = 0
        self._end_pts = 0
        self._last_time: int | None = None
        self._header_bytes = 0
        self._size: int | None = None
        self._others: PassThrough | None = None
        self._atomic = AtomicFile(path, token)
        try:
            with self._failing_clearly():
                self._container = av.open(
                    f"file:{self._atomic.temporary}",
                    "w",
                    format="matroska",
                    options=_OPTIONS,
                )
                self._stream = self._container.add_stream("rawvideo", rate=info.average_rate or Fraction(25))
                self._describe_video({**(tags or {}), **describe(info, codec, model, weights)})
                if source is not None:
                    self._others = PassThrough(source, video_index, self._container)
                    copy_chapters_and_metadata(source, self._container)
        except BaseException:
            self.abort()
            raise

    def _describe_video(self, tags: Mapping[str, str]) -> None:
        info, stream = self._info, self._stream
        context = stream.codec_context
        stream.width, stream.height = info.width, info.height
        context.codec_tag = "I420"
        context.colorspace = info.color.matrix
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        context.color_range = {False: 1, True: 2, None: 0}[info.color.full_range]
        stream.time_base = _MILLISECOND
        if info.rotation:
            stream.set_display_rotation(-info.rotation)
        stream.metadata.update(tags)
        stream.metadata.update(dict.fromkeys(_KNOWN_AT_THE_END, _BLANK))

    @property
    def skipped(self) -> list[str]:
        """What of the source stays behind, and why, for people."""
        return self._others.skipped if self._others is not None else []

    @property
    def bytes_written(self) -> int:
        """Bytes in the file so far, all tracks and the container counted; exact once the writer is closed."""
        if self._size is not None:
            return self._size
        return self._atomic.temporary.stat().st_size

    def start(self) -> int:
        """Write the header now, not with the first packet; returns its bytes, attachments and all counted.

        The file that :meth:`close` completes has all payloads more, and at most what
        :func:`~maevid.stream.overhead.largest_overhead` says.
        """
        if not self._header_bytes:
            with self._failing_clearly():
                self._container.start_encoding()
                self._header_bytes = self._atomic.temporary.stat().st_size
                # At once, so that even the unfinished file is a maevid file.
                with self._atomic.temporary.open("r+b") as file:
                    self._edit_tracks(file)
        return self._header_bytes

    def write(self, packet: Packet) -> int:
        """Write one coded picture; returns its bytes. Raises ValueError for a packet of another model."""
        if packet.model != self._model:
            raise ValueError(f"packet of model {packet.model.hex()} in a stream of model {self._model.hex()}")
        data = packet.to_bytes()
        # Matroska times must not run backwards, even where the source's do.
        time = milliseconds(packet.pts, self._info.time_base)
        time = time if self._last_time is None else max(time, self._last_time)
        end = milliseconds(packet.pts + packet.duration, self._info.time_base)
        self.start()
        with self._failing_clearly():
            block = av.Packet(data)
            block.stream = self._stream
            block.time_base = _MILLISECOND
            block.pts = block.dts = time
            block.duration = max(0, end - time)
            block.is_keyframe = True
            self._container.mux_one(block)
        if self._last_time is None:
            self._first_pts = self._end_pts = packet.pts
        self._last_time = time
        self._end_pts = max(self._end_pts, packet.pts + packet.duration)
        self.frames += 1
        self.packet_bytes += len(data)
        return len(data)

    def copy(self, packet: av.Packet[Stream]) -> None:
        """Write a packet of the source's other streams unchanged; one that cannot go along is left out.

        The packet must not be used again.
        """
        if self._others is not None and self._others.wants(packet):
            self.start()
            self.copied += 1
            self.copied_bytes += packet.size
            with self._failing_clearly():
                self._others.mux(packet)

    def close(self) -> None:
        """Complete the file and give it its name. Without a single picture there is no file: OutputError."""
        if self._size is not None:
            return
        try:
            if not self.frames:
                raise OutputError(f"{self.path} was not written: there is no picture to write")
            with self._failing_clearly():
                self._container.close()
                self._finish_header()
            size = self.bytes_written
            self._atomic.commit()
            self._size = size
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what was written. Harmless after :meth:`close`."""
        try:
            if self._size is None and hasattr(self, "_container"):
                # The file is removed anyway: a full disk here must not hide what went wrong before.
                with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                    self._container.close()
        finally:
            self._atomic.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _edit_tracks(self, file: BinaryIO) -> None:
        info = self._info
        edit_tracks(file, info.sample_aspect_ratio, known_rate=info.average_rate is not None)

    def _finish_header(self) -> None:
        with self._atomic.temporary.open("r+b") as file:
            # libavformat has just written its own header again.
            self._edit_tracks(file)
            seconds = (self._end_pts - self._first_pts) * self._info.time_base
            values = {
                "NUMBER_OF_FRAMES": str(self.frames),
                "NUMBER_OF_BYTES": str(self.packet_bytes),
                "BPS": str(round(8 * self.packet_bytes / seconds)) if seconds else "",
            }
            fill_tags(file, values)

    @contextlib.contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise OutputError(f"cannot write {self.path}: {text.lower()}") from error
