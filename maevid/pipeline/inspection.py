"""A finished file under inspection: its frames as reports, pictures and maps of bits, decoded when asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.errors import DamagedError, ModelError
from maevid.pipeline.events import Listener, Phase, PhaseChanged, Planes, Progress, Totals
from maevid.pipeline.measure import psnr_by_plane
from maevid.pipeline.open import codec_for
from maevid.pipeline.source_frames import SourceFrames
from maevid.rate import SceneWatcher
from maevid.report import FrameReport
from maevid.stream.info import FileFacts, facts_of
from maevid.stream.packet import MAX_PIXELS, Packet
from maevid.stream.reader import StreamReader
from maevid.stream.verify import PacketCheck, verify


class Inspection:
    """An open maevid file, and the video that it was made from where ``source`` is given (its video ``stream``).

    Nothing is decoded until it is asked for, but for :meth:`measure`. Damaged frames are in :attr:`reports` too: the
    rate index of one whose header is damaged is -1 and its λ NaN. Not for several threads at once. Raises what
    :class:`~maevid.stream.reader.StreamReader` and the codec raise, and InputError where the source's pictures
    are of another size.
    """

    def __init__(
        self,
        path: Path,
        options: CodecOptions,
        source: Path | None = None,
        stream: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._stack = ExitStack()
        self.path = path
        try:
            self._reader = self._stack.enter_context(StreamReader(path, max_pixels=max_pixels))
            self.codec: FrameCodec = codec_for(self._reader, options)
            self._source: SourceFrames | None = None
            if source is not None:
                info = self._reader.info
                self._source = SourceFrames(source, (info.width, info.height), self._seconds, stream)
                self._stack.callback(self._source.close)
            self.reports: Sequence[FrameReport] = [self._report(i) for i in range(len(self._reader))]
        except BaseException:
            self._stack.close()
            raise
        self._checks: Iterator[PacketCheck] = verify(self._reader, self.codec)
        self._problems: list[str] = []

    @property
    def pixel_aspect(self) -> float:
        """Width of a sample over its height."""
        return float(self._reader.info.sample_aspect_ratio)

    @property
    def facts(self) -> FileFacts:
        """What is known of the file without decoding."""
        return facts_of(self._reader)

    def measure(self, publish: Listener) -> None:
        """Decode every frame and put its PSNR against the source, and the source's cuts, into :attr:`reports`.

        Frames that are damaged, or that the source does not have, stay without.
        """
        watch = SceneWatcher()
        publish(Totals(source=str(self.path), frames=len(self._reader)))
        publish(PhaseChanged(Phase.ANALYSIS))
        measured = []
        for report in self.reports:
            cut = False
            if (source := self.source(report.index)) is not None:
                _, cut = watch(source[0], report.seconds)
            measured.append(replace(report, psnr=self._psnr(report.index), scene_cut=cut))
            publish(Progress(report.index + 1))
        self.reports = measured

    def picture(self, index: int) -> Planes:
        """Decode one frame. Raises DamagedError, and ModelError for a packet of other weights."""
        return self.codec.decode(self._packet(index))

    def block_bits(self, index: int) -> npt.NDArray[np.float64] | None:
        """Bits of each 16×16 block of one frame; None where the codec cannot tell. Raises as :meth:`picture` does."""
        return self.codec.block_bits(self._packet(index))

    def check(self, index: int) -> str:
        """What is wrong with a packet, empty when it is good; the packets before it are checked too, once."""
        while len(self._problems) <= index:
            try:
                self._problems.append(next(self._checks).problem or "")
            except ModelError as error:
                self._problems += [str(error)] * (len(self._reader) - len(self._problems))
        return self._problems[index]

    def source(self, index: int) -> Planes | None:
        """The source's frame of that number; None without a source or beyond its end."""
        frame = None if self._source is None else self._source(index)
        return None if frame is None else frame.planes

    def close(self) -> None:
        """Release the files."""
        self._stack.close()

    def _packet(self, index: int) -> Packet:
        packet = self._reader.packet(index)
        self._reader.check_size(packet)
        return packet

    def _psnr(self, index: int) -> dict[str, float]:
        source = self.source(index)
        if source is None:
            return {}
        try:
            return psnr_by_plane(source, self.picture(index))
        except (DamagedError, ModelError):
            return {}

    def _seconds(self, index: int) -> float:
        return float(self._reader.pts(index) * self._reader.info.time_base)

    def _duration(self, index: int) -> float:
        """Until the next frame where the packet does not tell."""
        header = self._reader.header_facts(index)
        if header is not None and header.duration:
            return float(header.duration * self._reader.info.time_base)
        at = min(index, len(self._reader) - 2)
        return max(self._seconds(at + 1) - self._seconds(at), 0.0) if at >= 0 else 0.0

    def _report(self, index: int) -> FrameReport:
        info = self._reader.info
        header = self._reader.header_facts(index)
        rate_index = -1 if header is None else header.rate_index
        known = rate_index in self.codec.rate_indices
        return FrameReport(
            index=index,
            pts=self._reader.pts(index),
            seconds=self._seconds(index),
            duration=self._duration(index),
            width=info.width,
            height=info.height,
            rate_index=rate_index,
            lam=self.codec.lam(rate_index) if known else math.nan,
            bits=8 * header.size if header is not None else 0,
        )
