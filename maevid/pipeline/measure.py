"""Distortion of a coded frame, plane by plane."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from maevid.codec.interface import Encoded
from maevid.video.frame import Frame, Plane

EXACT_DECIBELS = 100.0


def psnr(source: Plane, coded: Plane) -> float:
    """Peak signal-to-noise ratio of 8-bit samples in dB: 10·log10(255² / MSE); 100 for equal planes."""
    difference = source.astype(np.int16) - coded
    squares = int(np.square(difference, dtype=np.int32).sum(dtype=np.int64))
    if squares == 0:
        return EXACT_DECIBELS
    return min(EXACT_DECIBELS, 10 * math.log10(255**2 * source.size / squares))


def psnr_by_plane(source: tuple[Plane, Plane, Plane], coded: tuple[Plane, Plane, Plane]) -> dict[str, float]:
    """PSNR in dB under the names ``y``, ``u`` and ``v``."""
    return {name: psnr(a, b) for name, a, b in zip("yuv", source, coded, strict=True)}


def measured(frame: Frame, encoded: Encoded) -> Encoded:
    """The coded frame with its PSNR, where the decoder's picture is there and nobody has measured it yet."""
    if encoded.psnr or encoded.reconstruction is None:
        return encoded
    return replace(encoded, psnr=psnr_by_plane(frame.planes, encoded.reconstruction))
