"""The look-ahead of the first pass: which frames it will sample, and at which rates it will try them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from maevid.cluster.desk import HELD_BYTES, TASKS_AHEAD, Desk, Entry, bytes_of, chunk_of
from maevid.cluster.worker import Order
from maevid.pipeline.first_pass import sampled
from maevid.pipeline.team import FrameEvents
from maevid.rate import SceneWatcher, Trials
from maevid.video.frame import Frame

if TYPE_CHECKING:
    import av


class AnalysisAhead:
    """Sends the frames that the first pass will measure before it asks for them.

    Which frames those are is a matter of the pictures alone, and which of them are tried over the whole range one of
    counting. The rates near the target move so seldom that the last ones are a good guess. With ``curve`` the range is
    coded, otherwise estimated.
    """

    def __init__(self, desk: Desk, trials: Trials, *, curve: bool) -> None:
        self._desk, self._trials, self._curve = desk, trials, curve
        self._waiting: deque[Frame | av.Packet[Any]] = deque()
        self._bytes = 0
        self._chosen: list[Entry] = []
        self._count = 0
        self._ladder = set(trials.over_range(0))
        self._near: tuple[Order, ...] = ()
        desk.on_take = self._hear

    def events(self, source: FrameEvents) -> Iterator[Frame | av.Packet[Any]]:
        """The same events, later than they are read."""
        chosen = sampled(self._read(source))
        more = True
        while True:
            self._desk.forget_served()
            self._chosen = [entry for entry in self._chosen if not entry.served]
            before = len(self._chosen)
            while more and self._room():
                found = next(chosen, None)
                more = found is not None
                if found is not None:
                    self._chosen.append(self._desk.add(found[1]))
            if len(self._chosen) > before:
                self._send(self._chosen[before:])
            if not self._waiting:
                return
            event = self._waiting.popleft()
            if isinstance(event, Frame):
                self._bytes -= bytes_of(event)
            yield event

    def _read(self, source: FrameEvents) -> Iterator[tuple[Frame, bool]]:
        # The pass watches the scenes again when its turn comes: a look at the luma costs less than a second protocol.
        watch = SceneWatcher()
        for event in source:
            self._waiting.append(event)
            if isinstance(event, Frame):
                self._bytes += bytes_of(event)
                yield event, watch(event.y, event.seconds)[1]

    def _room(self) -> bool:
        if not self._chosen:
            return True
        full = TASKS_AHEAD * self._desk.slots * chunk_of(self._chosen[0].frame)
        return len(self._chosen) < full and self._bytes < HELD_BYTES

    def _send(self, entries: Sequence[Entry]) -> None:
        """The whole range for every so many of the frames, and what is near the target for all."""
        wanted: list[tuple[Entry, tuple[Order, ...]]] = []
        for entry in entries:
            range_ = self._trials.over_range(self._count)
            self._count += 1
            over = tuple(Order(i, reconstruct=self._curve, estimate=not self._curve) for i in range_)
            wanted.append((entry, over + self._near))
        size = chunk_of(entries[0].frame)
        for start in range(0, len(wanted), size):
            self._desk.send(wanted[start : start + size])

    def _hear(self, orders: Sequence[Order]) -> None:
        """The pass asks for orders; those near its target will be asked for the next frames too."""
        near = tuple(order for order in orders if order.estimate)
        if not near or {order.rate_index for order in near} >= self._ladder or set(near) <= set(self._near):
            return
        self._near = near
        ahead = [entry for entry in self._chosen if not entry.served]
        size = chunk_of(ahead[0].frame) if ahead else 1
        for start in range(0, len(ahead), size):
            self._desk.send([(entry, near) for entry in ahead[start : start + size]])
