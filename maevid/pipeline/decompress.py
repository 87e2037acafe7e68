"""Decompress a maevid file: every packet back to a frame, audio and subtitles along; damage costs one frame each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maevid.atomic import refuse_same_file
from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.errors import DamagedError, MaevidError, ModelError
from maevid.pipeline.compress import ignore
from maevid.pipeline.events import Control, Listener, Note, Phase, PhaseChanged, Planes, Progress, Totals
from maevid.pipeline.open import codec_for
from maevid.pipeline.prefetch import Prefetch
from maevid.stream.packet import MAX_PIXELS
from maevid.stream.reader import Coded, StreamReader
from maevid.video.frame import Frame
from maevid.video.writer import VideoWriter

if TYPE_CHECKING:
    import av

READ_AHEAD = 8


@dataclass(frozen=True)
class DecompressOptions:
    """What to decompress, to where and how.

    ``strict`` stops at the first damaged frame; pictures of more than ``max_pixels`` luma samples are refused.
    """

    input: str
    output: str
    encoder: str | None = None
    encoder_options: dict[str, str] = field(default_factory=dict)
    codec_options: CodecOptions = field(default_factory=CodecOptions)
    strict: bool = False
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class DecompressResult:
    """How it ended: frames written, and the numbers of those whose packets were damaged."""

    frames: int
    damaged: tuple[int, ...]
    truncated: bool
    seconds: float


def decompress(
    options: DecompressOptions, publish: Listener = ignore, control: Control | None = None
) -> DecompressResult:
    """Run the whole job.

    A damaged frame is reported and shows the picture before it (the first good one, at the start). Raises
    MaevidError where nothing can be decoded, and with ``strict`` for the first damaged frame.
    """
    began = time.perf_counter()
    control = control or Control()
    refuse_same_file(options.input, options.output)
    with StreamReader(Path(options.input), max_pixels=options.max_pixels) as reader:
        codec = codec_for(reader, options.codec_options)
        info = reader.info
        publish(
            Totals(
                source=options.input,
                output=options.output,
                frames=len(reader),
                duration=info.duration,
                width=info.width,
                height=info.height,
                codec=codec.name,
                device=codec.description,
            )
        )
        publish(PhaseChanged(Phase.ENCODE))
        writer = VideoWriter(
            options.output,
            info,
            encoder=options.encoder,
            options=options.encoder_options,
            source=reader.container,
            source_video=reader.video_index,
        )
        damaged: list[int] = []
        events = Prefetch(_events(reader), READ_AHEAD)
        try:
            with writer:
                for frame in _frames(events, codec, reader, writer, damaged, publish, options.strict):
                    control.checkpoint(publish)
                    writer.write(frame)
        finally:
            events.close()
        for line in writer.warnings:
            publish(Note(line))
        if reader.truncated:
            publish(Note(f"{options.input} is cut short: {len(reader)} whole frames are left of it"))
        return DecompressResult(len(reader), tuple(damaged), reader.truncated, time.perf_counter() - began)


def _frames(
    events: Prefetch[Any],
    codec: FrameCodec,
    reader: StreamReader,
    writer: VideoWriter,
    damaged: list[int],
    publish: Listener,
    strict: bool,
) -> Iterator[Frame]:
    """Decoded frames in order; those before the first good picture wait for it."""
    last: Planes | None = None
    waiting: list[Coded] = []
    for event in _decoded(events, codec, reader):
        if not isinstance(event, tuple):
            writer.mux(event)
            continue
        coded, planes = event
        try:
            last = planes()
        except (DamagedError, ModelError) as error:
            if strict:
                raise
            damaged.append(coded.index)
            text = str(error)
            publish(Note(text if text.startswith("frame ") else f"frame {coded.index}: {text}"))
        waiting.append(coded)
        if last is not None:
            for held in waiting:
                yield _frame(held, last, reader)
                publish(Progress(held.index + 1))
            waiting.clear()
    if last is None:
        raise MaevidError(f"{reader.path}: every frame is damaged; nothing was written")


def _decoded(
    events: Prefetch[Any], codec: FrameCodec, reader: StreamReader
) -> Iterator[tuple[Coded, Callable[[], Planes]] | av.Packet[Any]]:
    """Every event in order, pictures with what waits for their planes; some are under way before they are asked for."""

    def decode(coded: Coded) -> Planes:
        packet = coded.unwrap()
        reader.check_size(packet)
        return codec.decode(packet)

    # It imports PyTorch, which the codec has by now.
    from maevid.model.workers import submit

    lanes = codec.lanes(reader.info.width * reader.info.height)
    ahead: deque[tuple[Coded, Callable[[], Planes]] | av.Packet[Any]] = deque()
    for event in events:
        if not isinstance(event, Coded):
            ahead.append(event)
        elif lanes == 1:
            ahead.append((event, partial(decode, event)))
        else:
            ahead.append((event, submit(lanes, decode, event).result))
        if len(ahead) > lanes:
            yield ahead.popleft()
    yield from ahead


def _frame(coded: Coded, planes: Planes, reader: StreamReader) -> Frame:
    duration = coded.packet.duration if coded.packet is not None else 0
    return Frame(*planes, coded.pts, reader.info.time_base, duration, reader.info.color)


def _events(reader: StreamReader) -> Iterator[Coded | av.Packet[Any]]:
    """Coded pictures and packets of other streams, each at its time."""
    others: list[av.Packet[Any]] = []
    for coded in reader.packets(others.append):
        yield from others
        others.clear()
        yield coded
    yield from others
