"""Which latents are coded in which pass, in which order: that of a picture's string."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from maevid.model.prior import SKIP_BELOW

Mask = npt.NDArray[np.bool_]


@lru_cache(maxsize=8)
def pass_masks(channels: int, height: int, width: int, two_passes: bool) -> tuple[Mask, ...]:
    """Which latents each pass codes, bool (C, h, w); the first has (channel + row + column) even."""
    if not two_passes:
        return (np.ones((channels, height, width), bool),)
    c, i, j = np.ogrid[:channels, :height, :width]
    first = (c + i + j) % 2 == 0
    return first, ~first


def coded_places(which: Mask, scale_index: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Where the latents lie that a pass codes, in the flattened array (C, h, w), ascending.

    Positions, since indexing with a mask takes twice as long, and storing through one twenty times.
    """
    return np.flatnonzero(which & (scale_index >= SKIP_BELOW))
