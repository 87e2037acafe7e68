"""The first of two passes: times of all frames, cuts, and the rate of sampled frames at a few rate indices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maevid.codec.interface import FrameCodec
from maevid.errors import InputError
from maevid.pipeline.events import Control, Listener, Progress, RdCurve
from maevid.pipeline.measure import measured
from maevid.pipeline.prefetch import Prefetch
from maevid.pipeline.team import FrameEvents
from maevid.rate import FirstPass, FrameCost, SceneWatcher, Trials
from maevid.report import weighted_psnr
from maevid.stream.overhead import largest_overhead
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader

if TYPE_CHECKING:
    import av

READ_AHEAD = 8
SHORT_CLIP = 24
"""Clips up to so many frames are measured whole."""
SAMPLE_EVERY = 8
"""In longer ones every eighth frame of each scene is."""


def sampled(frames: Iterator[tuple[Frame, bool]]) -> Iterator[tuple[int, Frame]]:
    """Which frames to measure, decided while they stream by; at most 24 frames are held back.

    ``frames`` gives each frame and whether a scene starts with it. Yields (number, frame), in order.
    """
    held: list[tuple[int, Frame, bool]] = []
    scene = 0
    for number, (frame, cut) in enumerate(frames):
        if number < SHORT_CLIP:
            held.append((number, frame, cut))
            continue
        backlog, held = [*held, (number, frame, cut)], []
        for at, picture, starts in backlog:
            if starts:
                scene = at
            if (at - scene) % SAMPLE_EVERY == 0:
                yield at, picture
    yield from ((at, frame) for at, frame, _ in held)


@dataclass
class Beside:
    """What a file will hold beside the pictures' packets, judged by what has come of the source so far."""

    bytes: int = 0
    packets: int = 0
    _first: float = math.inf
    _last: float = -math.inf

    def take(self, packet: av.Packet[Any]) -> None:
        """Take note of a packet that is not the video's."""
        self.bytes += packet.size
        self.packets += 1
        if packet.pts is not None and packet.time_base:
            began = float(packet.pts * packet.time_base)
            self._first = min(self._first, began)
            self._last = max(self._last, began + float((packet.duration or 0) * packet.time_base))

    def rate(self, pictures: int, seconds: float) -> float:
        """Bits per second, container counted, after so many pictures within ``seconds`` (> 0).

        Packets are set against their own times, so it does not matter how far sound runs ahead of the pictures.
        """
        container = largest_overhead(pictures=pictures, sound=0, other=0, seconds=seconds, file_bytes=0)
        sound = largest_overhead(pictures=0, sound=self.packets, other=0, seconds=seconds, file_bytes=0)
        return 8 * (container / seconds + (self.bytes + sound) / max(self._last - self._first, seconds))


class FirstPassRunner:
    """Measures one clip with one codec, at the rate indices that ``trials`` names.

    ``distortion`` measures the PSNR-Y of every sampled frame as well, ``curve`` the R-D curve of those that are tried
    over the whole range (both by coding for real).
    """

    def __init__(self, codec: FrameCodec, trials: Trials, *, distortion: bool, curve: bool = False) -> None:
        self.codec = codec
        self.trials = trials
        self.distortion = distortion
        self.curve = curve or distortion
        self.found = FirstPass()
        self.beside = Beside()
        self._points: list[list[tuple[float, float]]] = []

    def run(self, frames: Iterator[Frame], publish: Listener, control: Control) -> FirstPass:
        """Go through all frames. Raises Aborted when the control says so.

        Where distortion is measured, the mean of the sampled frames is published as the clip's R-D curve.
        """
        for number, frame in sampled(self._watched(frames, publish, control)):
            cost = self._measure(number, frame)
            self.found.costs.append(cost)
            self.trials.learn(cost.bits)
        if self._points:
            rates, decibels = np.mean(self._points, axis=0).T.tolist()
            publish(RdCurve(tuple(rates), tuple(decibels)))
        return self.found

    def _watched(
        self, frames: Iterator[Frame], publish: Listener, control: Control
    ) -> Iterator[tuple[Frame, bool]]:
        watch = SceneWatcher()
        for number, frame in enumerate(frames):
            control.checkpoint(publish)
            if control.finishing:
                return
            _, cut = watch(frame.y, frame.seconds)
            if cut and number:
                self.found.cuts.append(number)
            self.found.seconds.append(frame.seconds)
            self.found.last_duration = float(frame.duration * frame.time_base)
            yield frame, cut
            publish(Progress(number + 1))

    def _measure(self, number: int, frame: Frame) -> FrameCost:
        over_range = self.trials.first()
        bits: dict[int, float] = {}
        decibels: dict[int, float] = {}
        if over_range and self.curve:
            bits, decibels = self._code(frame, over_range)
        elif over_range:
            bits = self._estimate(frame, over_range)
        each, pictures = self._seconds_per_frame(), len(self.found.seconds)
        near = self.trials.near(bits, each, self.beside.rate(pictures, pictures * each))
        if near:
            bits = bits | self._estimate(frame, near)
        return FrameCost(number, bits, decibels if self.distortion else {})

    def _seconds_per_frame(self) -> float:
        seconds = self.found.seconds
        if len(seconds) > 1:
            return (seconds[-1] - seconds[0]) / (len(seconds) - 1)
        return self.found.timeline.duration

    def _estimate(self, frame: Frame, indices: tuple[int, ...]) -> dict[int, float]:
        bits = self.codec.estimate_bits([frame], indices)[0]
        return dict(zip(indices, np.maximum(bits, 1.0).tolist(), strict=True))

    def _code(self, frame: Frame, indices: tuple[int, ...]) -> tuple[dict[int, float], dict[int, float]]:
        """Bits and PSNR-Y of the frame coded for real, and a line of the R-D curve."""
        rates: dict[int, float] = {}
        decibels: dict[int, float] = {}
        points: list[tuple[float, float]] = []
        coded = self.codec.encode_batch([frame] * len(indices), indices, reconstruct=True)
        for index, encoded in zip(indices, coded, strict=True):
            rates[index] = 8.0 * len(encoded.packet.to_bytes())
            psnr = measured(frame, encoded).psnr
            decibels[index] = psnr["y"]
            points.append((rates[index] / frame.y.size, weighted_psnr(psnr)))
        self._points.append(points)
        return rates, decibels


def first_pass(
    path: str,
    stream: int | None,
    codec: FrameCodec,
    trials: Trials,
    publish: Listener,
    control: Control,
    *,
    distortion: bool,
    curve: bool = False,
    shown: Callable[[FrameEvents], FrameEvents] = iter,
) -> FirstPass:
    """Read and measure a whole clip as :class:`FirstPassRunner` does.

    ``shown`` gets all frames before they are measured and gives them on (:meth:`maevid.pipeline.team.Team.analysing`).

    Raises InputError where it has no frame, and Aborted.
    """
    runner = FirstPassRunner(codec, trials, distortion=distortion, curve=curve)
    with VideoReader(path, stream=stream) as reader:
        events = Prefetch(events_of(reader), READ_AHEAD)

        def frames() -> Iterator[Frame]:
            for event in shown(events):
                if isinstance(event, Frame):
                    yield event
                else:
                    runner.found.count_other(event.size, sound=event.stream.type == "audio")
                    runner.beside.take(event)

        try:
            found = runner.run(frames(), publish, control)
        finally:
            events.close()
    if not found.seconds:
        raise InputError(f"{path} has no frame that can be decoded")
    return found


def events_of(reader: VideoReader) -> Iterator[Frame | av.Packet[Any]]:
    """Frames and packets of other streams, in the order in which the file has them."""
    others: list[av.Packet[Any]] = []
    reader.on_packet = others.append
    for frame in reader:
        yield from others
        others.clear()
        yield frame
    yield from others
