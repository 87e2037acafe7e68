"""The clips of the rate-control table: made ones, seeded, and the first frames of real ones at a smaller size.

All are written as FFV1 in NUT, which keeps time bases as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maevid.rate import LumaAnalyser, find_cuts
from maevid.video.frame import Frame, Plane, VideoInfo
from maevid.video.reader import VideoReader
from maevid.video.writer import VideoWriter

Array = npt.NDArray[np.float64]
Planes = tuple[Plane, Plane, Plane]

CUT_EVERY = 12
"""Frames of a scene of ``cuts12``."""
_TICKS = Fraction(1, 600)
_VARIABLE = (10, 24, 60, 150)
"""Durations of the frames of ``vfr`` in units of 1/600 s: 60, 25, 10 and 4 frames a second."""
_SMOOTH, _USUAL, _BUSY = 2.2, 1.6, 1.0
"""Exponents of the textures' spectra: the smaller, the more bits."""


@dataclass(frozen=True)
class Content:
    """A clip of the table. ``cuts`` are the first frames of its scenes but the first; ``made`` ones know them."""

    name: str
    frames: tuple[Frame, ...]
    cuts: tuple[int, ...]
    made: bool

    @property
    def pixels(self) -> int:
        """Luma samples of a frame."""
        return self.frames[0].y.size


def stored(content: Content, path: Path) -> Content:
    """Write a clip to a file; the same with its frames as the file has them, in its time base."""
    first = content.frames[0]
    info = VideoInfo(first.width, first.height, first.time_base, color=first.color)
    with VideoWriter(path, info, encoder="ffv1") as writer:
        for frame in content.frames:
            writer.write(frame)
    with VideoReader(path) as reader:
        return replace(content, frames=tuple(reader))


def real_clip(path: Path, count: int, width: int) -> Content:
    """The first ``count`` frames of a video, shrunk by a whole factor to at most ``width`` samples across."""
    with VideoReader(path) as reader:
        frames = tuple(_shrunk(frame, -(-reader.info.width // width)) for frame in islice(reader, count))
    analyse = LumaAnalyser()
    cuts = find_cuts([analyse(frame.y, frame.seconds) for frame in frames])
    return Content(path.stem, frames, tuple(cuts), made=False)


def _shrunk(frame: Frame, factor: int) -> Frame:
    """Means of ``factor`` × ``factor`` samples, in an even number of rows and columns."""
    if factor == 1:
        return frame
    height, width = (n // (2 * factor) * 2 for n in frame.y.shape)
    planes = []
    for number, plane in enumerate(frame.planes):
        rows, columns = (height, width) if number == 0 else (height // 2, width // 2)
        cells = plane[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
        planes.append(np.round(cells.mean(axis=(1, 3))).astype(np.uint8))
    return Frame(planes[0], planes[1], planes[2], frame.pts, frame.time_base, frame.duration, frame.color)


def texture(random: np.random.Generator, height: int, width: int, exponent: float) -> Array:
    """A periodic random field (height, width) with spectrum 1/f^exponent, mean 0 and deviation 1."""
    across, down = np.fft.rfftfreq(width)[None, :], np.fft.fftfreq(height)[:, None]
    frequency = np.hypot(across, down)
    frequency[0, 0] = np.inf
    phases = random.normal(size=frequency.shape) + 1j * random.normal(size=frequency.shape)
    field = np.fft.irfft2(phases * frequency**-exponent, s=(height, width))
    return np.asarray(field / field.std(), dtype=np.float64)


class Scene:
    """Two textures that slide over each other, coloured by a third."""

    def __init__(self, random: np.random.Generator, height: int, width: int, exponent: float) -> None:
        self._layers = [texture(random, height, width, exponent) for _ in range(2)]
        self._colour = texture(random, height // 2, width // 2, _SMOOTH)

    def luma(self, time: int) -> Array:
        """Luma around zero at a frame number."""
        near, far = self._layers
        return 34 * np.roll(near, (time, 2 * time), (0, 1)) + 22 * np.roll(far, (-time, time), (0, 1))

    def planes(self, time: int, gain: float = 1.0) -> Planes:
        """8-bit planes; ``gain`` 0 is black."""
        colour = np.roll(self._colour, (time, time), (0, 1)) * 14 * gain
        return (
            _levels(16 + gain * (102 + self.luma(time))),
            _levels(128 + colour),
            _levels(128 - 0.6 * colour),
        )


def _levels(values: Array) -> Plane:
    return np.clip(np.round(values), 16, 235).astype(np.uint8)


Maker = Callable[[np.random.Generator, int, int, int], Iterator[Planes]]


def _plain(random: np.random.Generator, count: int, height: int, width: int) -> Iterator[Planes]:
    scene = Scene(random, height, width, _USUAL)
    return (scene.planes(t) for t in range(count))


def _static(random: np.random.Generator, count: int, height: int, width: int) -> Iterator[Planes]:
    picture = Scene(random, height, width, _USUAL).planes(0)
    return (picture for _ in range(count))


def _black(random: np.random.Generator, count: int, height: int, width: int) -> Iterator[Planes]:
    picture = Scene(random, height, width, _USUAL).planes(0, gain=0.0)
    return (picture for _ in range(count))


def _noise(random: np.random.Generator, count: int, height: int, width: int) -> Iterator[Planes]:
    for _ in range(count):
        y = random.integers(16, 236, (height, width), dtype=np.uint8)
        u, v = random.integers(64, 193, (2, height // 2, width // 2), dtype=np.uint8)
        yield y, u, v


def _fade(random: np.random.Generator, count: int, height: int, width: int) -> Iterator[Planes]:
    """Black, then brighter over two seconds at 25 frames a second, or as much of the clip as half of it."""
    scene, length = Scene(random, height, width, _USUAL), min(50, count // 2)
    return (scene.planes(t, min(max((t - 5) / length, 0.0), 1.0)) for t in range(count))


def _cuts12(random: np.random.Generator, count: int, height: int, width: int) -> Iterator[Planes]:
    scene = Scene(random, height, width, _USUAL)
    for t in range(count):
        if t % CUT_EVERY == 0:
            scene = Scene(random, height, width, random.uniform(0.9, 2.2))
        yield scene.planes(t)


def _easyhard(random: np.random.Generator, count: int, height: int, width: int) -> Iterator[Planes]:
    scenes = [Scene(random, height, width, exponent) for exponent in (_SMOOTH, _BUSY)]
    return (scenes[t // 25 % 2].planes(t) for t in range(count))


def _ramp(random: np.random.Generator, count: int, height: int, width: int) -> Iterator[Planes]:
    easy, hard = (Scene(random, height, width, exponent) for exponent in (_SMOOTH, _BUSY))
    for t in range(count):
        part = t / max(count - 1, 1)
        _, u, v = easy.planes(t)
        yield _levels(118 + np.sqrt(1 - part) * easy.luma(t) + np.sqrt(part) * hard.luma(t)), u, v


def _every(step: int) -> Callable[[int], tuple[int, ...]]:
    return lambda count: tuple(range(step, count, step))


def _no_cuts(count: int) -> tuple[int, ...]:
    del count
    return ()


_25 = Fraction(1, 25)
_MADE: dict[str, tuple[Maker, Callable[[int], tuple[int, ...]], int, Fraction]] = {
    "plain": (_plain, _no_cuts, 0, _25),
    "static": (_static, _no_cuts, 0, _25),
    "black": (_black, _no_cuts, 0, _25),
    "noise": (_noise, _no_cuts, 0, _25),
    "fade": (_fade, _no_cuts, 0, _25),
    "cuts12": (_cuts12, _every(CUT_EVERY), 0, _25),
    "easyhard": (_easyhard, _every(25), 0, _25),
    "ramp": (_ramp, _no_cuts, 0, _25),
    "vfr": (_plain, _no_cuts, 0, _TICKS),
    "29.97": (_plain, _no_cuts, 0, Fraction(1001, 30000)),
    "1-frame": (_plain, _no_cuts, 1, _25),
    "5-frames": (_plain, _no_cuts, 5, _25),
    "10-frames": (_plain, _no_cuts, 10, _25),
}
"""By name: who makes the pictures, where cuts are, frames (0: as many as asked for), time base."""

MADE = tuple(_MADE)


def made_clip(name: str, count: int, size: tuple[int, int], seed: int) -> Content:
    """A clip of :data:`MADE`, of ``count`` frames where its name does not say how many, ``size`` (width, height)."""
    make, cuts, own_count, base = _MADE[name]
    count, (width, height) = own_count or count, size
    random = np.random.default_rng([seed, *name.encode()])
    lasting = (
        random.choice(_VARIABLE, count, p=[0.4, 0.4, 0.17, 0.03]) if base == _TICKS else np.ones(count, int)
    )
    times = np.concatenate(([0], np.cumsum(lasting)[:-1]))
    frames = tuple(
        Frame(*planes, int(pts), base, int(duration))
        for planes, pts, duration in zip(make(random, count, height, width), times, lasting, strict=True)
    )
    return Content(name, frames, cuts(count), made=True)
