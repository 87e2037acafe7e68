"""Frame rates and time bases between PyAV and `Fraction`: the only place that knows how PyAV gives them.

PyAV 18 hands out `Fraction` or None; PyAV 19 is announced to hand out `AVRational`, whose "unset" is a
false value (0/1, 0/0) instead of None. Both answer to `numerator` and `denominator`, and that is all that
is used here. Their setters take a `Fraction` in both versions.
"""

from __future__ import annotations

from fractions import Fraction
from numbers import Rational
from typing import Protocol, cast

import av

MICROSECOND = Fraction(1, 1_000_000)


class HasTimeBase(Protocol):
    """Whatever of PyAV has a ``time_base`` (streams, packets, frames, codec contexts)."""

    @property
    def time_base(self) -> object:
        """PyAV's value, unset included."""


def as_fraction(value: object) -> Fraction | None:
    """A rational of PyAV as a positive `Fraction`; None when unset, infinite, zero or negative."""
    if value is None:
        return None
    rational = cast(Rational, value)
    numerator, denominator = int(rational.numerator), int(rational.denominator)
    if numerator <= 0 or denominator <= 0:
        return None
    return Fraction(numerator, denominator)


def time_base(thing: HasTimeBase, default: Fraction = MICROSECOND) -> Fraction:
    """Seconds per unit of the timestamps of ``thing``; ``default`` when PyAV does not know it."""
    return as_fraction(thing.time_base) or default


def frame_rate(stream: av.VideoStream) -> Fraction | None:
    """Frames per second: the stream's average, else FFmpeg's guess; None when neither is known."""
    return as_fraction(stream.average_rate) or as_fraction(stream.guessed_rate)


def sample_aspect_ratio(stream: av.VideoStream) -> Fraction:
    """Width over height of one sample; 1 when unset."""
    return as_fraction(stream.sample_aspect_ratio) or Fraction(1)


def rescale(value: int, unit: Fraction, new_unit: Fraction) -> int:
    """``value`` units of ``unit`` in units of ``new_unit``: nearest, halves away from zero (as FFmpeg)."""
    exact = value * unit / new_unit
    magnitude = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return magnitude if exact >= 0 else -magnitude
