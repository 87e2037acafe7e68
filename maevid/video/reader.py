"""Video in: any file that FFmpeg decodes, as 8-bit 4:2:0 frames in presentation order with their exact
times."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import av
import av.error
from av.packet import Packet
from av.stream import Stream

from maevid.errors import InputError
from maevid.video.frame import ColorTags, Frame, VideoInfo
from maevid.video.notices import Notices
from maevid.video.pixels import UNSPECIFIED, PixelConverter, layout_of
from maevid.video.rates import frame_rate, sample_aspect_ratio, time_base
from maevid.video.source import choose_video, open_input, shown_name
from maevid.video.timeline import Timeline

# A string, since PyAV declares Packet generic in its stubs only.
AnyPacket: TypeAlias = "Packet[Stream]"
PROGRESSIVE = 1
_DURATION_TAG = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_DECODE_ERROR = "decode error"


class VideoReader:
    """One pass over the pictures of a video; open it again for another.

    ``path`` is a file, an image sequence pattern or ``-`` (standard input); ``stream`` the number of a
    video stream, as ffprobe shows it. Opening decodes the first picture, so that an input without pictures
    fails at once and :attr:`info` is true. Iteration yields :class:`~maevid.video.frame.Frame`. Set
    :attr:`on_packet` before iterating to be handed the packets of all other streams, in file order.

    Damage inside the stream is told in :attr:`warnings` and counted in :attr:`damaged`; decoding goes on.
    Only what FFmpeg's decoder tells is known: some (FFV1, MPEG-2) patch a broken part from the last
    picture and say nothing. Raises :class:`~maevid.errors.InputError`: from the constructor when the input
    is missing, unreadable, has no video, no picture, or more than ``max_pixels`` luma samples in one;
    while iterating when the picture size changes.
    """

    def __init__(self, path: str | Path, *, stream: int | None = None, max_pixels: int | None = None) -> None:
        self.name = shown_name(path)
        self.on_packet: Callable[[AnyPacket], None] | None = None
        self._notices = Notices()
        self._converter = PixelConverter()
        self.container = open_input(path)
        self._index = 0
        self._used = False
        self._reading = False
        try:
            self._stream = choose_video(self.container, stream, self.name, self._notices)
            self._check_pixels(self._stream.width, self._stream.height, max_pixels)
            self.stream_index = self._stream.index
            self._stream.thread_type = "AUTO"
            self.time_base = time_base(self._stream)
            self._timeline = Timeline(self.time_base, frame_rate(self._stream), self._notices)
            self._events = self._demux()
            self._early: deque[AnyPacket | av.VideoFrame] = deque()
            self.info = self._describe(self._first_picture(), max_pixels)
        except BaseException:
            self.container.close()
            raise

    @property
    def warnings(self) -> list[str]:
        """What was odd so far, one line each; complete after the last frame."""
        return self._notices.texts()

    @property
    def damaged(self) -> int:
        """How many packets or pictures were damaged so far."""
        return self._notices.count(_DECODE_ERROR)

    def __iter__(self) -> Iterator[Frame]:
        if self._used:
            raise RuntimeError("a VideoReader gives its frames once; open the file again for another pass")
        self._used = True
        for event in self._all_events():
            if isinstance(event, av.VideoFrame):
                yield self._frame(event)
            elif self.on_packet is not None:
                self.on_packet(event)

    def skip_to(self, seconds: float) -> bool:
        """Before the first frame is taken: go to the last key frame at or before a time, or to the start.

        False where the input cannot seek; the place is then undefined. Times of the frames that follow are only true
        where the source's own are sound: what a reader mends depends on what it has read before.
        """
        start = self._stream.start_time or 0
        offset = max(round(seconds / self.time_base), start)
        try:
            self.container.seek(offset, stream=self._stream, backward=True, any_frame=False)
            self._stream.codec_context.flush_buffers()
        except (av.error.FFmpegError, OSError, ValueError):
            return False
        self._early.clear()
        self._events = self._demux()
        return True

    def close(self) -> None:
        """Close the input; iterating further is not possible.

        While another thread waits for a pipe in the middle of a read, FFmpeg's structures are in use: they stay until
        the process ends.
        """
        if not self._reading:
            self.container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _all_events(self) -> Iterator[AnyPacket | av.VideoFrame]:
        while self._early:
            yield self._early.popleft()
        yield from self._events

    def _demux(self) -> Iterator[AnyPacket | av.VideoFrame]:
        """Decoded pictures, and packets of other streams, in file order. Goes on after a damaged packet."""
        packets = self.container.demux()
        while True:
            try:
                self._reading = True
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                self._notices.add(_DECODE_ERROR, f"{self.name} breaks off: {error}")
                packet = None
            finally:
                self._reading = False
            if packet is None:
                break
            if packet.stream_index != self._stream.index:
                if packet.size > 0 or packet.pts is not None:
                    yield packet
            elif packet.size > 0:
                yield from self._decode(packet)
        yield from self._decode(None)

    def _decode(self, packet: AnyPacket | None) -> list[av.VideoFrame]:
        """Pictures that a packet (None: the end) completes; none, and a notice, when it is damaged."""
        try:
            return self._stream.codec_context.decode(packet)
        except (av.error.FFmpegError, ValueError):
            where = "the end"
            if packet is not None and packet.pts is not None:
                where = f"{float(packet.pts * self.time_base):.3f} s"
            self._notices.add(_DECODE_ERROR, f"a damaged packet near {where} was left out")
            return []

    def _first_picture(self) -> av.VideoFrame:
        """Decode up to the first picture; it and the packets before it wait for the iteration."""
        for event in self._events:
            self._early.append(event)
            if isinstance(event, av.VideoFrame):
                return event
        raise InputError(f"{self.name} has a video stream, but no picture in it can be decoded")

    def _describe(self, picture: av.VideoFrame, max_pixels: int | None) -> VideoInfo:
        """Info from the container and from the first picture, which alone knows rotation and true size."""
        stream = self._stream
        self._check_pixels(picture.width, picture.height, max_pixels)
        field_order = int(stream.codec_context.field_order)
        interlaced = picture.interlaced_frame or field_order > PROGRESSIVE
        if interlaced:
            self._notices.add("interlaced", "the video is interlaced; both fields are coded as one frame")
        layout = layout_of(picture.format.name)
        if layout.alpha:
            self._notices.add("alpha", f"transparency ({layout.name}) is dropped")
        rate = frame_rate(stream)
        duration = self._duration()
        frames = stream.frames or (round(duration * rate) if duration and rate else 0)
        return VideoInfo(
            width=picture.width,
            height=picture.height,
            time_base=self.time_base,
            average_rate=rate,
            sample_aspect_ratio=sample_aspect_ratio(stream),
            rotation=self._rotation(picture),
            color=self._converter.convert(picture, self._tags(picture))[1],
            pixel_format=picture.format.name,
            codec=stream.codec_context.codec.canonical_name,
            frames=frames,
            duration=duration,
            interlaced=interlaced,
            field_order=field_order,
        )

    def _duration(self) -> float | None:
        """Seconds of the video stream: as the container or Matroska's tag says, else of the whole file."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self.time_base)
        tagged = _DURATION_TAG.match(self._stream.metadata.get("DURATION", ""))
        if tagged:
            hours, minutes, seconds = tagged.groups()
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        return None if self.container.duration is None else self.container.duration / av.time_base

    def _rotation(self, picture: av.VideoFrame) -> int:
        """Clockwise angle of the display matrix, to the nearest quarter turn."""
        degrees = -picture.rotation
        quarter = round(degrees / 90) * 90
        if quarter != degrees:
            self._notices.add("rotation", f"a rotation by {degrees} degrees is kept as {quarter % 360}")
        return quarter % 360

    def _frame(self, picture: av.VideoFrame) -> Frame:
        """The next frame from a decoded picture."""
        duration = picture.duration or 0
        pts = self._timeline.place(picture.pts, picture.dts)
        info = self.info
        if (picture.width, picture.height) != (info.width, info.height):
            where = f"frame {self._index} ({float(pts * self.time_base):.3f} s)"
            raise InputError(
                f"the picture size of {self.name} changes from {info.width}x{info.height} to "
                f"{picture.width}x{picture.height} at {where}; cut it there, or scale it to one size first "
                "(ffmpeg -vf scale)"
            )
        if picture.is_corrupt:
            self._notices.add(_DECODE_ERROR, f"frame {self._index} is damaged in the source")
        if picture.interlaced_frame and not self._notices.count("interlaced"):
            self._notices.add(
                "interlaced", "parts of the video are interlaced; fields are coded as one frame"
            )
        planes, color = self._converter.convert(picture, self._tags(picture))
        self._index += 1
        return Frame(*planes, pts=pts, time_base=self.time_base, duration=duration, color=color)

    def _tags(self, picture: av.VideoFrame) -> ColorTags:
        """The picture's colour tags; the stream's where the picture has none."""
        stream = self._stream.codec_context
        code = int(picture.color_range) or int(stream.color_range)
        return ColorTags(
            matrix=_tag(picture.colorspace, stream.colorspace, (UNSPECIFIED, 3)),
            primaries=_tag(picture.color_primaries, stream.color_primaries, (0, UNSPECIFIED, 3)),
            transfer=_tag(picture.color_trc, stream.color_trc, (0, UNSPECIFIED, 3)),
            full_range={1: False, 2: True}.get(code),
        )

    def _check_pixels(self, width: int, height: int, most: int | None) -> None:
        if most is not None and width * height > most:
            raise InputError(
                f"{self.name} has pictures of {width}x{height}; the limit is {most} pixels (--max-pixels)"
            )


def _tag(picture: int, stream: int, meaningless: tuple[int, ...]) -> int:
    """The first of two H.273 code points that says something."""
    return next((int(code) for code in (picture, stream) if code not in meaningless), UNSPECIFIED)
