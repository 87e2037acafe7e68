"""The first of two passes: times of all frames, cuts, and the rate of sampled frames at a few rate indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice

import numpy as np

from maevid.codec.interface import FrameCodec
from maevid.errors import InputError
from maevid.pipeline.beside import Beside
from maevid.pipeline.clip import Clip
from maevid.pipeline.events import Control, Listener, Progress, RdCurve
from maevid.pipeline.measure import measured
from maevid.pipeline.team import FrameEvents
from maevid.rate import FirstPass, FrameCost, SceneWatcher, Trials
from maevid.report import weighted_psnr
from maevid.stream.overhead import has_own_duration
from maevid.stream.timeline import milliseconds
from maevid.video.frame import Frame

SHORT_CLIP = 24
"""Clips up to so many frames are measured whole."""
SAMPLE_EVERY = 8
"""In longer ones every eighth frame of each scene is, and the last of the clip, beyond which nothing is known."""


def sampled(frames: Iterator[tuple[Frame, bool]]) -> Iterator[tuple[int, Frame]]:
    """Which frames to measure, decided while they stream by; at most 24 frames are held back.

    ``frames`` gives each frame and whether a scene starts with it. Yields (number, frame), in order.
    """
    held: list[tuple[int, Frame, bool]] = []
    last: tuple[int, Frame] | None = None
    scene = 0
    for number, (frame, cut) in enumerate(frames):
        if number < SHORT_CLIP:
            held.append((number, frame, cut))
            continue
        backlog, held = [*held, (number, frame, cut)], []
        for at, picture, starts in backlog:
            if starts:
                scene = at
            chosen = (at - scene) % SAMPLE_EVERY == 0
            last = None if chosen else (at, picture)
            if chosen:
                yield at, picture
    yield from ((at, frame) for at, frame, _ in held)
    if last is not None:
        yield last


class FirstPassRunner:
    """Measures one clip with one codec, at the rate indices that ``trials`` names.

    ``distortion`` measures the PSNR-Y of every sampled frame as well, ``curve`` the R-D curve of those that are tried
    over the whole range (both by coding for real). ``rate`` is the clip's average frame rate, None where unknown.
    ``example`` is the first frame, once there is one.
    """

    def __init__(
        self,
        codec: FrameCodec,
        trials: Trials,
        *,
        distortion: bool,
        curve: bool = False,
        rate: Fraction | None = None,
    ) -> None:
        self.codec = codec
        self.trials = trials
        self.rate = rate
        self.distortion = distortion
        self.curve = curve or distortion
        self.found = FirstPass()
        self.beside = Beside(self.found)
        self.example: Frame | None = None
        self._points: list[list[tuple[float, float]]] = []

    def run(self, frames: Iterator[Frame], publish: Listener, control: Control) -> FirstPass:
        """Go through all frames. Raises Aborted when the control says so.

        Where distortion is measured, the mean of the sampled frames is published as the clip's R-D curve.
        """
        chosen = sampled(self._watched(frames, publish, control))
        while group := list(islice(chosen, self.trials.together)):
            self.example = self.example or group[0][1]
            for cost in self._measure(group):
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
            lasts = milliseconds(frame.pts + frame.duration, frame.time_base)
            lasts -= milliseconds(frame.pts, frame.time_base)
            self.found.own_durations += has_own_duration(lasts, self.rate)
            yield frame, cut
            publish(Progress(number + 1))

    def _measure(self, group: list[tuple[int, Frame]]) -> list[FrameCost]:
        """Costs of frames with their numbers: the first over the whole range, all near the target in one call, since a
        call costs as much as a small picture."""
        frames = [frame for _, frame in group]
        over_range = self.trials.over_range(len(self.found.costs))
        decibels: dict[int, float] = {}
        if self.curve:
            bits, decibels = self._code(frames[0], over_range)
        else:
            [bits] = self._estimate(frames[:1], over_range)
        each, pictures = self._seconds_per_frame(), len(self.found.seconds)
        near = self.trials.near(bits, each, self.beside.rate(pictures, pictures * each))
        found = self._estimate(frames, near)
        found[0] |= bits
        psnr = decibels if self.distortion else {}
        return [FrameCost(number, b, psnr) for (number, _), b in zip(group, found, strict=True)]

    def _seconds_per_frame(self) -> float:
        seconds = self.found.seconds
        if len(seconds) > 1:
            return (seconds[-1] - seconds[0]) / (len(seconds) - 1)
        return self.found.timeline.duration

    def _estimate(self, frames: list[Frame], indices: tuple[int, ...]) -> list[dict[int, float]]:
        """Bits of each frame by index."""
        if not indices:
            return [{} for _ in frames]
        bits = np.maximum(self.codec.estimate_bits(frames, indices), 1.0)
        return [dict(zip(indices, row, strict=True)) for row in bits.tolist()]

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
    clip: Clip,
    codec: FrameCodec,
    trials: Trials,
    publish: Listener,
    control: Control,
    *,
    distortion: bool,
    curve: bool = False,
    shown: Callable[[FrameEvents], FrameEvents] | None = None,
    finish: Callable[[FirstPass, Frame], None] | None = None,
) -> FirstPass:
    """Read and measure a whole clip as :class:`FirstPassRunner` does.

    ``shown`` gets all frames before they are measured and gives them on (:meth:`maevid.pipeline.team.Team.analysing`);
    without it no encode will follow. ``finish`` gets what was found and its first frame, to add to it.

    Raises InputError where it has no frame, and Aborted.
    """
    rate = clip.info.average_rate
    runner = FirstPassRunner(codec, trials, distortion=distortion, curve=curve, rate=rate)

    def frames(events: FrameEvents) -> Iterator[Frame]:
        for event in events:
            if isinstance(event, Frame):
                yield event
            else:
                runner.beside.take(event)

    with clip.ahead(keep=shown is not None) as events:
        found = runner.run(frames(events if shown is None else shown(events)), publish, control)
    if runner.example is None:
        raise InputError(f"{clip.reader.name} has no frame that can be decoded")
    if finish is not None:
        finish(found, runner.example)
    return found
