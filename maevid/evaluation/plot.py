"""Rate-distortion plots of a group: one panel a metric, one line a codec, as PNG and SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from maevid.evaluation.metrics import LABELS
from maevid.evaluation.report import GroupReport

_PANELS = ("psnr_y", "psnr_yuv", "ms_ssim_db", "vmaf")
# Okabe and Ito's palette, which people who see colours differently can tell apart, and black for the first codec.
_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
_MARKERS = "osD^vPX<>"
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
_PANEL_INCHES = (4.6, 3.8)


def plot_group(report: GroupReport, folder: Path) -> list[Path]:
    """Write ``rd-GROUP.png`` and ``rd-GROUP.svg`` into a folder; gives their paths."""
    panels = [name for name in _PANELS if any(report.metric_curves.get(name, {}).values())]
    if not panels:
        return []
    with mpl.rc_context(
        {"svg.hashsalt": "maevid", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        columns = 2 if len(panels) == 4 else len(panels)
        rows = len(panels) // columns
        figure = Figure(figsize=(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for axis, metric in zip(axes, panels, strict=True):
            _panel(axis, report, metric)
        lines, names = axes[0].get_legend_handles_labels()
        in_a_row = len(names) if len(names) <= 5 else math.ceil(len(names) / 2)
        figure.legend(lines, names, loc="outside lower center", ncols=in_a_row, frameon=False)
        count = f"{len(report.inputs)} inputs, {report.frames} frames"
        figure.suptitle(f"{report.name} ({count}), every frame coded on its own", fontsize=10)
        paths = [folder / f"rd-{report.name}.png", folder / f"rd-{report.name}.svg"]
        figure.savefig(paths[0], dpi=160)
        # Without a date the same results give the same file.
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _panel(axis: Axes, report: GroupReport, metric: str) -> None:
    rates: list[float] = []
    for number, (codec, points) in enumerate(report.metric_curves[metric].items()):
        if points:
            x, y = zip(*points, strict=True)
            rates += x
            axis.plot(
                x,
                y,
                label=codec,
                color=_COLOURS[number % len(_COLOURS)],
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=3.5,
                linewidth=1.8 if number == 0 else 1.2,
            )
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(_ticks(rates)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("bits per luma sample")
    having = max((len(found.by_input) for found in report.bd_rates[metric].values()), default=0)
    some = f", {having} inputs" if 0 < having < len(report.inputs) else ""
    axis.set_ylabel(LABELS[metric] + some)
    axis.grid(alpha=0.3, linewidth=0.5)


def _ticks(rates: Sequence[float]) -> list[float]:
    low, high = min(rates) * 0.8, max(rates) * 1.25
    return [tick for tick in _TICKS if low <= tick <= high]
