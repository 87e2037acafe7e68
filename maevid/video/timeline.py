"""Presentation times that strictly increase: exact where the source's are sound, mended where they are
not."""

from __future__ import annotations

from fractions import Fraction

from maevid.video.notices import Notices

DEFAULT_RATE = Fraction(25)


class Timeline:
    """Gives each picture its time, in presentation order and in units of ``time_base``.

    A sound time passes through untouched, negative ones and gaps included. Otherwise:

    * missing: the decoding time when that is later than the last picture, else the last picture's end;
    * not later than the last one by up to a second (a repeated or swapped time): one unit after the last,
    the
      least change that keeps the order;
    * further back (a clock that starts anew in joined files): this and all later times move up so that the
      picture follows the last one without a gap.

    Each kind of repair is told in ``notices``. ``rate`` (pictures a second) spaces pictures of unknown
    duration.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None, notices: Notices) -> None:
        self._time_base = time_base
        self._spacing = max(1, round(1 / (rate or DEFAULT_RATE) / time_base))
        self._second = max(1, round(1 / time_base))
        self._notices = notices
        self._last: int | None = None
        self._last_duration = 0
        self._offset = 0
        self._index = 0

    def place(self, pts: int | None, dts: int | None, duration: int) -> int:
        """The time of the next picture; ``duration`` is 0 when unknown."""
        time = self._mended(pts, dts)
        self._last = time
        self._last_duration = duration
        self._index += 1
        return time

    def _mended(self, pts: int | None, dts: int | None) -> int:
        last = self._last
        following = 0 if last is None else last + (self._last_duration or self._spacing)
        if pts is None:
            self._notices.add("missing time", f"frame {self._index} has no time; rebuilt from its neighbours")
            usable = dts is not None and (last is None or dts + self._offset > last)
            return dts + self._offset if dts is not None and usable else following
        time = pts + self._offset
        if last is None or time > last:
            return time
        where = f"frame {self._index} ({float(last * self._time_base):.3f} s)"
        if last - time <= self._second:
            self._notices.add("repeated time", f"{where} is not later than the one before; moved by one unit")
            return last + 1
        self._offset += following - time
        self._notices.add("clock jump", f"the clock jumps back at {where}; later frames follow without a gap")
        return following
