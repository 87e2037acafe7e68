"""YUV4MPEG2 out: raw pictures with a short text header, for pipes into players and other encoders."""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np

from maevid.atomic import reason
from maevid.errors import MaevidError, OutputError
from maevid.video.frame import Frame, VideoInfo
from maevid.video.notices import Notices
from maevid.video.timeline import DEFAULT_RATE

_INTERLACING = {0: "?", 1: "p", 2: "t", 3: "b", 4: "t", 5: "b"}


class PipeClosed(MaevidError):
    """Whoever read our standard output has gone (``| head``, a player that was closed): stop, and say
    nothing.

    Not a failure. The command line prints no message and exits as a program killed by SIGPIPE does, 128 +
    13.
    """

    exit_code = 141


class Y4mSink:
    """Writes frames to a file descriptor, unbuffered, so that a reader sees each as soon as it is written.

    The format knows one frame rate and no times: ``info.average_rate`` stands in the header, and a source
    whose times differ from it by more than half a frame is told in ``notices``. Full range is marked as
    FFmpeg does (``XCOLORRANGE``); matrix, primaries, transfer, rotation, sound and subtitles have no place
    in it.
    """

    def __init__(self, descriptor: int, info: VideoInfo, notices: Notices) -> None:
        self._descriptor = descriptor
        self._info = info
        self._notices = notices
        self._rate = info.average_rate or DEFAULT_RATE
        self._first: Fraction | None = None
        self._count = 0
        if info.average_rate is None:
            notices.add("y4m rate", f"the source tells no frame rate; y4m says {DEFAULT_RATE}")
        if info.rotation:
            notices.add(
                "y4m rotation", f"y4m cannot say that the picture is turned by {info.rotation} degrees"
            )

    def write(self, frame: Frame) -> None:
        """Write one frame. Raises PipeClosed when nobody reads any more, OutputError for any other
        failure."""
        if self._first is None:
            self._first = frame.pts * frame.time_base
            self._send(self._header(frame))
        elapsed = frame.pts * frame.time_base - self._first
        if abs(elapsed - self._count / self._rate) > 1 / (2 * self._rate):
            self._notices.add(
                "y4m times",
                f"the frame rate varies; y4m plays all frames at {float(self._rate):.3f} a second",
            )
        self._count += 1
        self._send(b"FRAME\n", *(np.ascontiguousarray(plane).data.cast("B") for plane in frame.planes))

    def close(self) -> None:
        """Nothing is pending: every frame went out when it was written."""

    def _header(self, frame: Frame) -> bytes:
        info = self._info
        aspect = info.sample_aspect_ratio
        text = (
            f"YUV4MPEG2 W{frame.width} H{frame.height} F{self._rate.numerator}:{self._rate.denominator} "
            f"I{_INTERLACING.get(info.field_order, '?') if info.interlaced else 'p'} "
            f"A{aspect.numerator}:{aspect.denominator} C420mpeg2"
        )
        if frame.color.full_range is not None:
            text += f" XCOLORRANGE={'FULL' if frame.color.full_range else 'LIMITED'}"
        return text.encode() + b"\n"

    def _send(self, *parts: bytes | memoryview) -> None:
        """Write all parts, however many calls a full pipe makes of it."""
        pending = [memoryview(part) for part in parts]
        try:
            while pending:
                written = os.writev(self._descriptor, pending)
                while pending and written >= len(pending[0]):
                    written -= len(pending.pop(0))
                if written:
                    pending[0] = pending[0][written:]
        except BrokenPipeError as error:
            raise PipeClosed("the reader of standard output has gone") from error
        except OSError as error:
            raise OutputError(f"writing y4m failed: {reason(error)}") from error
