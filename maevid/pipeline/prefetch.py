"""Runs an iterator ahead in a thread of its own, a bounded number of items."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that a source may take to end: one that waits for a pipe may never."""


class Prefetch(Generic[T]):
    """Iterates over ``source`` in a background thread, at most ``depth`` items ahead of the reader.

    An exception of the source is raised where its item would have come. :meth:`close` stops the thread; the source
    is then not touched any more, unless it was stuck in a read that nobody answers, which ends with the process.
    """

    def __init__(self, source: Iterator[T], depth: int) -> None:
        self._source = source
        self._queue: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maevid-prefetch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for item in self._source:
                if not self._put((item,)):
                    return
        except BaseException as error:
            self._put(error)
        self._put(None)

    def _put(self, item: tuple[T] | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[T]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]

    def close(self) -> None:
        """Stop the thread and wait for it, :data:`PATIENCE` at most."""
        self._stop.set()
        self._thread.join(PATIENCE)
