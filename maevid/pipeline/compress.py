"""Compress a video file: read, measure, choose rates, code and write, one FrameReport a frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from maevid.atomic import AtomicFile, read_only_once, refuse_same_file
from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.codec.registry import DEFAULT_CODEC
from maevid.errors import UsageError
from maevid.pipeline.beside import bytes_beside
from maevid.pipeline.clip import Clip
from maevid.pipeline.events import (
    Aborted,
    BesideVideo,
    Control,
    Event,
    Listener,
    Note,
    Phase,
    PhaseChanged,
    Totals,
)
from maevid.pipeline.first_pass import first_pass
from maevid.pipeline.frame_loop import FrameLoop
from maevid.pipeline.resume import KeptWork
from maevid.pipeline.rungs import find_rungs
from maevid.pipeline.team import Team, open_team, refuse_on_cluster
from maevid.rate import (
    FirstPass,
    RateController,
    RateRequest,
    RateResult,
    RateScale,
    StatisticsKey,
    StatisticsWriter,
    Trials,
    make_controller,
    read_first_pass,
)
from maevid.report import FrameReport
from maevid.stream.packet import MAX_PIXELS
from maevid.stream.writer import StreamWriter
from maevid.video.frame import VideoInfo
from maevid.video.source import shown_name


@dataclass(frozen=True)
class CompressOptions:
    """What to compress, to where and how. ``measure`` decodes every frame again for its PSNR.

    ``statistics_in`` takes the place of the first pass; ``statistics_out`` keeps it, with all reports.
    Pictures of more than ``max_pixels`` luma samples are refused. ``resume`` goes on with an interrupted encode of the
    same options (:mod:`maevid.pipeline.resume`). ``cluster`` names who codes the frames: ``local``, the address of a
    Dask scheduler, or None for this process.
    """

    input: str
    output: str
    request: RateRequest = field(default_factory=RateRequest)
    codec: str = DEFAULT_CODEC
    codec_options: CodecOptions = field(default_factory=CodecOptions)
    stream: int | None = None
    measure: bool = False
    statistics_in: Path | None = None
    statistics_out: Path | None = None
    max_pixels: int = MAX_PIXELS
    resume: bool = False
    cluster: str | None = None


@dataclass(frozen=True)
class CompressResult:
    """How it ended. ``file_bytes`` is the output's size, ``damaged`` counts what of the input could not be decoded."""

    rate: RateResult
    frames: int
    file_bytes: int
    seconds: float
    damaged: int


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
    other exception, nothing is left of the output. After KeyboardInterrupt, or where the output cannot be written,
    the frames coded so far stay in a hidden file beside it, for ``options.resume``.
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
        self.request = options.request

    def run(self) -> CompressResult:
        began = time.perf_counter()
        options = self.options
        if Path(options.output).suffix.lower() != ".mkv":
            raise UsageError(
                f"{options.output}: maevid writes Matroska, give the output a name that ends in .mkv"
            )
        if read_only_once(options.input):
            name = shown_name(options.input)
            if self.request.two_pass:
                raise UsageError(f"{name} can be read only once: add --passes 1, or choose --quality")
            if options.resume:
                raise UsageError(f"{name} can be read only once: --resume takes a file, from its start")
        refuse_same_file(options.input, options.output)
        # A place that cannot be written is told now and not after the first pass.
        AtomicFile(options.output).discard()
        if options.cluster is not None:
            refuse_on_cluster(options.cluster, self.request)
        self.publish(PhaseChanged(Phase.OPENING))
        with (
            Clip(options.input, stream=options.stream, max_pixels=options.max_pixels) as clip,
            closing(open_team(options.codec, options.codec_options, options.cluster, self.publish)) as team,
        ):
            info = clip.info
            codec = team.codec
            self._announce(codec, info)
            scale = RateScale.of(codec.rate_indices, codec.lam)
            steps = 2 if self.request.two_pass else 1
            kept = KeptWork(options, codec, team.arithmetic, self.publish)
            found = kept.first_pass(self.control, lambda: self._measure(team, scale, clip))
            with (
                kept,
                self._statistics(found, info, codec, kept.token) as told,
                StreamWriter(
                    options.output,
                    info,
                    codec=codec.name,
                    model=codec.identity,
                    weights=codec.sha256,
                    source=clip.reader.container,
                    video_index=clip.reader.stream_index,
                    token=kept.token,
                ) as writer,
            ):
                controller = self._controller(scale, found, writer)
                self.publish(PhaseChanged(Phase.ENCODE, steps, steps))
                for line in writer.skipped:
                    self.publish(Note(f"left out: {line}"))
                with clip.events() as events:
                    FrameLoop(
                        kept.codec,
                        controller,
                        writer,
                        self.publish if told is None else partial(self._tell, told),
                        self.control,
                        options.measure,
                        found,
                        self.wants_preview,
                        float(info.sample_aspect_ratio),
                    ).run(
                        team.coding(
                            events,
                            controller,
                            measure=options.measure,
                            planned=None if found is None else len(found.seconds),
                        )
                    )
            for line in clip.warnings:
                self.publish(Note(line))
            self.publish(BesideVideo(writer.bytes_written - writer.packet_bytes, whole=True))
            rate = controller.result()
            if self.request.size is not None:
                # The controller knows only what the container can take at most.
                rate = replace(rate, achieved=float(writer.bytes_written))
            return CompressResult(
                rate,
                writer.frames,
                writer.bytes_written,
                time.perf_counter() - began,
                clip.damaged,
            )

    def _statistics(
        self, found: FirstPass | None, info: VideoInfo, codec: FrameCodec, token: str
    ) -> AbstractContextManager[StatisticsWriter | None]:
        """The statistics file where one is wanted: reports go there as they come, for they take too much memory."""
        if self.options.statistics_out is None:
            return nullcontext()
        key = StatisticsKey(info.width, info.height, codec.name, codec.identity.hex())
        return StatisticsWriter(self.options.statistics_out, key, found or FirstPass(), token)

    def _tell(self, told: StatisticsWriter, event: Event) -> None:
        if isinstance(event, FrameReport):
            told.frame(event)
        self.publish(event)

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
        beside = bytes_beside(self.request, found, writer.start())
        self.publish(BesideVideo(beside, whole=True))
        return make_controller(
            self.request,
            scale,
            timeline=found.timeline,
            costs=found.costs,
            cuts=found.cuts,
            rungs=found.rungs,
            overhead_bytes=beside,
        )

    def _measure(self, team: Team, scale: RateScale, clip: Clip) -> FirstPass | None:
        """What the first pass finds, or has found before; None where the request needs none."""
        options, codec, info = self.options, team.codec, clip.info
        key = StatisticsKey(info.width, info.height, codec.name, codec.identity.hex())
        if options.statistics_in is not None:
            return read_first_pass(options.statistics_in, key)
        if not self.request.two_pass:
            return None
        self.publish(PhaseChanged(Phase.ANALYSIS, 1, 2))
        # Where PSNR decides, every sampled frame needs its whole curve.
        needs_psnr = self.request.needs_psnr
        near = None if needs_psnr else self.request.rate_near(info.duration)
        trials = Trials(scale.lowest, scale.highest, near, whole_file=self.request.size is not None)
        return first_pass(
            clip,
            codec,
            trials,
            self.publish,
            self.control,
            distortion=needs_psnr,
            curve=options.measure,
            shown=partial(team.analysing, trials=trials, curve=needs_psnr or options.measure),
            finish=partial(find_rungs, codec, self.request, scale),
        )
