"""The worker thread of ``inspect``: asks the session for pictures, facts and checks, so that the display never waits.

A picture is always asked for before anything else, and only the one wanted last: scrubbing skips what decoding
cannot keep up with. Packets are checked one by one in the idle time between.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maevid.errors import MaevidError
from maevid.tui.session import FactGroup, FloatArray, FramePicture, InspectSession


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer for one frame; ``error`` is the line to show when there is no picture for a reason."""

    position: int
    picture: FramePicture | None = None
    block_bits: FloatArray | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """How far the check is: ``bad`` holds (position, what is wrong) of every bad packet so far."""

    done: int = 0
    bad: tuple[tuple[int, str], ...] = ()


class Fetcher:
    """One thread around a session. The callbacks are called in that thread; they must not block."""

    def __init__(
        self,
        session: InspectSession,
        on_picture: Callable[[Fetched], None],
        on_facts: Callable[[Sequence[FactGroup]], None],
        on_check: Callable[[Checked], None],
    ) -> None:
        self._session = session
        self._on_picture = on_picture
        self._on_facts = on_facts
        self._on_check = on_check
        self._changed = threading.Condition()
        self._wanted: int | None = None
        self._facts_wanted = False
        self._checking = False
        self._checked = Checked()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="maevid-inspect", daemon=True)
        self._thread.start()

    def want_picture(self, position: int) -> None:
        """Ask for a frame; an older request that has not begun is forgotten."""
        with self._changed:
            self._wanted = position
            self._changed.notify()

    def want_facts(self) -> None:
        """Ask for the facts."""
        with self._changed:
            self._facts_wanted = True
            self._changed.notify()

    def want_check(self) -> None:
        """Check every packet, once, in idle time."""
        with self._changed:
            self._checking = self._session.checkable and self._checked.done < len(self._session.reports)
            self._changed.notify()

    def close(self, timeout: float = 5.0) -> None:
        """End the thread, which closes the session; waits at most ``timeout`` seconds for the answer at hand."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(self._has_work)
                    if self._closing:
                        return
                    wanted, self._wanted = self._wanted, None
                    facts = self._facts_wanted and wanted is None
                    if facts:
                        self._facts_wanted = False
                # The loop may be gone by the time that an answer comes: then nobody needs it.
                with contextlib.suppress(RuntimeError):
                    if wanted is not None:
                        self._on_picture(self._fetch(wanted))
                    elif facts:
                        self._on_facts(self._facts())
                    else:
                        self._check_next()
        finally:
            self._session.close()

    def _has_work(self) -> bool:
        return self._closing or self._wanted is not None or self._facts_wanted or self._checking

    def _fetch(self, position: int) -> Fetched:
        try:
            picture = self._session.picture(position)
            bits = None if picture is None else self._session.block_bits(position)
        except MaevidError as error:
            return Fetched(position, error=str(error))
        except Exception as error:
            return Fetched(position, error=f"defect while decoding: {type(error).__name__}: {error}")
        return Fetched(position, picture, bits)

    def _facts(self) -> Sequence[FactGroup]:
        try:
            return self._session.facts()
        except MaevidError as error:
            return [FactGroup("Facts", (("error", str(error)),))]

    def _check_next(self) -> None:
        position = self._checked.done
        try:
            wrong = self._session.check(position)
        except MaevidError as error:
            wrong = str(error)
        bad = (*self._checked.bad, (position, wrong)) if wrong else self._checked.bad
        self._checked = Checked(position + 1, bad)
        self._checking = position + 1 < len(self._session.reports)
        self._on_check(self._checked)
