"""The four plots of a run: rate-distortion, bitrate, λ and frame sizes, made from thinned or exact series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maevid.pipeline.events import RdCurve
from maevid.tui.figure import Axis, Figure, Kind, Scale, Trace, padded, padded_log
from maevid.tui.history import Series
from maevid.tui.session import FloatArray
from maevid.tui.units import Unit, bitrate_unit, decimals, significant

MAX_DRAWN = 1024
"""Samples along time that a line is drawn through: more than a terminal has columns of dots."""

MAX_LAMBDAS = 480
"""Values of λ that are drawn one by one; where there are more, means of about ``FEW_LAMBDAS`` parts of the clip."""
FEW_LAMBDAS = 100


@dataclass(frozen=True, slots=True)
class Moment:
    """The marked frame: time in seconds, size in bits, bits per pixel, λ, PSNR-YUV in dB or None."""

    seconds: float
    bits: float
    rate: float
    lam: float
    psnr: float | None


@dataclass(frozen=True, slots=True)
class Scene:
    """What the plots of one run share. ``duration`` in seconds fixes the time axis; None lets it grow."""

    series: Series
    duration: float | None = None
    targets: tuple[tuple[float, float], ...] = ()
    curve: RdCurve | None = None
    now: Moment | None = None

    @property
    def span(self) -> tuple[float, float]:
        """The time axis in seconds."""
        series = self.series
        start = float(min(series.seconds[0], 0.0)) if len(series) else 0.0
        end = float(series.seconds[-1] + series.duration[-1]) if len(series) else 0.0
        return start, max(self.duration or 0.0, end, start + 0.04)


def rd_figure(scene: Scene) -> Figure:
    """Every frame a point, bits per pixel (log) against PSNR-YUV; says so where PSNR was not measured."""
    series, now, curve = scene.series, scene.now, scene.curve
    known = np.isfinite(series.psnr) & (series.rate > 0)
    rate, psnr = series.rate[known], series.psnr[known]
    x, y = rate, psnr
    if now is not None and now.psnr is not None:
        x, y = np.append(x, now.rate), np.append(y, now.psnr)
    traces = []
    if curve is not None and len(curve.psnr) > 1:
        curve_x, curve_y = np.array(curve.bits_per_pixel), np.array(curve.psnr)
        traces.append(Trace(Kind.LINE, "curve", "clip's curve", curve_x, curve_y))
        if not x.size:
            x, y = curve_x, curve_y
    traces.append(Trace(Kind.POINTS, "points", "frames", rate, psnr))
    marked = None if now is None or now.psnr is None else (now.rate, now.psnr)
    empty = "" if x.size else ("PSNR was not measured" if len(series) else "no frame yet")
    return Figure(
        "rate-distortion",
        Axis("bpp", *padded_log(x, 1.6), Scale.LOG),
        Axis("PSNR-YUV dB", *padded(y, 2.0)),
        tuple(traces),
        now=marked,
        value=("PSNR not measured" if len(series) and not rate.size else "")
        if marked is None
        else f"◆ {significant(marked[0], 3)} bpp {marked[1]:.2f} dB",
        empty=empty,
    )


def smooth_bitrate(series: Series, window: float) -> tuple[FloatArray, FloatArray]:
    """Bits per second over the last ``window`` seconds at each bucket's end: (seconds, bits per second)."""
    if not len(series) or series.duration.sum() <= 0:
        return np.empty(0), np.empty(0)
    end = series.seconds + series.duration
    bits = np.concatenate(([0.0], np.cumsum(series.bits)))
    time = np.concatenate(([0.0], np.cumsum(series.duration)))
    picks = np.unique(np.linspace(0, len(series) - 1, MAX_DRAWN).round().astype(int))
    since = np.maximum(time[picks + 1] - window, 0.0)
    spent = bits[picks + 1] - np.interp(since, time, bits)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = spent / (time[picks + 1] - since)
    return end[picks], rate


def bitrate_figure(scene: Scene) -> Figure:
    """Bitrate of the last second (of a longer window on a long clip) over time, with the target's line."""
    low, high = scene.span
    seconds, rate = smooth_bitrate(scene.series, max(1.0, (high - low) / 120))
    whole = scene.series.duration > 0
    values = np.append(rate, [bps for _, bps in scene.targets])
    top = float(np.nanmax(values, initial=0.0))
    unit = bitrate_unit(top)
    values = values / unit.scale
    traces = [Trace(Kind.LINE, "line", "1 s", seconds, rate / unit.scale)]
    if scene.targets:
        at = np.array([max(t, low) for t, _ in scene.targets] + [high])
        aims = np.array([bps for _, bps in scene.targets] + [scene.targets[-1][1]]) / unit.scale
        traces.append(Trace(Kind.STEP, "target", "target", at, aims))
    return Figure(
        f"bitrate {unit.name}",
        Axis("", low, high, Scale.TIME),
        Axis(unit.name, *padded(values, max(0.3 * top / unit.scale, 1e-3), 0.0)),
        tuple(traces),
        cuts=scene.series.cuts,
        value=_rate_value(scene, unit, float(rate[-1]) if rate.size else None),
        empty="" if whole.any() else "no frame yet",
        now=_on_line(scene, seconds, rate / unit.scale),
    )


def _rate_value(scene: Scene, unit: Unit, rate: float | None) -> str:
    words = [] if rate is None else [f"◆ {unit.text(rate, 3)}"]
    words += [f"╌ {unit.text(scene.targets[-1][1], 3)}"] if scene.targets else []
    return "  ".join(words)


def _on_line(scene: Scene, seconds: FloatArray, values: FloatArray) -> tuple[float, float] | None:
    if scene.now is None or not seconds.size:
        return None
    return scene.now.seconds, float(np.interp(scene.now.seconds, seconds, values))


def smooth_lambda(series: Series) -> tuple[FloatArray, FloatArray]:
    """λ at each bucket's start; on a long clip geometric means of neighbours, whose frames would fill a band.

    Unknown values are NaN and stay so where all neighbours are.
    """
    if len(series) <= MAX_LAMBDAS:
        return series.seconds, series.lam
    together = -(-len(series) // FEW_LAMBDAS)
    starts = np.arange(0, len(series), together)
    known = np.isfinite(series.lam)
    logs = np.add.reduceat(np.where(known, np.log(np.where(known, series.lam, 1.0)), 0.0), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return series.seconds[starts], np.exp(logs / np.add.reduceat(known.astype(np.float64), starts))


def lambda_figure(scene: Scene) -> Figure:
    """λ over time on a log axis."""
    low, high = scene.span
    series = scene.series
    now = scene.now
    seconds, lam = smooth_lambda(series)
    return Figure(
        "lambda λ",
        Axis("", low, high, Scale.TIME),
        Axis("λ", *padded_log(lam if now is None else np.append(lam, now.lam), 2.5), Scale.LOG),
        (Trace(Kind.LINE, "line", "λ", seconds, lam),),
        cuts=series.cuts,
        now=None if now is None else (now.seconds, now.lam),
        value="" if now is None else f"◆ {significant(now.lam, 4)}",
        empty="" if len(series) else "no frame yet",
    )


def size_figure(scene: Scene) -> Figure:
    """Size of every frame in kilobits as bars; where frames are merged: their mean, and the largest behind it."""
    low, high = scene.span
    series = scene.series
    mean = series.bits / np.maximum(series.frames, 1) / 1000
    largest = series.largest / 1000
    now = scene.now
    return Figure(
        "frame size kbit",
        Axis("", low, high, Scale.TIME),
        Axis("kbit", 0.0, max(float(largest.max()) * 1.05 if len(series) else 1.0, 1e-3)),
        (
            Trace(Kind.BARS, "peak", "largest", series.seconds, largest),
            Trace(Kind.BARS, "bar", "mean", series.seconds, mean),
        ),
        cuts=series.cuts,
        now=None if now is None else (now.seconds, now.bits / 1000),
        value="" if now is None else _cuts_value(len(series.cuts)) + f"◆ {decimals(now.bits / 1000, 1)}",
        empty="" if len(series) else "no frame yet",
    )


def _cuts_value(count: int) -> str:
    """Nothing is said of none: a file without its source does not know."""
    return f"▾ {count} cut{'s' * (count != 1)}  " if count else ""


def all_figures(scene: Scene) -> dict[str, Figure]:
    """Every plot by a short name, also used in the names of exported files."""
    return {
        "rd": rd_figure(scene),
        "bitrate": bitrate_figure(scene),
        "lambda": lambda_figure(scene),
        "size": size_figure(scene),
    }
