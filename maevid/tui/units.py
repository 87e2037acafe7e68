"""Numbers for people: units, fixed widths, and axis ticks on round values."""

from __future__ import annotations

import math
from dataclasses import dataclass

NONE = "–"
"""Shown where a number is not known."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A scale and its name: a value in base units divided by ``scale`` is in ``name``."""

    scale: float
    name: str

    def text(self, value: float | None, digits: int = 4) -> str:
        """The number alone with some ``digits`` significant digits, never in exponent form."""
        return significant(None if value is None else value / self.scale, digits)


def bitrate_unit(bits_per_second: float) -> Unit:
    """kb/s or Mb/s (powers of ten), whichever gives numbers of readable size."""
    return Unit(1e6, "Mb/s") if bits_per_second >= 1e6 else Unit(1e3, "kb/s")


def significant(value: float | None, digits: int = 4) -> str:
    """Fixed-point text with ``digits`` significant digits, at most ``digits`` + 1 of them decimals."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    whole = math.floor(math.log10(abs(value))) + 1
    return f"{value:.{min(max(digits - whole, 0), digits + 1)}f}"


def decimals(value: float | None, places: int) -> str:
    """Fixed-point text, or the sign for an unknown number."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{places}f}"


def bitrate(bits_per_second: float | None) -> str:
    """Such as ``2.03 Mb/s``."""
    if bits_per_second is None:
        return NONE
    unit = bitrate_unit(bits_per_second)
    return f"{unit.text(bits_per_second, 3)} {unit.name}"


def size(bits: float | None) -> str:
    """Bits as bytes: such as ``12.3 MB`` (powers of ten)."""
    if bits is None:
        return NONE
    count = bits / 8
    for scale, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= scale:
            return f"{significant(count / scale, 3)} {name}"
    return f"{count:.0f} B"


def clock(seconds: float | None) -> str:
    """Such as ``0:07`` or ``1:02:03``, cut to whole seconds."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    whole = int(max(seconds, 0))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def timestamp(seconds: float) -> str:
    """A time in the clip with milliseconds: such as ``1:07.040``."""
    thousandths = round(seconds * 1000)
    sign, thousandths = ("-", -thousandths) if thousandths < 0 else ("", thousandths)
    return f"{sign}{clock(thousandths // 1000)}.{thousandths % 1000:03}"


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and what is written there."""

    value: float
    text: str


def linear_ticks(low: float, high: float, count: int) -> list[Tick]:
    """About ``count`` ticks, two at least: multiples of 1, 2 or 5 times a power of ten within low..high."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    step = _round_step((high - low) / max(count, 1))
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first < 1 and count < 16:
        return linear_ticks(low, high, 2 * count)
    return [Tick(i * step, f"{i * step:.{places}f}") for i in range(first, last + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def log_ticks(low: float, high: float, count: int) -> list[Tick]:
    """Ticks within low..high: 1, 2 and 5 times powers of ten, or the powers alone; round values under a decade."""
    if not 0 < low < high:
        return []
    if high / low < 10:
        ticks = linear_ticks(low, high, count)
        return ticks if len(ticks) > 2 else linear_ticks(low, high, 2 * count)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1,)):
        values = [m * 10.0**e for e in exponents for m in multiples]
        values = [v for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
        if len(values) <= count:
            break
    values = values[:: -(-len(values) // max(count, 1))]
    return [Tick(v, f"{v:.{max(0, -math.floor(math.log10(v) + 1e-9))}f}") for v in values]


_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000)


def time_ticks(low: float, high: float, count: int) -> list[Tick]:
    """Round seconds, minutes or hours within low..high, written as clock times; decimals below a second's step."""
    if high <= low:
        return []
    rough = (high - low) / max(count, 1)
    if rough < 0.6:
        return [Tick(t.value, f"{t.text}s") for t in linear_ticks(low, high, count)]
    step = next((s for s in _TIME_STEPS if s >= rough), _TIME_STEPS[-1] * math.ceil(rough / _TIME_STEPS[-1]))
    return [
        Tick(i * step, clock(i * step)) for i in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]
