"""A codec made of numbers: clips whose frames have rate and distortion curves like real ones, and a
pipeline for them.

Every frame has R(λ) = header + exp(a + b·v + c·v²), v = ln(λ/λ_mid), and the distortion that makes λ its
true slope (dD = -dR / (255²·pixels·λ)). What the codec writes differs from its estimate by a bias of the
clip and a noise of the frame, together within 2 %, and is a whole number of bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maevid.rate import FrameCost, FrameStatistics, RateController, RateScale, Timeline
from maevid.report import FrameReport

SCALE = RateScale.log_linear(0.0004, 0.1)
WIDTH, HEIGHT = 640, 360
PIXELS = WIDTH * HEIGHT
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Clip:
    """Numbers in place of pictures. ``bits`` and ``distortion`` have a row for each frame, a column for
    each index.
    """

    name: str
    timeline: Timeline
    bits: Array
    written: npt.NDArray[np.int64]
    distortion: Array
    statistics: tuple[FrameStatistics, ...]
    cuts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.timeline)

    def rate(self, bits_per_pixel: float) -> float:
        """Bits per second for a mean of so many bits per pixel."""
        return bits_per_pixel * PIXELS * len(self) / self.timeline.duration

    def psnr(self, frame: int, index: int) -> float:
        return -10 * math.log10(self.distortion[frame, index])

    def costs(
        self, indices: Sequence[int], frames: Sequence[int] | None = None, psnr: bool = True
    ) -> list[FrameCost]:
        """What a first pass would find."""
        return [
            FrameCost(
                f,
                {i: float(self.bits[f, i]) for i in indices},
                {i: self.psnr(f, i) for i in indices} if psnr else {},
            )
            for f in (range(len(self)) if frames is None else frames)
        ]

    def starved(self, bits_per_pixel: float) -> float:
        """Share of the frames that no rate index brings to this rate: no live controller can help it."""
        want = self.rate(bits_per_pixel) * np.array(self.timeline.gaps)
        return float(np.mean((self.written[:, 0] > want) | (self.written[:, -1] < want)))

    def constant_psnr(self, total: int) -> float:
        """Mean PSNR of the best constant λ with the same bytes, between indices where need be."""
        sums = self.written.sum(axis=0)
        means = (-10 * np.log10(self.distortion)).mean(axis=0)
        return float(np.interp(np.log(total), np.log(sums) + np.arange(256) * 1e-12, means))


def make_clip(
    name: str,
    complexity: Array,
    *,
    seconds: Sequence[float] | None = None,
    cuts: Sequence[int] = (),
    brightness: Array | None = None,
    motion: float = 2.0,
    seed: int = 0,
    bias: float | None = None,
) -> Clip:
    """A clip from ln(bits per pixel) at the middle of the scale for every frame."""
    rng = np.random.default_rng([seed, *name.encode()])
    n = len(complexity)
    times = [i / 25 for i in range(n)] if seconds is None else list(seconds)
    v = np.log(np.array(SCALE.lams)) - math.log(SCALE.lam(127.5))
    scene = np.zeros(n, dtype=int)
    for cut in cuts:
        scene[cut:] += 1
    scenes = int(scene.max()) + 1
    slope, bend = rng.uniform(0.5, 0.72, scenes), rng.uniform(-0.03, 0.01, scenes)
    a = complexity + math.log(PIXELS)
    power = a[:, None] + slope[scene][:, None] * v + bend[scene][:, None] * v**2
    bits = 400 + np.exp(power)
    steps = np.diff(bits, axis=1) / (65025 * PIXELS * np.exp((v[1:] + v[:-1]) / 2) * SCALE.lam(127.5))
    top = 2e-5 + (bits[:, -1] - 400) / (65025 * PIXELS * SCALE.lams[-1])
    falls = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
    distortion = top[:, None] + np.concatenate((falls, np.zeros((n, 1))), axis=1)
    clip_bias = float(rng.uniform(-0.012, 0.012)) if bias is None else bias
    noise = rng.uniform(-0.007, 0.007, n)[:, None] + rng.uniform(-0.0005, 0.0005, bits.shape)
    written = 8 * np.ceil(bits * (1 + clip_bias + noise) / 8)
    mean = np.full(n, 110.0) if brightness is None else brightness
    activity = 8 * np.exp(0.85 * (complexity + 1.2)) * np.exp(rng.normal(0, 0.02, n))
    moved = motion * rng.uniform(0.8, 1.2, n) + np.abs(np.diff(mean, prepend=mean[0]))
    still = motion * rng.uniform(0.8, 1.2, n)
    still[list(cuts)] = 45
    moved[0] = still[0] = 0
    moved[list(cuts)] = 45
    statistics = tuple(
        FrameStatistics(
            seconds=times[i],
            mean=float(mean[i]),
            contrast=float(max(1.0, mean[i] / 2.2)),
            activity=float(activity[i]),
            difference=float(moved[i]),
            structure=float(still[i]),
            first=i == 0,
            histogram_distance=0.0 if i == 0 else 0.6 if i in cuts else 0.05,
        )
        for i in range(n)
    )
    return Clip(name, Timeline.of(times), bits, written.astype(np.int64), distortion, statistics, tuple(cuts))


def contents(seed: int = 0) -> dict[str, Clip]:
    """The content classes of the rate table, seeded."""
    rng = np.random.default_rng([seed, 77])
    n = 250

    def wander(count: int, size: float = 0.01) -> Array:
        return np.cumsum(rng.normal(0, size, count))

    def fade(count: int) -> tuple[Array, Array]:
        gain = np.clip((np.arange(count) - 5) / 45, 0.0, 1.0)
        return -1.2 + 1.2 * np.log(np.maximum(gain, 0.003)) + wander(count), 16 + 94 * gain

    twelve = list(range(12, n, 12))
    second = list(range(25, n, 25))
    levels = rng.uniform(-2.4, -0.3, len(twelve) + 1)
    hard_easy = np.where(np.arange(n) // 25 % 2 == 0, -2.2, -0.5)
    vfr = np.cumsum([0.0, *rng.choice([1 / 60, 1 / 25, 1 / 10, 0.25], n - 1, p=[0.4, 0.4, 0.17, 0.03])])
    faded, light = fade(n)
    clips = [
        make_clip("plain", -1.2 + wander(n), seed=seed),
        make_clip("static", np.full(n, -1.2), motion=0.0, seed=seed),
        make_clip("black", np.full(n, -9.0), motion=0.0, brightness=np.full(n, 16.0), seed=seed),
        make_clip("noise", 0.7 + rng.normal(0, 0.01, n), motion=25.0, seed=seed),
        make_clip("fade", faded, brightness=light, seed=seed),
        make_clip("cuts12", np.repeat(levels, 12)[:n] + wander(n, 0.005), cuts=twelve, seed=seed),
        make_clip("easyhard", hard_easy + wander(n, 0.005), cuts=second, seed=seed),
        make_clip("ramp", np.linspace(-2.2, -0.6, n) + wander(n, 0.005), seed=seed),
        make_clip("vfr", -1.2 + wander(n), seconds=vfr.tolist(), seed=seed),
        make_clip("29.97", -1.2 + wander(n), seconds=[i * 1001 / 30000 for i in range(n)], seed=seed),
    ]
    clips += [make_clip(f"{k} frames", -1.2 + wander(k, 0.05), seed=seed) for k in (1, 5, 10, 16)]
    return {clip.name: clip for clip in clips}


@dataclass(frozen=True)
class Run:
    """An encode by numbers."""

    reports: tuple[FrameReport, ...]
    encodes: int
    estimates: int

    @property
    def sizes(self) -> list[int]:
        """Bytes of every packet."""
        return [r.bits // 8 for r in self.reports]

    @property
    def times(self) -> list[float]:
        return [r.seconds for r in self.reports]

    @property
    def mean_psnr(self) -> float:
        return sum(r.psnr["y"] for r in self.reports) / len(self.reports)


def report_of(clip: Clip, frame: int, index: int) -> FrameReport:
    """What the encoder would say of a frame."""
    seconds = clip.timeline.seconds[frame]
    return FrameReport(
        index=frame,
        pts=round(seconds * 90000),
        seconds=seconds,
        duration=clip.timeline.gaps[frame],
        width=WIDTH,
        height=HEIGHT,
        rate_index=index,
        lam=SCALE.lam(index),
        bits=int(clip.written[frame, index]),
        psnr={"y": clip.psnr(frame, index)},
    )


def encode(clip: Clip, controller: RateController, batch: int = 8) -> Run:
    """Drive a controller as the pipeline does, with ``batch`` frames under way at a time."""
    accepted: list[FrameReport] = []
    encodes = estimates = 0
    for start in range(0, len(clip), batch):
        frames = range(start, min(start + batch, len(clip)))
        indices = []
        for frame in frames:
            ahead = clip.statistics[frame : frame + controller.lookahead] if controller.lookahead else ()
            wanted = controller.probe(frame, ahead)
            if wanted:
                controller.learn(FrameCost(frame, {i: float(clip.bits[frame, i]) for i in wanted}))
                estimates += len(wanted)
            indices.append(controller.next_index(frame, ahead))
        for frame, index in zip(frames, indices, strict=True):
            report = report_of(clip, frame, index)
            encodes += 1
            while (retry := controller.observe(report)) is not None:
                assert retry.frame == frame
                report = report_of(clip, frame, retry.rate_index)
                encodes += 1
            accepted.append(report)
    return Run(tuple(accepted), encodes, estimates)
