"""A plot as data, drawn by the terminal widget and by the SVG export alike."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from maevid.tui.session import FloatArray
from maevid.tui.units import Tick, linear_ticks, log_ticks, time_ticks


class Scale(enum.Enum):
    """How an axis maps values to places."""

    LINEAR = "linear"
    LOG = "log"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values with its name and unit. A log axis needs ``low`` > 0."""

    name: str
    low: float
    high: float
    scale: Scale = Scale.LINEAR

    def place(self, values: FloatArray) -> FloatArray:
        """Values as 0..1 along the axis; outside of it where the value is."""
        if self.scale is Scale.LOG:
            with np.errstate(divide="ignore", invalid="ignore"):
                low, high = math.log(self.low), math.log(self.high)
                return np.asarray((np.log(values) - low) / (high - low), dtype=np.float64)
        return np.asarray((values - self.low) / (self.high - self.low), dtype=np.float64)

    def place_one(self, value: float) -> float:
        """One value as 0..1."""
        return float(self.place(np.array([value], dtype=np.float64))[0])

    def ticks(self, count: int) -> list[Tick]:
        """About ``count`` ticks at most."""
        makers: dict[Scale, Callable[[float, float, int], list[Tick]]] = {
            Scale.LINEAR: linear_ticks,
            Scale.LOG: log_ticks,
            Scale.TIME: time_ticks,
        }
        return makers[self.scale](self.low, self.high, count)


class Kind(enum.Enum):
    """How a series is drawn. BARS fill from the bottom to ``y``; STEP holds each ``y`` up to the next ``x``."""

    POINTS = "points"
    LINE = "line"
    STEP = "step"
    BARS = "bars"


@dataclass(frozen=True, slots=True)
class Trace:
    """One series: its role decides the colour (``points line curve target bar peak``), its kind the form."""

    kind: Kind
    role: str
    name: str
    x: FloatArray
    y: FloatArray


def _no_cuts() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot. Later traces lie over earlier ones; ``now`` is the marked frame (on a BARS figure only its x counts).

    ``value`` is the present value in words for the title line; ``empty`` is shown in place of traces.
    """

    title: str
    x: Axis
    y: Axis
    traces: tuple[Trace, ...] = ()
    cuts: FloatArray = field(default_factory=_no_cuts)
    now: tuple[float, float] | None = None
    value: str = ""
    empty: str = ""


def padded(values: FloatArray, least: float, floor: float | None = None) -> tuple[float, float]:
    """A range that shows all finite values with 5 % to spare, at least ``least`` wide; (0, 1)-like without values."""
    values = values[np.isfinite(values)]
    if not values.size:
        return (floor or 0.0), (floor or 0.0) + least
    low, high = float(values.min()), float(values.max())
    spare = max((high - low) * 0.05, (least - (high - low)) / 2)
    low, high = low - spare, high + spare
    return (low if floor is None else max(low, floor)), high


def padded_log(values: FloatArray, least: float) -> tuple[float, float]:
    """The same on a log axis: ``least`` is the least ratio of the ends."""
    values = values[np.isfinite(values) & (values > 0)]
    low, high = padded(np.log(values), math.log(least)) if values.size else (math.log(0.001), 0.0)
    return math.exp(low), math.exp(high)
