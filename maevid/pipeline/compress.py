"""Compress a video file: read, measure, choose rates, code and write, one FrameReport a frame."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maevid.atomic import refuse_same_file
from maevid.codec.interface import CodecOptions, Encoded, FrameCodec
from maevid.codec.registry import DEFAULT_CODEC, open_codec
from maevid.errors import InputError, UsageError
from maevid.pipeline.events import (
    Aborted,
    Control,
    Event,
    Listener,
    Note,
    Phase,
    PhaseChanged,
    TargetChanged,
    Totals,
)
from maevid.pipeline.first_pass import FirstPass, FirstPassRunner
from maevid.pipeline.measure import psnr_by_plane
from maevid.pipeline.prefetch import Prefetch
from maevid.pipeline.preview import make_preview
from maevid.rate import (
    FrameCost,
    FrameStatistics,
    LumaAnalyser,
    RateController,
    RateRequest,
    RateResult,
    RateScale,
    is_cut,
    make_controller,
)
from maevid.report import FrameReport
from maevid.stream.packet import MAX_PIXELS
from maevid.stream.writer import (
    CLUSTER_BYTES,
    CLUSTER_OVERHEAD,
    CLUSTER_SECONDS,
    FILE_OVERHEAD,
    OTHER_OVERHEAD,
    PICTURE_OVERHEAD,
    SOUND_OVERHEAD,
    StreamWriter,
)
from maevid.video.frame import Frame, VideoInfo
from maevid.video.reader import VideoReader

if TYPE_CHECKING:
    import av

READ_AHEAD = 8
BATCH_SAMPLES = 400_000
"""Frames are batched up to about so many luma samples: small pictures leave a core idle one by one."""


@dataclass(frozen=True)
class CompressOptions:
    """What to compress, to where and how.

    ``measure`` decodes every frame again for its PSNR; pictures of more than ``max_pixels`` luma samples are refused.
    """

    input: str
    output: str
    request: RateRequest = field(default_factory=RateRequest)
    codec: str = DEFAULT_CODEC
    codec_options: CodecOptions = field(default_factory=CodecOptions)
    stream: int | None = None
    measure: bool = False
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class CompressResult:
    """How it ended. ``file_bytes`` is the output's size, ``damaged`` counts what of the input could not be decoded."""

    rate: RateResult
    frames: int
    file_bytes: int
    seconds: float
    damaged: int


@dataclass
class _Waiting:
    """A frame that is read and not yet coded."""

    frame: Frame
    statistics: FrameStatistics
    cut: bool
    read_seconds: float


def ignore(event: Event) -> None:
    """A listener that does not care."""


def never() -> bool:
    """Nobody looks at pictures."""
    return False


def compress(
    options: CompressOptions,
    publish: Listener = ignore,
    control: Control | None = None,
    wants_preview: Callable[[], bool] = never,
) -> CompressResult:
    """Run the whole job. Publishes every event, the final PhaseChanged included.

    ``wants_preview`` is asked after each frame whether a Preview of it would be shown; pictures are there only
    with ``options.measure``.

    Raises MaevidError for what a user can mend and Aborted where ``control`` asked for it; in both cases, as for any
    other exception, nothing is left of the output.
    """
    control = control or Control()
    try:
        result = _Job(options, publish, control, wants_preview).run()
    except BaseException as error:
        aborted = isinstance(error, Aborted) or not isinstance(error, Exception)
        publish(PhaseChanged(Phase.ABORTED if aborted else Phase.FAILED, detail=str(error)))
        raise
    publish(PhaseChanged(Phase.DONE, detail=result.rate.line()))
    return result


class _Job:
    def __init__(
        self,
        options: CompressOptions,
        publish: Listener,
        control: Control,
        wants_preview: Callable[[], bool],
    ) -> None:
        self.options, self.publish, self.control = options, publish, control
        self.wants_preview = wants_preview
        self.pixel_aspect = 1.0
        self.request = options.request

    def run(self) -> CompressResult:
        began = time.perf_counter()
        options = self.options
        if Path(options.output).suffix.lower() != ".mkv":
            raise UsageError(
                f"{options.output}: maevid writes Matroska, give the output a name that ends in .mkv"
            )
        if self.request.two_pass and options.input == "-":
            raise UsageError("standard input can be read only once: add --passes 1, or choose --quality")
        refuse_same_file(options.input, options.output)
        self.publish(PhaseChanged(Phase.OPENING))
        with self._reader() as reader:
            info = reader.info
            self.pixel_aspect = float(info.sample_aspect_ratio)
            codec = open_codec(options.codec, options.codec_options)
            self._announce(codec, info)
            scale = RateScale.of(codec.rate_indices, codec.lam)
            steps = 2 if self.request.two_pass else 1
            found = self._first_pass(codec, scale) if self.request.two_pass else None
            with StreamWriter(
                options.output,
                info,
                codec=codec.name,
                model=codec.identity,
                weights=codec.sha256,
                source=reader.container,
                video_index=reader.stream_index,
            ) as writer:
                controller = self._controller(scale, found, writer)
                self.publish(PhaseChanged(Phase.ENCODE, steps, steps))
                for line in writer.skipped:
                    self.publish(Note(f"left out: {line}"))
                self._encode(reader, codec, controller, writer)
            for line in reader.warnings:
                self.publish(Note(line))
            return CompressResult(
                controller.result(),
                writer.frames,
                writer.bytes_written,
                time.perf_counter() - began,
                reader.damaged,
            )

    def _reader(self) -> VideoReader:
        options = self.options
        return VideoReader(options.input, stream=options.stream, max_pixels=options.max_pixels)

    def _announce(self, codec: FrameCodec, info: VideoInfo) -> None:
        self.publish(
            Totals(
                source=self.options.input,
                output=self.options.output,
                frames=info.frames,
                duration=info.duration,
                width=info.width,
                height=info.height,
                target_bitrate=self.request.bitrate,
                codec=codec.name,
                device=codec.description,
            )
        )
        for line in self.request.notes():
            self.publish(Note(line))

    def _controller(self, scale: RateScale, found: FirstPass | None, writer: StreamWriter) -> RateController:
        if found is None:
            return make_controller(self.request, scale)
        timeline = found.timeline
        overhead = writer.start() + FILE_OVERHEAD + found.other_bytes
        overhead += PICTURE_OVERHEAD * len(found.seconds)
        overhead += SOUND_OVERHEAD * found.sound_packets + OTHER_OVERHEAD * found.other_packets
        full = timeline.duration / CLUSTER_SECONDS + (self.request.size or 0) / CLUSTER_BYTES
        overhead += CLUSTER_OVERHEAD * (2 + int(full))
        return make_controller(
            self.request,
            scale,
            timeline=timeline,
            costs=found.costs,
            cuts=found.cuts,
            overhead_bytes=overhead,
        )

    def _first_pass(self, codec: FrameCodec, scale: RateScale) -> FirstPass:
        self.publish(PhaseChanged(Phase.ANALYSIS, 1, 2))
        with self._reader() as reader, ExitStack() as stack:
            runner = FirstPassRunner(codec, scale.lowest, scale.highest, distortion=self.request.needs_psnr)
            events = Prefetch(_events(reader), READ_AHEAD)
            stack.callback(events.close)

            def frames() -> Iterator[Frame]:
                for event in events:
                    if isinstance(event, Frame):
                        yield event
                    else:
                        runner.found.count_other(event.size, sound=event.stream.type == "audio")

            found = runner.run(frames(), self.publish, self.control)
        if not found.seconds:
            raise InputError(f"{self.options.input} has no frame that can be decoded")
        return found

    def _encode(
        self, reader: VideoReader, codec: FrameCodec, controller: RateController, writer: StreamWriter
    ) -> None:
        samples = reader.info.width * reader.info.height
        batch = max(1, min(controller.in_flight, BATCH_SAMPLES // samples))
        reach = max(controller.lookahead, 1)
        waiting: deque[_Waiting] = deque()
        number = 0
        events = Prefetch(_events(reader), READ_AHEAD)
        try:
            for item in self._watched(events, writer):
                waiting.append(item)
                if len(waiting) >= batch + reach - 1:
                    number += self._code(waiting, batch, number, codec, controller, writer)
                    if self.control.finishing:
                        return
            while waiting:
                number += self._code(waiting, batch, number, codec, controller, writer)
        finally:
            events.close()

    def _watched(self, events: Prefetch[Any], writer: StreamWriter) -> Iterator[_Waiting]:
        analyser, recent = LumaAnalyser(), list[FrameStatistics]()
        began = time.perf_counter()
        for event in events:
            if not isinstance(event, Frame):
                writer.copy(event)
                continue
            statistics = analyser(event.y, event.seconds)
            cut = is_cut(statistics, recent)
            recent = [*recent[-7:], statistics]
            yield _Waiting(event, statistics, cut, time.perf_counter() - began)
            began = time.perf_counter()

    def _code(
        self,
        waiting: deque[_Waiting],
        batch: int,
        number: int,
        codec: FrameCodec,
        controller: RateController,
        writer: StreamWriter,
    ) -> int:
        """Code the first frames that wait, ``batch`` at most; returns how many."""
        self.control.checkpoint(self.publish)
        self._retarget(controller)
        count = min(batch, len(waiting))
        indices = []
        for offset in range(count):
            lookahead = [
                waiting[k].statistics for k in range(offset, min(offset + controller.lookahead, len(waiting)))
            ]
            self._probe(codec, controller, number + offset, waiting[offset].frame, lookahead)
            indices.append(controller.next_index(number + offset, lookahead))
        items = [waiting.popleft() for _ in range(count)]
        coded = codec.encode_batch([i.frame for i in items], indices, reconstruct=self.options.measure)
        for offset, (item, index, encoded) in enumerate(zip(items, indices, coded, strict=True)):
            self._settle(item, number + offset, index, encoded, codec, controller, writer)
        return count

    def _settle(
        self,
        item: _Waiting,
        number: int,
        index: int,
        encoded: Encoded,
        codec: FrameCodec,
        controller: RateController,
        writer: StreamWriter,
    ) -> None:
        """Show a coded frame to the controller, code it again as long as it asks, and write it."""
        report = self._report(item, number, index, encoded, codec)
        while (retry := controller.observe(report)) is not None:
            index = retry.rate_index
            encoded = codec.encode(item.frame, index, reconstruct=self.options.measure)
            report = self._report(item, number, index, encoded, codec)
        began = time.perf_counter()
        writer.write(encoded.packet)
        stages = {**report.stage_seconds, "mux": time.perf_counter() - began}
        self.publish(replace(report, buffer=controller.buffer, stage_seconds=stages))
        if encoded.reconstruction is not None and self.wants_preview():
            frame = item.frame
            self.publish(
                make_preview(number, frame.planes, encoded.reconstruction, frame.color, self.pixel_aspect)
            )

    def _probe(
        self,
        codec: FrameCodec,
        controller: RateController,
        number: int,
        frame: Frame,
        lookahead: Sequence[FrameStatistics],
    ) -> None:
        trial = controller.probe(number, lookahead)
        if trial:
            bits = codec.estimate_bits([frame], trial)[0]
            controller.learn(FrameCost(number, dict(zip(trial, bits.tolist(), strict=True))))

    def _retarget(self, controller: RateController) -> None:
        target = self.control.take_target()
        retarget = getattr(controller, "retarget", None)
        if target is not None and retarget is not None:
            retarget(target)
            self.publish(TargetChanged(target))

    def _report(
        self, item: _Waiting, number: int, index: int, encoded: Encoded, codec: FrameCodec
    ) -> FrameReport:
        frame = item.frame
        measured = {}
        if encoded.reconstruction is not None:
            measured = psnr_by_plane(frame.planes, encoded.reconstruction)
        return FrameReport(
            index=number,
            pts=frame.pts,
            seconds=frame.seconds,
            duration=float(frame.duration * frame.time_base),
            width=frame.width,
            height=frame.height,
            rate_index=index,
            lam=codec.lam(index),
            bits=8 * len(encoded.packet.to_bytes()),
            parts=encoded.parts,
            psnr=measured,
            stage_seconds={"decode": item.read_seconds, **encoded.stage_seconds},
            scene_cut=item.cut,
        )


def _events(reader: VideoReader) -> Iterator[Frame | av.Packet[Any]]:
    """Frames and packets of other streams, in the order in which the file has them."""
    others: list[av.Packet[Any]] = []
    reader.on_packet = others.append
    for frame in reader:
        yield from others
        others.clear()
        yield frame
    yield from others
