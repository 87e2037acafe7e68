"""Presentation times that strictly increase: exact where the source's are sound, mended where they are
not."""

from __future__ import annotations

from fractions import Fraction

from maevid.video.notices import Notices

DEFAULT_RATE = Fraction(25)


class Timeline:
    """Gives each picture its time, in presentation order and in units of ``time_base``.

    A sound time passes through untouched, negative ones and gaps included. Otherwise:

    * missing: the decoding time when that is later than the last picture (AVI has no other, so this is not
      told), else as far after the last picture as that was after its own predecessor;
    * not later than the last one by up to a second (a repeated or swapped time): one unit after the last,
      the least change that keeps the order;
    * further back (a clock that starts anew in joined files): this and all later times move up so that the
      picture follows the last one without a gap.

    Each other kind of repair is told in ``notices``. ``rate`` (pictures a second) spaces the first pictures.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None, notices: Notices) -> None:
        self._time_base = time_base
        self._step = max(1, round(1 / (rate or DEFAULT_RATE) / time_base))
        self._second = max(1, round(1 / time_base))
        self._notices = notices
        self._last: int | None = None
        self._offset = 0
        self._index = 0
        self._by_decoding_time = False

    def place(self, pts: int | None, dts: int | None) -> int:
        """The time of the next picture."""
        time = self._mended(pts, dts)
        if self._last is not None:
            self._step = time - self._last
        self._last = time
        self._index += 1
        return time

    def _mended(self, pts: int | None, dts: int | None) -> int:
        last = self._last
        following = 0 if last is None else last + self._step
        if pts is None:
            if dts is not None and (last is None or dts + self._offset > last):
                self._by_decoding_time = True
                return dts + self._offset
            if not self._by_decoding_time:
                self._notices.add("missing time", f"frame {self._index} has no time; it follows the last one")
            return following
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
