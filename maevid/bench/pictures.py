"""What is coded to measure speed: frames with the spectrum of natural pictures, the same every time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from maevid.video.frame import ColorTags, Frame, Plane

FRAME_RATE = Fraction(25)
_LUMA_DEVIATION, _CHROMA_DEVIATION = 45.0, 14.0
_SLOPE = 1.4
"""Amplitudes fall with this power of the frequency, a little faster than in sharp photographs."""
_BARS = 6
_DRIFT = 6


def synthetic_frames(width: int, height: int, count: int) -> list[Frame]:
    """``count`` 4:2:0 frames of even ``width`` and ``height``: one picture that drifts, 25 frames a second."""
    random = np.random.default_rng(20)
    luma = 120 + _LUMA_DEVIATION * _clouds(random, height, width)
    # Edges, which clouds have none of.
    for _ in range(_BARS):
        top, left = int(random.integers(height)), int(random.integers(width))
        luma[top : top + height // 5, left : left + width // 12] = random.integers(30, 220)
    half = (height // 2, width // 2)
    planes = [luma, *(128 + _CHROMA_DEVIATION * _clouds(random, *half) for _ in range(2))]
    samples = [plane.clip(16, 235).astype(np.uint8) for plane in planes]
    return [_frame(samples, number) for number in range(count)]


def _frame(samples: list[Plane], number: int) -> Frame:
    y, u, v = (
        np.ascontiguousarray(np.roll(plane, number * step, axis=1))
        for plane, step in zip(samples, (_DRIFT, _DRIFT // 2, _DRIFT // 2), strict=True)
    )
    return Frame(y, u, v, number, 1 / FRAME_RATE, 1, ColorTags(full_range=False))


def _clouds(random: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    """Noise (height, width) of mean 0 and deviation 1 whose spectrum falls like a picture's."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * random.random(frequency.shape))
    noise: npt.NDArray[np.float64] = np.fft.irfft2(phases * frequency**-_SLOPE, (height, width))
    noise /= noise.std()
    return noise
