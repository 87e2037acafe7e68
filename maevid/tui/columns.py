"""Every frame of a finished file as exact numpy columns: what the table sorts, the plots thin and the CSV lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maevid.report import FrameReport
from maevid.tui.figures import Moment
from maevid.tui.history import CAPACITY, History, Series

SORTS = ("frame", "bits", "psnr", "lam")
"""What a table can be sorted by."""


class FrameColumns:
    """Columns over ``reports``; positions are places in that sequence, not frame numbers."""

    def __init__(self, reports: Sequence[FrameReport]) -> None:
        self.reports = reports
        self.bits = np.array([r.bits for r in reports], dtype=np.int64)
        self.lam = np.array([r.lam for r in reports], dtype=np.float64)
        psnr = [r.psnr_yuv for r in reports]
        self.psnr = np.array([np.nan if p is None else p for p in psnr], dtype=np.float64)
        self.has_psnr = bool(np.isfinite(self.psnr).any())
        history = History(CAPACITY)
        for report in reports:
            history.add(report)
        self.series: Series = history.series()

    def __len__(self) -> int:
        return len(self.reports)

    def order(self, key: str, descending: bool) -> npt.NDArray[np.int64]:
        """Positions sorted by one of ``SORTS``; equal and unknown values stay in frame order, unknown ones last."""
        values: npt.NDArray[np.float64] = {
            "frame": np.arange(len(self), dtype=np.float64),
            "bits": self.bits.astype(np.float64),
            "psnr": self.psnr,
            "lam": self.lam,
        }[key]
        return np.argsort(-values if descending else values, kind="stable").astype(np.int64)

    def worst(self) -> npt.NDArray[np.int64]:
        """Positions from the worst on: lowest PSNR where it was measured, most bits otherwise."""
        return self.order("psnr", False) if self.has_psnr else self.order("bits", True)

    def moment(self, position: int) -> Moment | None:
        """The frame as the plots mark it."""
        if not 0 <= position < len(self):
            return None
        return moment_of(self.reports[position])


def moment_of(report: FrameReport) -> Moment:
    """One report as the plots mark it."""
    return Moment(report.seconds, report.bits, report.bits_per_pixel, report.lam, report.psnr_yuv)
