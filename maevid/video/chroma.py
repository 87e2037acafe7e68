"""Chroma at half and at full size: columns around the left sample of each pair, rows between the two of a pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[Any]
Real = npt.NDArray[np.float32]


def halve_columns(samples: Samples) -> Samples:
    """Every second column, (1, 2, 1)-weighted with its neighbours; edges repeat. Four times the mean."""
    width = samples.shape[1]
    total = 2 * samples[:, 0::2]
    odd = samples[:, 1::2]
    total[:, 0] += samples[:, 0]
    total[:, 1:] += odd[:, : total.shape[1] - 1]
    total[:, : odd.shape[1]] += odd
    if width % 2:
        total[:, -1] += samples[:, -1]
    return total


def halve_rows(samples: Samples, *, interlaced: bool) -> Samples:
    """Sums of two rows each; of the same field when interlaced. An odd last row counts twice."""
    if not interlaced:
        even, odd = samples[0::2], samples[1::2]
        total = even.copy()
        total[: odd.shape[0]] += odd
        if samples.shape[0] % 2:
            total[-1] += even[-1]
        return total
    total = np.empty(((samples.shape[0] + 1) // 2, samples.shape[1]), samples.dtype)
    for field in (0, 1):
        rows = total[field::2]
        if rows.shape[0]:
            rows[:] = halve_rows(samples[field::2], interlaced=False)[: rows.shape[0]]
    return total


def doubled(samples: Real, height: int, width: int) -> Real:
    """Chroma (⌈height/2⌉, ⌈width/2⌉) at full size, (height, width): smooth, and halved again it is what it was.

    Between two columns lies their mean; the columns themselves are sharpened by what :func:`halve_columns` will
    blur. Rows lie on the slope of their neighbours.
    """
    return _doubled_columns(_doubled_rows(samples, height), width)


def _doubled_columns(samples: Real, width: int) -> Real:
    out = np.empty((samples.shape[0], width), np.float32)
    right = np.concatenate([samples[:, 1:], samples[:, -1:]], axis=1)
    odd = ((samples + right) / 2)[:, : width // 2]
    # halve_columns repeats the column at an edge, which then weighs three quarters.
    sides = np.zeros_like(samples)
    sides[:, 1:] += odd[:, : samples.shape[1] - 1]
    sides[:, : odd.shape[1]] += odd
    weight = np.full(samples.shape[1], 2, np.float32)
    weight[0] += 1
    weight[-1] += width % 2
    out[:, 0::2] = (4 * samples - sides) / weight
    out[:, 1::2] = odd
    return out


def _doubled_rows(samples: Real, height: int) -> Real:
    out = np.empty((height, samples.shape[1]), np.float32)
    above = np.concatenate([samples[:1], samples[:-1]])
    below = np.concatenate([samples[1:], samples[-1:]])
    slope = (below - above) / 8
    if height % 2:
        slope[-1] = 0
    out[0::2] = samples - slope
    out[1::2] = (samples + slope)[: height // 2]
    return out
