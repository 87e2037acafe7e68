"""Where the orders for the frames ahead are written down: what was sent, what has come back, what is asked for now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maevid.cluster.pool import Pool, Task
from maevid.cluster.worker import Answer, Order
from maevid.video.frame import Frame

CHUNK_SAMPLES = 400_000
"""A task has frames of about so many luma samples, one at least: for less the way costs more than the work."""
CHUNK_FRAMES = 8
TASKS_AHEAD = 4
"""Tasks on their way for each slot of the workers."""
HELD_BYTES = 512 * 2**20
"""Frames that wait in the client and travel with tasks have at most about so many bytes."""


class Entry:
    """A frame that is known, and the tasks that hold the answers to its orders."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.served = False
        self._tasks: dict[Order, tuple[Task, int, int]] = {}

    def __contains__(self, order: Order) -> bool:
        return order in self._tasks

    @property
    def ordered(self) -> bool:
        """Whether anything has been ordered for it."""
        return bool(self._tasks)


class Desk:
    """Orders for frames, sent ahead of their turn or when they are asked for."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._entries: dict[int, Entry] = {}
        self.on_take: Callable[[Sequence[Order]], None] | None = None
        """Called with the orders for a frame before they are waited for."""

    @property
    def slots(self) -> int:
        """How many tasks the workers can do at once."""
        return self._pool.slots

    def add(self, frame: Frame) -> Entry:
        """Make a frame known before its turn."""
        entry = self._entries[id(frame)] = Entry(frame)
        return entry

    def send(self, wanted: Sequence[tuple[Entry, Sequence[Order]]], *, urgent: bool = False) -> None:
        """Send orders for frames in one task; those that were sent before are left out."""
        new = [(entry, [order for order in orders if order not in entry]) for entry, orders in wanted]
        new = [(entry, orders) for entry, orders in new if orders]
        if not new:
            return
        task = self._pool.send(
            [entry.frame for entry, _ in new], [orders for _, orders in new], urgent=urgent
        )
        for row, (entry, orders) in enumerate(new):
            for column, order in enumerate(orders):
                entry._tasks[order] = task, row, column

    def known(self, entry: Entry, order: Order) -> Answer | None:
        """The answer to an order if it has come back."""
        if order not in entry:
            return None
        task, row, column = entry._tasks[order]
        answers = task.answers
        return None if answers is None else answers[row][column]

    def take(self, frames: Sequence[Frame], orders: Sequence[Sequence[Order]]) -> list[list[Answer]]:
        """Answers to the orders of each frame; what nobody has sent ahead is sent now. Raises MaevidError."""
        entries = [self._entries.get(id(frame)) or Entry(frame) for frame in frames]
        for entry, wanted in zip(entries, orders, strict=True):
            entry.served = True
            if self.on_take is not None:
                self.on_take(wanted)
            self.send([(entry, wanted)], urgent=True)
        return [
            [self._answer(entry, order) for order in wanted]
            for entry, wanted in zip(entries, orders, strict=True)
        ]

    def forget_served(self) -> None:
        """Let go of the frames that were asked for."""
        self._entries = {key: entry for key, entry in self._entries.items() if not entry.served}

    def clear(self) -> None:
        """Let go of everything: a pass has ended."""
        self._entries.clear()
        self.on_take = None

    def _answer(self, entry: Entry, order: Order) -> Answer:
        task, row, column = entry._tasks[order]
        return self._pool.fetch(task)[row][column]


def chunk_of(frame: Frame) -> int:
    """Frames like this one in a task."""
    return max(1, min(CHUNK_FRAMES, CHUNK_SAMPLES // frame.y.size))


def bytes_of(frame: Frame) -> int:
    """Bytes of its planes."""
    return sum(plane.nbytes for plane in frame.planes)
