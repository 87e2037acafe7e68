"""Workers as a place to send frames to: tasks that survive the loss of a worker, and answers or one clear line."""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, cast

from maevid.cluster.connect import as_error
from maevid.cluster.worker import Answer, Call, Order, Setup, work
from maevid.errors import MaevidError
from maevid.pipeline.events import Listener, Note
from maevid.video.frame import Frame

if TYPE_CHECKING:
    from distributed import Client

POLL_SECONDS = 1.0
"""How often a wait looks whether there is still somebody to wait for."""
PATIENCE_SECONDS = 30.0
"""How long a job waits for a worker once all are gone: one that is started anew takes a few seconds."""

log = logging.getLogger(__name__)


class Task:
    """Frames on their way. The answers come by themselves, a list for each frame; :meth:`Pool.fetch` waits for them."""

    def __init__(self, fetching: Future[list[Any]]) -> None:
        self.fetching = fetching

    @property
    def answers(self) -> list[list[Answer]] | None:
        """The answers if they are there."""
        if not self.fetching.done() or self.fetching.cancelled() or self.fetching.exception() is not None:
            return None
        answers: list[list[Answer]] = self.fetching.result()[0]
        return answers


class Pool:
    """The workers of a client. ``slots`` is how many tasks they can do at once."""

    def __init__(self, client: Client, setup: Setup, publish: Listener) -> None:
        self._client, self._setup, self._publish = client, setup, publish
        self._workers: dict[str, int] = dict(client.nthreads())
        self._looked = self._seen = time.monotonic()
        self._tasks = self._orders = self._bytes = 0

    @property
    def slots(self) -> int:
        """Threads of all workers, one at least."""
        return max(1, sum(self._workers.values()))

    @property
    def workers(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    def send(
        self, frames: Sequence[Frame], orders: Sequence[Sequence[Order]], *, urgent: bool = False
    ) -> Task:
        """Have orders carried out, those of ``orders[i]`` for ``frames[i]``; ``urgent`` ones before all others.

        The frames travel with the task: until it is done the scheduler holds them, and gives them to another worker
        when one is lost.
        """
        data = bytes(Call(work, self._setup, list(frames), [list(o) for o in orders]))
        self._tasks += 1
        self._orders += sum(len(o) for o in orders)
        self._bytes += len(data)
        client: Any = self._client
        future = client.submit(pickle.loads, data, pure=False, priority=int(urgent))
        fetched = client.gather([future], asynchronous=True)
        return Task(asyncio.run_coroutine_threadsafe(fetched, client.loop.asyncio_loop))

    def fetch(self, task: Task) -> list[list[Answer]]:
        """Wait for the answers. Raises MaevidError where they will not come: the error of a worker, or none left."""
        waited = False
        while True:
            self.look()
            try:
                answers = cast("list[list[Answer]]", task.fetching.result(timeout=POLL_SECONDS)[0])
            except CancelledError:
                raise MaevidError("the connection to the Dask scheduler is lost") from None
            except Exception as reason:
                if task.fetching.done():
                    raise self._error(reason) from None
                waited = True
            else:
                if waited:
                    # What was late may have been a lost worker's.
                    self.look(at_once=True)
                return answers

    def look(self, *, at_once: bool = False) -> None:
        """See, now and then, which workers there are; tells of those that are gone. Raises MaevidError when all are."""
        now = time.monotonic()
        if not at_once and now - self._looked < POLL_SECONDS:
            return
        self._looked = now
        client: Any = self._client
        try:
            there = dict(client.sync(client.scheduler.ncores, callback_timeout=PATIENCE_SECONDS))
        except (OSError, TimeoutError, RuntimeError):
            raise MaevidError("the connection to the Dask scheduler is lost") from None
        for address in self._workers.keys() - there.keys():
            self._publish(Note(f"worker {address} is gone: the others code its frames"))
        self._workers = there
        if there:
            self._seen = now
        elif now - self._seen > PATIENCE_SECONDS:
            raise MaevidError(f"the cluster has had no worker for {PATIENCE_SECONDS:.0f} seconds")

    def close(self) -> None:
        """Say what was sent, for those who measure."""
        log.info("%d tasks, %d orders, %d bytes sent", self._tasks, self._orders, self._bytes)

    def _error(self, reason: Exception) -> MaevidError:
        from distributed import KilledWorker

        if isinstance(reason, KilledWorker):
            return MaevidError(
                "the same frames have brought down one worker after another: is there memory enough for them?"
            )
        return as_error(reason)
