"""A finished file under inspection: its frames as reports, pictures and maps of bits, decoded when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.errors import DamagedError, InputError
from maevid.pipeline.events import Listener, Planes, Progress, Totals
from maevid.pipeline.measure import psnr_by_plane
from maevid.pipeline.open import codec_for
from maevid.report import FrameReport
from maevid.stream.info import FileFacts, facts_of
from maevid.stream.packet import MAX_PIXELS, Packet
from maevid.stream.reader import StreamReader
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader


class Inspection:
    """An open maevid file, and the video that it was made from where ``source`` is given.

    Nothing is decoded until it is asked for, but for :meth:`measure`. Not for several threads at once. Raises what
    :class:`~maevid.stream.reader.StreamReader` and the codec raise, and InputError where the source's pictures
    are of another size.
    """

    def __init__(
        self, path: Path, options: CodecOptions, source: Path | None = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        self._stack = ExitStack()
        self.path, self._source_path = path, source
        try:
            self._reader = self._stack.enter_context(StreamReader(path, max_pixels=max_pixels))
            self.codec: FrameCodec = codec_for(self._reader, options)
            self._source: Iterator[Frame] = iter(())
            self._source_at = 0
            self._source_frame: Frame | None = None
            if source is not None:
                self._rewind()
            self.reports: Sequence[FrameReport] = [self._report(i) for i in range(len(self._reader))]
        except BaseException:
            self._stack.close()
            raise

    @property
    def pixel_aspect(self) -> float:
        """Width of a sample over its height."""
        return float(self._reader.info.sample_aspect_ratio)

    @property
    def facts(self) -> FileFacts:
        """What is known of the file without decoding."""
        return facts_of(self._reader)

    def measure(self, publish: Listener) -> None:
        """Decode every frame and put its PSNR against the source into :attr:`reports`. Needs a source."""
        publish(Totals(source=str(self.path), frames=len(self._reader)))
        measured = []
        for report in self.reports:
            source = self.source(report.index)
            if source is not None:
                try:
                    planes = self.picture(report.index)
                except DamagedError:
                    planes = None
                if planes is not None:
                    report = replace(report, psnr=psnr_by_plane(source, planes))  # noqa: PLW2901
            measured.append(report)
            publish(Progress(report.index + 1))
        self.reports = measured

    def picture(self, index: int) -> Planes:
        """Decode one frame. Raises DamagedError."""
        return self.codec.decode(self._packet(index))

    def block_bits(self, index: int) -> npt.NDArray[np.float64] | None:
        """Bits of each 16×16 block of one frame; None where the codec cannot tell. Raises DamagedError."""
        return self.codec.block_bits(self._packet(index))

    def check(self, index: int) -> str:
        """What is wrong with a packet, empty when it is good."""
        try:
            self.codec.check(self._packet(index))
        except DamagedError as error:
            return str(error)
        return ""

    def source(self, index: int) -> Planes | None:
        """The source's frame of that number; None without a source or beyond its end. Forward steps are cheap."""
        if self._source_path is None:
            return None
        if index < self._source_at - 1:
            self._rewind()
        while self._source_at <= index:
            self._source_frame = next(self._source, None)
            self._source_at += 1
        frame = self._source_frame
        if frame is None:
            return None
        size = (self._reader.info.width, self._reader.info.height)
        if (frame.width, frame.height) != size:
            raise InputError(
                f"{self._source_path} has pictures of {frame.width}x{frame.height}, the file {size[0]}x{size[1]}: "
                "is it the source of this file?"
            )
        return frame.planes

    def close(self) -> None:
        """Release the files."""
        self._stack.close()

    def _packet(self, index: int) -> Packet:
        packet = self._reader.packet(index)
        self._reader.check_size(packet)
        return packet

    def _rewind(self) -> None:
        assert self._source_path is not None
        self._source = iter(
            self._stack.enter_context(VideoReader(self._source_path, max_pixels=self._reader.max_pixels))
        )
        self._source_at, self._source_frame = 0, None

    def _report(self, index: int) -> FrameReport:
        info = self._reader.info
        header = self._reader.header_facts(index)
        rate_index = header.rate_index if header is not None and header.rate_index >= 0 else 0
        pts = self._reader.pts(index)
        return FrameReport(
            index=index,
            pts=pts,
            seconds=float(pts * info.time_base),
            duration=float((header.duration if header else 0) * info.time_base),
            width=info.width,
            height=info.height,
            rate_index=rate_index,
            lam=self.codec.lam(rate_index),
            bits=8 * header.size if header else 0,
        )
