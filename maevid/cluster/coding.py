"""The look-ahead of the encode: a copy of the rate controller is run ahead, and frames are coded as it says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from maevid.cluster.desk import HELD_BYTES, TASKS_AHEAD, Desk, Entry, bytes_of, chunk_of
from maevid.cluster.worker import Order
from maevid.codec.interface import Encoded, FrameCodec
from maevid.errors import MaevidError
from maevid.pipeline.frame_loop import batch_of, report_on
from maevid.pipeline.team import FrameEvents
from maevid.rate import RateController
from maevid.report import FrameReport
from maevid.video.frame import Frame

if TYPE_CHECKING:
    import av

TRIES = 4
"""How often a frame is coded again in a look-ahead, at most."""


@dataclass(frozen=True)
class _Ahead:
    number: int
    entry: Entry


class CodingAhead:
    """Sends the frames of the encode before their turn, at the rate indices that the controller is going to choose.

    The controller steers by the packets' true sizes, so its choices are foreseen by a copy of it that is told the sizes
    that have come back and, for the others, what it expects itself. Where the copy changes its mind about a frame that
    is soon due, the frame is sent once more.
    """

    def __init__(
        self,
        desk: Desk,
        codec: FrameCodec,
        controller: RateController,
        *,
        measure: bool,
        planned: int | None,
    ) -> None:
        self._desk, self._codec, self._controller = desk, codec, controller
        self._measure, self._planned = measure, planned
        self._waiting: deque[Frame | av.Packet[Any]] = deque()
        self._ahead: deque[_Ahead] = deque()
        self._bytes = 0
        self._read = 0
        self._foreseen = 0

    def events(self, source: FrameEvents) -> Iterator[Frame | av.Packet[Any]]:
        """The same events, later than they are read."""
        incoming = iter(source)
        more = True
        while True:
            self._desk.forget_served()
            while self._ahead and self._ahead[0].number < self._controller.asked:
                entry = self._ahead.popleft().entry
                self._bytes -= bytes_of(entry.frame)
                # Nobody asked for it where an interrupted encode has it already.
                entry.served = True
            step, room = self._step(), self._room()
            read = self._read
            while more and room >= step and self._read - read < room:
                event = next(incoming, None)
                more = event is not None
                if event is not None:
                    self._take(event)
            if self._read > read or self._controller.asked >= self._foreseen + step:
                self._foresee(read)
            if not self._waiting:
                return
            yield self._waiting.popleft()

    def _take(self, event: Frame | av.Packet[Any]) -> None:
        self._waiting.append(event)
        if isinstance(event, Frame):
            self._ahead.append(_Ahead(self._read, self._desk.add(event)))
            self._bytes += bytes_of(event)
            self._read += 1

    def _step(self) -> int:
        """Frames after which it is worth while to look ahead again: that takes a millisecond for each frame ahead."""
        if not self._ahead:
            return 1
        return max(chunk_of(self._ahead[0].entry.frame), self._full() // 8)

    def _full(self) -> int:
        frame = self._ahead[0].entry.frame
        batch = batch_of(self._controller, frame)
        return max(TASKS_AHEAD * self._desk.slots * chunk_of(frame), 2 * batch)

    def _room(self) -> int:
        """How many frames may be read now."""
        if not self._ahead:
            return 1
        per_frame = bytes_of(self._ahead[0].entry.frame)
        return min(self._full() - len(self._ahead), (HELD_BYTES - self._bytes) // per_frame)

    def _foresee(self, first_new: int) -> None:
        """Send what frames need that were read from number ``first_new`` on, and mend what is wrong of those before."""
        self._foreseen = self._controller.asked
        due = self._controller.asked + max(1, len(self._ahead) // 2)
        new: list[tuple[Entry, list[Order]]] = []
        for ahead, orders in self._choices():
            if ahead.number >= first_new or not ahead.entry.ordered:
                new.append((ahead.entry, orders[:1]))
            elif ahead.number < due:
                self._desk.send([(ahead.entry, orders)], urgent=True)
        size = chunk_of(new[0][0].frame) if new else 1
        for start in range(0, len(new), size):
            self._desk.send(new[start : start + size])

    def _choices(self) -> list[tuple[_Ahead, list[Order]]]:
        """What the controller is going to order for the frames ahead, each order it may then replace included.

        It ends early where the controller would give up: that error is for its own time.
        """
        found: list[tuple[_Ahead, list[Order]]] = []
        twin = self._controller.fork()
        frames = [a for a in self._ahead if self._planned is None or a.number < self._planned]
        batch = batch_of(twin, frames[0].entry.frame) if frames else 1
        try:
            for start in range(0, len(frames), batch):
                together = frames[start : start + batch]
                indices = [twin.next_index(ahead.number) for ahead in together]
                for ahead, index in zip(together, indices, strict=True):
                    found.append((ahead, self._settle(twin, ahead, index)))
        except MaevidError:
            pass
        return found

    def _settle(self, twin: RateController, ahead: _Ahead, index: int) -> list[Order]:
        orders = []
        for _ in range(TRIES):
            order = Order(index, self._measure)
            orders.append(order)
            retry = twin.observe(self._report(twin, ahead, order))
            if retry is None:
                return orders
            index = retry.rate_index
        # The twin is still busy with this frame, and cannot be asked for another.
        raise MaevidError

    def _report(self, twin: RateController, ahead: _Ahead, order: Order) -> FrameReport:
        index = order.rate_index
        bits, psnr = twin.expects(ahead.number, index), {}
        coded = cast("Encoded | None", self._desk.known(ahead.entry, order))
        if coded is not None:
            bits, psnr = 8 * len(coded.packet.to_bytes()), dict(coded.psnr)
        lam = self._codec.lam(index)
        return report_on(ahead.entry.frame, ahead.number, index, lam=lam, bits=round(bits), psnr=psnr)
