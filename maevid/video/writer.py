"""Video out: frames to a file in FFV1, H.264 or any encoder of FFmpeg, or as y4m to a file or standard
output."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from maevid.atomic import STANDARD_STREAM, AtomicFile
from maevid.errors import UsageError
from maevid.video.encode import EncoderSink
from maevid.video.frame import Frame, VideoInfo
from maevid.video.notices import Notices
from maevid.video.y4m import Y4mSink

_STANDARD_OUTPUT = 1
Y4M_SUFFIX = ".y4m"
DEFAULT_ENCODERS = {
    ".mkv": ("ffv1", {"level": "3", "slicecrc": "1", "g": "1"}),
    ".mp4": ("libx264", {"crf": "16", "preset": "medium"}),
    ".m4v": ("libx264", {"crf": "16", "preset": "medium"}),
    ".mov": ("libx264", {"crf": "16", "preset": "medium"}),
}


class VideoWriter:
    """Writes frames, and packets of a source's other streams, to one output.

    By its ending ``path`` becomes FFV1 (``.mkv``; lossless, version 3 with a CRC for each slice), H.264 by
    x264 at CRF 16 (``.mp4``, ``.m4v``, ``.mov``) or y4m (``.y4m``, and ``-``: standard output). With
    ``encoder`` it is any video encoder in any container of this FFmpeg; ``options`` go to the encoder,
    over the defaults above. The file appears under its name when :meth:`close` succeeds (as a context
    manager: when the block ends well); otherwise nothing is left, and a file that stood there stays.

    ``source``, an open container, gives chapters, metadata, sound and subtitles; ``source_video`` is the
    number of its coded video stream. Hand its other packets to :meth:`mux`, in their order between the
    frames.

    Raises, from the constructor: UsageError for an ending, encoder or option that does not exist;
    OutputError when the place cannot be written or the encoder refuses the size.
    """

    def __init__(
        self,
        path: str | Path,
        info: VideoInfo,
        *,
        encoder: str | None = None,
        options: Mapping[str, str] | None = None,
        source: InputContainer | None = None,
        source_video: int = 0,
    ) -> None:
        self._notices = Notices()
        self._file: AtomicFile | None = None
        self._descriptor: int | None = None
        self._sink: Y4mSink | EncoderSink
        self._open = True
        suffix = Path(path).suffix.lower()
        if str(path) == STANDARD_STREAM or suffix == Y4M_SUFFIX:
            self._sink = self._open_y4m(path, info, encoder, source)
            return
        chosen = _encoder(str(path), suffix, encoder)
        defaults = (
            DEFAULT_ENCODERS[suffix][1] if encoder in (None, DEFAULT_ENCODERS.get(suffix, ("",))[0]) else {}
        )
        self._file = AtomicFile(path)
        try:
            self._sink = EncoderSink(
                self._file.temporary,
                str(path),
                info,
                chosen,
                {**defaults, **(options or {})},
                self._notices,
                source,
                source_video,
            )
        except BaseException:
            self._file.discard()
            raise

    @property
    def warnings(self) -> list[str]:
        """What the output could not take over, one line each."""
        return self._notices.texts()

    def write(self, frame: Frame) -> None:
        """Write the next frame; times must increase. Raises OutputError, or PipeClosed on standard
        output."""
        self._sink.write(frame)

    def mux(self, packet: Packet[Stream]) -> None:
        """Copy a packet of the source's other streams; ignored when the output cannot hold its stream.

        A packet that is copied is changed and must not be used again.
        """
        if isinstance(self._sink, EncoderSink) and self._sink.wants(packet):
            self._sink.mux(packet)

    def close(self) -> None:
        """Finish the file and give it its name. Raises OutputError, and then nothing is left."""
        if not self._open:
            return
        try:
            self._sink.close()
            self._release()
        except BaseException:
            self.discard()
            raise
        self._open = False
        if self._file is not None:
            self._file.commit()

    def discard(self) -> None:
        """Stop, and remove what was written. Harmless after :meth:`close`."""
        if not self._open:
            return
        self._open = False
        if isinstance(self._sink, EncoderSink):
            self._sink.abort()
        self._release()
        if self._file is not None:
            self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _open_y4m(
        self, path: str | Path, info: VideoInfo, encoder: str | None, source: InputContainer | None
    ) -> Y4mSink:
        if encoder is not None:
            raise UsageError(f"y4m takes no encoder; leave {encoder} out, or write .mkv or .mp4")
        if source is not None and len(source.streams) > 1:
            self._notices.add("y4m streams", "y4m holds pictures only; sound and subtitles are left out")
        if str(path) == STANDARD_STREAM:
            return Y4mSink(_STANDARD_OUTPUT, info, self._notices)
        self._file = AtomicFile(path)
        self._descriptor = os.open(self._file.temporary, os.O_WRONLY)
        return Y4mSink(self._descriptor, info, self._notices)

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _encoder(path: str, suffix: str, encoder: str | None) -> str:
    """The encoder asked for, else the one that goes with the ending."""
    if encoder is not None:
        return encoder
    if suffix not in DEFAULT_ENCODERS:
        known = ", ".join((*DEFAULT_ENCODERS, Y4M_SUFFIX))
        raise UsageError(f"cannot tell what {path} should be; end it in {known}, or name an encoder")
    return DEFAULT_ENCODERS[suffix][0]
