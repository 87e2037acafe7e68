"""The inner loop of an encode: frames in, rate indices asked for, frames coded, packets written, reports told."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from maevid.codec.interface import Encoded, FrameCodec
from maevid.errors import InputError
from maevid.pipeline.events import BesideVideo, Control, Listener, TargetChanged
from maevid.pipeline.measure import measured
from maevid.pipeline.preview import make_preview
from maevid.rate import FirstPass, FrameCost, FrameStatistics, RateController, SceneWatcher
from maevid.report import FrameReport
from maevid.stream.overhead import largest_overhead
from maevid.stream.packet import Packet
from maevid.stream.writer import StreamWriter
from maevid.video.frame import Frame

if TYPE_CHECKING:
    import av

BATCH_SAMPLES = 4_200_000
"""Frames are coded together up to about so many luma samples; the same on every machine, for bytes depend on it."""


def batch_of(controller: RateController, frame: Frame) -> int:
    """How many frames like this one are coded together."""
    return max(1, min(controller.in_flight, BATCH_SAMPLES // (frame.width * frame.height)))


@dataclass
class _Waiting:
    """A frame that is read and not yet coded; without ``statistics`` where cuts are known and nobody asks for more."""

    frame: Frame
    statistics: FrameStatistics | None
    cut: bool
    read_seconds: float


class PacketSink(Protocol):
    """Where coded frames go, in their order: a file (StreamWriter), or whatever else takes packets."""

    def write(self, packet: Packet) -> object:
        """Take the next packet."""


@dataclass
class FrameLoop:
    """Drives one codec with one controller into one file, or frame by frame (:meth:`push`) into any other sink.

    ``measure`` decodes every frame again for its PSNR, and then ``wants_preview`` is asked whether a picture of it
    would be shown. ``first`` is what the first pass found, None where there was none.
    """

    codec: FrameCodec
    controller: RateController
    writer: PacketSink
    publish: Listener
    control: Control
    measure: bool
    first: FirstPass | None
    wants_preview: Callable[[], bool]
    pixel_aspect: float = 1.0

    def __post_init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._number = 0
        self._batch = 1
        self._watch = SceneWatcher()
        self._cuts = None if self.first is None or self.controller.lookahead else {0, *self.first.cuts}
        self._pushed = 0
        self._began = time.perf_counter()

    def run(self, events: Iterable[Frame | av.Packet[Any]]) -> None:
        """Code all frames into a file, and copy the other packets between them. Raises as :meth:`push` does."""
        writer = self.writer
        assert isinstance(writer, StreamWriter), "only a file has other streams beside the pictures"
        self._began = time.perf_counter()
        for event in events:
            if isinstance(event, Frame):
                if self.push(event) and self.control.finishing:
                    return
                continue
            writer.copy(event)
            if self.first is None:
                # Nobody has counted ahead.
                self.publish(BesideVideo(_beside(writer), whole=False))
        self.flush()

    def push(self, frame: Frame) -> bool:
        """Take a frame, and code some of those that wait once there are enough; returns whether there were.

        Raises InputError for more frames than were planned, TargetError for a limit that cannot be kept, Aborted.
        """
        if self._cuts is None:
            statistics, cut = self._watch(frame.y, frame.seconds)
        else:
            statistics, cut = None, self._pushed in self._cuts
        self._pushed += 1
        self._waiting.append(_Waiting(frame, statistics, cut, time.perf_counter() - self._began))
        self._batch = batch_of(self.controller, frame)
        enough = len(self._waiting) >= self._batch + max(self.controller.lookahead, 1) - 1
        if enough:
            self._code(self._batch)
        self._began = time.perf_counter()
        return enough

    def flush(self) -> None:
        """Code all frames that wait. Raises as :meth:`push` does."""
        while self._waiting:
            self._code(self._batch)

    def _code(self, batch: int) -> None:
        """Code the first frames that wait, ``batch`` at most."""
        self.control.checkpoint(self.publish)
        self._retarget()
        count = self._allowed(min(batch, len(self._waiting)))
        indices = []
        for offset in range(count):
            end = min(offset + self.controller.lookahead, len(self._waiting))
            ahead = (self._waiting[k].statistics for k in range(offset, end))
            lookahead = [statistics for statistics in ahead if statistics is not None]
            self._probe(self._number + offset, self._waiting[offset].frame, lookahead)
            indices.append(self.controller.next_index(self._number + offset, lookahead))
        items = [self._waiting.popleft() for _ in range(count)]
        coded = self.codec.encode_batch([i.frame for i in items], indices, reconstruct=self.measure)
        for item, index, encoded in zip(items, indices, coded, strict=True):
            self._settle(item, index, encoded)
            self._number += 1

    def _allowed(self, count: int) -> int:
        """How many of ``count`` frames the plan has room for."""
        if self.first is None:
            return count
        planned = len(self.first.seconds)
        if self._number + count <= planned:
            return count
        if self.control.finishing:
            # The first pass was ended early: what it has seen is coded.
            return planned - self._number
        raise InputError(
            f"there are more than the {planned} frames that the first pass or the statistics have: "
            "they belong to another clip, or the input has grown"
        )

    def _settle(self, item: _Waiting, index: int, encoded: Encoded) -> None:
        """Show a coded frame to the controller, code it again as long as it asks, and write it."""
        report = self._report(item, index, encoded)
        while (retry := self.controller.observe(report)) is not None:
            encoded = self.codec.encode(item.frame, retry.rate_index, reconstruct=self.measure)
            report = self._report(item, retry.rate_index, encoded)
        began = time.perf_counter()
        self.writer.write(encoded.packet)
        stages = {**report.stage_seconds, "mux": time.perf_counter() - began}
        self.publish(replace(report, buffer=self.controller.buffer, stage_seconds=stages))
        if encoded.reconstruction is not None and self.wants_preview():
            frame = item.frame
            self.publish(
                make_preview(
                    report.index, frame.planes, encoded.reconstruction, frame.color, self.pixel_aspect
                )
            )

    def _probe(self, number: int, frame: Frame, lookahead: Sequence[FrameStatistics]) -> None:
        trial = self.controller.probe(number, lookahead)
        if trial:
            bits = self.codec.estimate_bits([frame], trial)[0]
            self.controller.learn(FrameCost(number, dict(zip(trial, bits.tolist(), strict=True))))

    def _retarget(self) -> None:
        target = self.control.take_target()
        retarget = getattr(self.controller, "retarget", None)
        if target is not None and retarget is not None:
            retarget(target)
            self.publish(TargetChanged(target))

    def _report(self, item: _Waiting, index: int, encoded: Encoded) -> FrameReport:
        return report_on(
            item.frame,
            self._number,
            index,
            lam=self.codec.lam(index),
            bits=8 * len(encoded.packet.to_bytes()),
            parts=encoded.parts,
            psnr=measured(item.frame, encoded).psnr,
            stage_seconds={"decode": item.read_seconds, **encoded.stage_seconds},
            scene_cut=item.cut,
        )


def report_on(frame: Frame, number: int, rate_index: int, **found: Any) -> FrameReport:
    """The report of a frame at a rate index; ``found`` are the fields that coding gives."""
    return FrameReport(
        index=number,
        pts=frame.pts,
        seconds=frame.seconds,
        duration=float(frame.duration * frame.time_base),
        width=frame.width,
        height=frame.height,
        rate_index=rate_index,
        **found,
    )


def _beside(writer: StreamWriter) -> int:
    """Bytes that a file has so far beside the pictures; the muxer may still hold some of them."""
    overhead = largest_overhead(
        pictures=writer.frames,
        sound=writer.copied,
        other=0,
        seconds=0.0,
        file_bytes=writer.packet_bytes + writer.copied_bytes,
    )
    return writer.start() + writer.copied_bytes + overhead
