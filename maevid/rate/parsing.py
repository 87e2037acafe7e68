"""Sizes, rates and zones as users write them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from maevid.errors import UsageError

_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmg]?)", re.IGNORECASE)
_ZONE = re.compile(r"(\d+)-(\d+|end):(quality|lam|factor)=(.+)")

ZoneKind = Literal["quality", "lam", "factor"]


def _amount(text: str, suffix: str, what: str, example: str) -> float:
    matched = _AMOUNT.fullmatch(re.sub(suffix, "", text.strip()))
    value = float(matched[1]) * _UNITS[matched[2].lower()] if matched else 0.0
    if not 0 < value < math.inf:
        raise UsageError(
            f"{text!r} is not a {what}: give a positive number with k, M or G, such as {example}"
        )
    return value


def parse_rate(text: str) -> float:
    """Bits per second from ``600k``, ``2M``, ``1.5G``, ``64000`` (k = 1000; ``bps``, ``b/s`` may follow)."""
    return _amount(text, r"(?<=[\d. kKmMgG])(?:b/s|bps|bit/s)$", "bit rate", "600k or 2M")


def parse_size(text: str) -> int:
    """Bytes from ``20M``, ``20MB``, ``700k``, ``1.5G`` (k = 1000; a B for bytes may follow), rounded down."""
    return max(1, int(_amount(text, r"(?<=[\d. kKmMgG])B$", "size", "20M or 700kB")))


@dataclass(frozen=True, slots=True)
class Zone:
    """Frames ``start``..``end`` (both included, ``end`` None: to the last) with a setting of their own.

    ``quality`` (0..100) and ``lam`` fix the rate index; ``factor`` multiplies the λ that the controller
    chooses.
    """

    start: int
    end: int | None
    kind: ZoneKind
    value: float

    def holds(self, frame: int) -> bool:
        """Whether the zone covers a frame."""
        return self.start <= frame and (self.end is None or frame <= self.end)


def parse_zone(text: str) -> Zone:
    """A zone from ``0-99:quality=60``, ``100-end:lam=0.01`` or ``50-74:factor=2``. Raises UsageError."""
    matched = _ZONE.fullmatch(text.strip())
    try:
        value = float(matched[4]) if matched else math.nan
    except ValueError:
        value = math.nan
    if matched is None or not math.isfinite(value):
        raise UsageError(
            f"{text!r} is not a zone: write START-END:quality=Q, :lam=X or :factor=F, such as 0-99:quality=60"
        )
    start, end = int(matched[1]), None if matched[2] == "end" else int(matched[2])
    if end is not None and end < start:
        raise UsageError(f"zone {text!r} ends before it starts")
    kind: ZoneKind = "quality" if matched[3] == "quality" else "lam" if matched[3] == "lam" else "factor"
    if kind == "quality" and not 0 <= value <= 100:
        raise UsageError(f"zone {text!r}: quality goes from 0 to 100")
    if kind != "quality" and value <= 0:
        raise UsageError(f"zone {text!r}: {kind} must be positive")
    return Zone(start, end, kind, value)


def format_rate(bits_per_second: float) -> str:
    """A bit rate for people: ``83.2 kb/s``, ``2.05 Mb/s``."""
    for factor, unit in ((1e9, "Gb/s"), (1e6, "Mb/s"), (1e3, "kb/s")):
        if bits_per_second >= factor:
            return f"{bits_per_second / factor:.4g} {unit}"
    return f"{bits_per_second:.4g} b/s"


def format_size(size: float) -> str:
    """A number of bytes for people: ``700 kB``, ``20 MB``."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size:.4g} B"
