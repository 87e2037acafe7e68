"""A maevid file made picture by picture from a program's arrays, tensors or planes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from maevid.access.codecs import Device, shared_codec
from maevid.access.pictures import PictureConverter, PixelFormat
from maevid.atomic import AtomicFile
from maevid.codec.registry import DEFAULT_CODEC
from maevid.errors import OutputError, UsageError
from maevid.pipeline.compress import ignore, never
from maevid.pipeline.events import Control, Listener
from maevid.pipeline.frame_loop import FrameLoop
from maevid.rate import RateController, RateRequest, RateResult, RateScale, make_controller
from maevid.stream.writer import StreamWriter
from maevid.video.frame import ColorTags, Frame, VideoInfo

TIME_BASE = Fraction(1, 90_000)
"""Unit of times given in seconds: whole for every usual frame rate."""
_LARGEST = 2**31 - 1


class Writer:
    """Writes a maevid file: :meth:`write` for every picture, then :meth:`close`.

    The file appears under its name when it is complete. :meth:`abort`, leaving a ``with`` block by an exception, and
    any failure while coding remove what was written; a file that stood under the name stays as it was. A picture that
    is refused (UsageError) changes nothing: the writer goes on.

    Give ``fps`` (pictures a second; a Fraction is kept exactly), or a time with every picture. Give one of ``bitrate``
    (bits a second, met in one pass), ``quality`` (0 to 100) or, for every other one-pass mode, ``request``; none is
    quality 50. ``color`` says what planes mean, and primaries and transfer of RGB. ``tags`` go to the video track.
    ``device`` is where pictures are coded, ``effort`` in how many rounds each is mended by what the decoder makes of it
    (0, or some 5 for smaller files and more time). Use it from one thread at a time.

    Raises UsageError for options that make no sense, ModelError for unusable weights, OutputError where the file
    cannot be written, TargetError for a limit that cannot be kept.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        bitrate: float | None = None,
        quality: float | None = None,
        request: RateRequest | None = None,
        fps: float | Fraction | None = None,
        color: ColorTags | None = None,
        tags: Mapping[str, str] | None = None,
        codec: str = DEFAULT_CODEC,
        device: str = "auto",
        precision: str = "auto",
        weights: str | os.PathLike[str] | None = None,
        effort: int = 0,
        listener: Listener = ignore,
    ) -> None:
        self._open = False
        self.path = Path(path)
        self.frames = 0
        self._tags = dict(tags or {})
        self._listener = listener
        self._rate = None if fps is None else _frame_rate(fps)
        self._time_base = TIME_BASE if self._rate is None else 1 / self._rate
        self._convert = PictureConverter(color or ColorTags())
        self._last_pts: int | None = None
        self._info: VideoInfo | None = None
        self._format: PixelFormat | None = None
        self._stream: StreamWriter | None = None
        self._loop: FrameLoop | None = None
        if self.path.suffix.lower() != ".mkv":
            raise UsageError(f"{self.path}: maevid writes Matroska, give the file a name that ends in .mkv")
        self._device = Device(device)
        self._codec = shared_codec(
            codec, self._device, precision, None if weights is None else Path(weights), effort
        )
        self._controller = self._make_controller(bitrate, quality, request)
        # Fails at once where the output cannot be written; the file itself needs the size of the first picture.
        AtomicFile(self.path).discard()
        self._open = True

    def write(self, picture: Any, seconds: float | Fraction | None = None) -> None:
        """Take the next picture, to be shown from ``seconds`` on (not with ``fps``, which numbers them).

        A picture is uint8: an array (height, width, 3) of RGB or (height, width) of grey, a tensor (3, height, width)
        or (height, width), or a tuple of 4:2:0 planes (y, u, v) of arrays or tensors. All pictures of a file have one
        size and are of one of these kinds.

        Raises UsageError for anything else, and for a time that is not later than the last one; ValueError once the
        writer is closed; otherwise as the class says, and the writer is then aborted.
        """
        if not self._open:
            raise ValueError("the writer is closed")
        planes, color, pixels = self._convert(picture)
        pts = self._pts(seconds)
        frame = Frame(*planes, pts, self._time_base, 0 if self._rate is None else 1, color)
        self._check_alike(frame, pixels)
        try:
            with self._device.selected():
                self._frame_loop(frame, pixels).push(frame)
        except BaseException:
            self.abort()
            raise
        self._last_pts = pts
        self.frames += 1

    def close(self) -> None:
        """Code what waits, complete the file and give it its name. Harmless when closed or aborted before.

        Raises OutputError when there is no picture, and as the class says; nothing is then written.
        """
        if not self._open:
            return
        try:
            if self._loop is None or self._stream is None:
                raise OutputError(f"{self.path} was not written: there is no picture to write")
            with self._device.selected():
                self._loop.flush()
            self._stream.close()
        except BaseException:
            self.abort()
            raise
        self._open = False

    def abort(self) -> None:
        """Give up: remove what was written. Harmless after :meth:`close`."""
        if self._open:
            self._open = False
            if self._stream is not None:
                self._stream.abort()

    @property
    def result(self) -> RateResult:
        """Target, outcome, bits, frames and seconds of what is coded so far; of the whole file once it is closed."""
        return self._controller.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        # One that was forgotten must not leave a temporary file.
        if getattr(self, "_open", False):
            self.abort()

    def _make_controller(
        self, bitrate: float | None, quality: float | None, request: RateRequest | None
    ) -> RateController:
        if request is None:
            request = RateRequest(bitrate=bitrate, quality=quality, passes=None if bitrate is None else 1)
        elif bitrate is not None or quality is not None:
            raise UsageError("give bitrate, quality or request, not two of them")
        request.validate()
        if request.two_pass:
            raise UsageError(
                "a Writer sees every picture once: give the request passes=1, or use maevid.compress"
            )
        return make_controller(request, RateScale.of(self._codec.rate_indices, self._codec.lam))

    def _pts(self, seconds: float | Fraction | None) -> int:
        if self._rate is not None:
            if seconds is not None:
                raise UsageError("give the writer fps, or write() seconds, not both")
            return self.frames
        if seconds is None:
            raise UsageError("when is the picture shown? give the writer fps, or write() seconds")
        if not math.isfinite(seconds):
            raise UsageError(f"a picture cannot be shown at {seconds} s")
        pts = round(_exact(seconds) / self._time_base)
        if not -(2**62) < pts < 2**62:
            raise UsageError(f"a picture cannot be shown at {float(seconds):g} s")
        if self._last_pts is not None and pts <= self._last_pts:
            last = float(self._last_pts * self._time_base)
            raise UsageError(
                f"picture {self.frames} at {float(seconds):g} s is not later than the one before it, at {last:g} s"
            )
        return pts

    def _check_alike(self, frame: Frame, pixels: PixelFormat) -> None:
        if self._info is None:
            return
        size = f"{self._info.width}x{self._info.height}"
        if (frame.width, frame.height) != (self._info.width, self._info.height):
            raise UsageError(
                f"picture {self.frames} is {frame.width}x{frame.height}, those before it are {size}"
            )
        if pixels != self._format:
            raise UsageError(f"picture {self.frames} is {pixels}, those before it are {self._format}")

    def _frame_loop(self, first: Frame, pixels: PixelFormat) -> FrameLoop:
        """The loop that codes; made for the first picture, together with the file."""
        if self._loop is None:
            self._info = VideoInfo(
                first.width,
                first.height,
                self._time_base,
                self._rate,
                color=first.color,
                pixel_format=pixels,
            )
            self._format = pixels
            self._stream = StreamWriter(
                self.path,
                self._info,
                codec=self._codec.name,
                model=self._codec.identity,
                weights=self._codec.sha256,
                tags=self._tags,
            )
            self._loop = FrameLoop(
                self._codec,
                self._controller,
                self._stream,
                self._listener,
                Control(),
                measure=False,
                first=None,
                wants_preview=never,
            )
        return self._loop


def _frame_rate(fps: float | Fraction) -> Fraction:
    """A frame rate as a fraction; floats as the simplest one near them (29.97 is 2997/100)."""
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"fps must be positive, not {fps}")
    rate = _exact(fps) if isinstance(fps, int | Fraction) else _exact(fps).limit_denominator(1001)
    if not 0 < rate.numerator <= _LARGEST or rate.denominator > _LARGEST:
        raise UsageError(f"fps {fps} is beyond what a file can say")
    return rate


def _exact(number: float | Fraction) -> Fraction:
    """A number, NumPy's among them, as a fraction."""
    return number if isinstance(number, Fraction) else Fraction(float(number))
