"""Pictures for whoever watches a job: both planes of a frame at a size that costs next to nothing to hand over."""

from __future__ import annotations

import numpy as np

from maevid.pipeline.events import Planes, Preview
from maevid.video.frame import ColorTags

WIDTH, HEIGHT = 320, 180
"""A preview is at most so large."""


def reduce_planes(planes: Planes, max_width: int = WIDTH, max_height: int = HEIGHT) -> Planes:
    """Copy 4:2:0 planes at a smaller size: every n-th sample, no filter, well under 1 ms.

    ``n`` is the same for all planes, so the result is 4:2:0 again.
    """
    height, width = planes[0].shape
    n = max(-(-width // max_width), -(-height // max_height), 1)
    y = planes[0][::n, ::n].copy()
    rows, columns = (y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2
    pick_rows = np.minimum(np.arange(rows) * n, planes[1].shape[0] - 1)[:, None]
    pick_columns = np.minimum(np.arange(columns) * n, planes[1].shape[1] - 1)
    return y, planes[1][pick_rows, pick_columns], planes[2][pick_rows, pick_columns]


def make_preview(
    index: int, source: Planes, coded: Planes, color: ColorTags | None = None, pixel_aspect: float = 1.0
) -> Preview:
    """The event for one frame; it holds copies."""
    return Preview(index, reduce_planes(source), reduce_planes(coded), color or ColorTags(), pixel_aspect)
