"""The first of two passes: times of all frames, cuts, and the rate of sampled frames at a few rate indices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from maevid.codec.interface import FrameCodec
from maevid.errors import InputError
from maevid.pipeline.events import Control, Listener, Progress, RdCurve
from maevid.pipeline.measure import psnr_by_plane
from maevid.pipeline.prefetch import Prefetch
from maevid.rate import FirstPass, FrameCost, RateScale, SceneWatcher, trial_indices
from maevid.report import weighted_psnr
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader

if TYPE_CHECKING:
    import av

READ_AHEAD = 8
SHORT_CLIP = 24
"""Clips up to so many frames are measured whole."""
SAMPLE_EVERY = 6
"""In longer ones every sixth frame of each scene is, and each scene's first and last."""
TRIALS = 5


def sampled(frames: Iterator[tuple[Frame, bool]]) -> Iterator[tuple[int, Frame]]:
    """Which frames to measure, decided while they stream by; at most 24 frames are held back.

    ``frames`` gives each frame and whether a scene starts with it. Yields (number, frame), in order.
    """
    held: list[tuple[int, Frame, bool]] = []
    chosen, scene, last, number = -1, 0, None, 0
    for number, (frame, cut) in enumerate(frames):
        if number < SHORT_CLIP:
            held.append((number, frame, cut))
            continue
        backlog = [*held, (number, frame, cut)] if held else [(number, frame, cut)]
        held = []
        for at, picture, starts in backlog:
            if starts:
                if last is not None and last[0] != chosen:
                    yield last
                scene = at
            if (at - scene) % SAMPLE_EVERY == 0:
                chosen = at
                yield at, picture
            last = (at, picture)
    if held:
        yield from ((at, frame) for at, frame, _ in held)
    elif last is not None and last[0] != chosen:
        yield last


class FirstPassRunner:
    """Measures one clip with one codec. ``distortion`` measures PSNR-Y as well (by coding for real)."""

    def __init__(self, codec: FrameCodec, lowest: int, highest: int, *, distortion: bool) -> None:
        self.codec = codec
        self.indices = trial_indices(lowest, highest, TRIALS)
        self.distortion = distortion
        self.found = FirstPass()
        self._points: list[list[tuple[float, float]]] = []

    def run(self, frames: Iterator[Frame], publish: Listener, control: Control) -> FirstPass:
        """Go through all frames. Raises Aborted when the control says so.

        Where distortion is measured, the mean of the sampled frames is published as the clip's R-D curve.
        """
        for number, frame in sampled(self._watched(frames, publish, control)):
            self.found.costs.append(self._measure(number, frame))
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
        if not self.distortion:
            bits = self.codec.estimate_bits([frame], self.indices)[0]
            return FrameCost(number, dict(zip(self.indices, np.maximum(bits, 1.0).tolist(), strict=True)))
        rates: dict[int, float] = {}
        decibels: dict[int, float] = {}
        points: list[tuple[float, float]] = []
        for index in self.indices:
            encoded = self.codec.encode(frame, index, reconstruct=True)
            assert encoded.reconstruction is not None
            rates[index] = 8.0 * len(encoded.packet.to_bytes())
            measured = psnr_by_plane(frame.planes, encoded.reconstruction)
            decibels[index] = measured["y"]
            points.append((rates[index] / frame.y.size, weighted_psnr(measured)))
        self._points.append(points)
        return FrameCost(number, rates, decibels)


def first_pass(
    path: str,
    stream: int | None,
    codec: FrameCodec,
    scale: RateScale,
    distortion: bool,
    publish: Listener,
    control: Control,
) -> FirstPass:
    """Read and measure a whole clip. Raises InputError where it has no frame, and Aborted."""
    runner = FirstPassRunner(codec, scale.lowest, scale.highest, distortion=distortion)
    with VideoReader(path, stream=stream) as reader:
        events = Prefetch(events_of(reader), READ_AHEAD)

        def frames() -> Iterator[Frame]:
            for event in events:
                if isinstance(event, Frame):
                    yield event
                else:
                    runner.found.count_other(event.size, sound=event.stream.type == "audio")

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
