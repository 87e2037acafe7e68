"""Frames through an FFmpeg encoder into a container file, with sound, subtitles and chapters beside
them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.container.core import Flags
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.reformatter import Interpolation, VideoReformatter

from maevid.atomic import reason
from maevid.errors import OutputError, UsageError
from maevid.video.frame import Frame, VideoInfo
from maevid.video.matroska import set_sample_aspect_ratio
from maevid.video.notices import Notices
from maevid.video.passthrough import MUXER_OPTIONS, PassThrough, copy_chapters_and_metadata
from maevid.video.timeline import DEFAULT_RATE

_NATIVE = "yuv420p"
_PREFERRED = (
    *(_NATIVE, "yuvj420p", "nv12", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"),
    *("yuv420p10le", "p010le", "yuv422p10le", "yuv444p10le"),
)
_ACCURATE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_FRAME_DURATION = 1 << 8


class EncoderSink:
    """One video encoder and its muxer, writing to ``path`` (which is not yet the name that people asked
    for).

    ``name`` is that name, for messages. Times: MP4 keeps every pts exactly (its track counts in
    ``info.time_base``); FFmpeg's Matroska muxer counts milliseconds, so there a pts is the source's
    rounded to 1 ms. Everything that can be refused (encoder, options, size, container) is refused by the
    constructor.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        info: VideoInfo,
        encoder: str,
        options: Mapping[str, str],
        notices: Notices,
        source: InputContainer | None,
        source_video: int,
    ) -> None:
        self._name = name
        self._path = path
        self._aspect_ratio = info.sample_aspect_ratio
        self._notices = notices
        self._reformatter = VideoReformatter()
        _check_encoder(encoder)
        try:
            self._container = av.open(str(path), "w", container_options=dict(MUXER_OPTIONS))
            # Without random numbers and version names, the same frames give the same file.
            self._container.flags |= cast(int, Flags.bitexact.value)
        except ValueError as error:
            raise UsageError(
                f"FFmpeg knows no container with the ending of {name}; use .mkv or .mp4"
            ) from error
        try:
            self._stream = self._add_stream(info, encoder, options, notices)
            self._pass_through = None
            if source is not None:
                self._pass_through = PassThrough(source, source_video, self._container)
                for left in self._pass_through.skipped:
                    notices.add(left, f"not copied: {left}")
                copy_chapters_and_metadata(source, self._container)
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abort()
            what = f"{info.width}x{info.height} with encoder {encoder}"
            raise OutputError(f"{name} cannot hold {what}: {_words(error)}") from error
        except BaseException:
            self.abort()
            raise

    def _add_stream(
        self, info: VideoInfo, encoder: str, options: Mapping[str, str], notices: Notices
    ) -> av.VideoStream:
        stream = cast(
            av.VideoStream,
            self._container.add_stream(
                encoder,
                rate=info.average_rate or DEFAULT_RATE,
                options=dict(options),
                width=info.width,
                height=info.height,
                time_base=info.time_base,
            ),
        )
        context = stream.codec_context
        context.pix_fmt = _pixel_format(encoder, info, notices)
        context.sample_aspect_ratio = info.sample_aspect_ratio
        context.colorspace = info.color.matrix
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        context.color_range = {None: 0, False: 1, True: 2}[info.color.full_range]
        context.field_order = info.field_order
        context.thread_type = "AUTO"
        context.flags |= _FRAME_DURATION
        stream.disposition = Disposition.default
        if info.rotation:
            stream.set_display_rotation(-info.rotation)
        context.open()
        return stream

    def write(self, frame: Frame) -> None:
        """Encode and mux one frame. Raises OutputError."""
        if frame.pts < 0 and "mp4" in self._container.format.name:
            self._notices.add(
                "before zero",
                f"frames before time 0 are in {self._name}, but players of MP4 do not show them; .mkv shows all",
            )
        picture = av.VideoFrame(frame.width, frame.height, _NATIVE)
        for plane, samples in zip(picture.planes, frame.planes, strict=True):
            rows = np.frombuffer(memoryview(cast(bytes, plane)), np.uint8)
            rows.reshape(plane.height, plane.line_size)[:, : plane.width] = samples
        color = frame.color
        picture.colorspace, picture.color_primaries = color.matrix, color.primaries
        picture.color_trc = color.transfer
        picture.color_range = {None: 0, False: 1, True: 2}[color.full_range]
        wanted = self._stream.codec_context.pix_fmt
        with self._telling_failures():
            if wanted != _NATIVE:
                picture = self._reformatter.reformat(picture, format=wanted, interpolation=_ACCURATE)
            picture.pts, picture.time_base = frame.pts, frame.time_base
            picture.duration = frame.duration
            self._container.mux(self._stream.encode(picture))

    def wants(self, packet: Packet[Stream]) -> bool:
        """Whether :meth:`mux` would copy this packet of the source."""
        return self._pass_through is not None and self._pass_through.wants(packet)

    def mux(self, packet: Packet[Stream]) -> None:
        """Copy a packet of the source for which :meth:`wants` is true. Raises OutputError."""
        assert self._pass_through is not None
        with self._telling_failures():
            self._pass_through.mux(packet)

    def close(self) -> None:
        """Write what the encoder still holds, and the end of the file. Raises OutputError."""
        with self._telling_failures():
            self._container.mux(self._stream.encode(None))
            is_matroska = self._container.format.name == "matroska"
            self._container.close()
        if is_matroska and self._aspect_ratio != 1 and not self._set_aspect_ratio():
            self._notices.add("aspect ratio", f"the sample aspect ratio {self._aspect_ratio} was lost")

    def _set_aspect_ratio(self) -> bool:
        try:
            return set_sample_aspect_ratio(self._path, self._aspect_ratio)
        except OSError as error:
            raise OutputError(f"writing {self._name} failed: {reason(error)}") from error

    def abort(self) -> None:
        """Let go of the file, in whatever state it is."""
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            self._container.close()

    @contextlib.contextmanager
    def _telling_failures(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"writing {self._name} failed: {_words(error)}") from error


def _check_encoder(name: str) -> None:
    """Raise UsageError unless ``name`` is a video encoder of this FFmpeg."""
    try:
        kind = av.Codec(name, "w").type
    except ValueError as error:
        raise UsageError(
            f"FFmpeg here has no encoder named {name}; 'ffv1' and 'libx264' are usual"
        ) from error
    if kind != "video":
        raise UsageError(f"{name} is an {kind} encoder; name one for video, such as 'ffv1' or 'libx264'")


def _pixel_format(encoder: str, info: VideoInfo, notices: Notices) -> str:
    """The format to feed an encoder: 4:2:0 at 8 bits where it takes that."""
    codec = av.Codec(encoder, "w")
    names = [pixel_format.name for pixel_format in codec.video_formats or ()] or [_NATIVE]
    if (
        codec.canonical_name in ("h264", "hevc")
        and (info.width % 2 or info.height % 2)
        and "yuv444p" in names
    ):
        notices.add("odd size", f"{codec.canonical_name} has no odd sizes in 4:2:0; the output is 4:4:4")
        return "yuv444p"
    return next((name for name in _PREFERRED if name in names), names[0])


def _words(error: Exception) -> str:
    """The words of an FFmpeg or system error, without number and file name."""
    if isinstance(error, (av.error.FFmpegError, OSError)):
        return reason(cast(OSError, error))
    return str(error)
