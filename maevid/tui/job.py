"""A job of the pipeline as a session: it runs in its own thread, and its end is kept for whoever started it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from maevid.errors import MaevidError
from maevid.pipeline.events import Control, Phase, PhaseChanged
from maevid.tui.session import Publisher

T = TypeVar("T")


class JobSession(Control, Generic[T]):
    """An :class:`~maevid.tui.session.EncodeSession` around ``job``, which gets the publisher and this as its control.

    The job publishes its own events up to the final one; where it dies without, that is added here.
    """

    def __init__(self, job: Callable[[Publisher, Control], T]) -> None:
        super().__init__()
        self._job = job
        self._thread: threading.Thread | None = None
        self._result: T | None = None
        self._error: BaseException | None = None

    def start(self, publisher: Publisher) -> None:
        """Begin in a new thread; called once."""
        # Not a daemon: the interpreter waits for it, so that a lost display does not cost the file.
        self._thread = threading.Thread(target=self._run, args=(publisher,), name="maevid-job")
        self._thread.start()

    def _run(self, publisher: Publisher) -> None:
        try:
            self._result = self._job(publisher, self)
        except BaseException as error:
            self._error = error
            known = isinstance(error, MaevidError)
            detail = str(error) if known else f"defect: {type(error).__name__}: {error}"
            publisher.publish(PhaseChanged(Phase.FAILED, detail=detail))
        else:
            publisher.publish(PhaseChanged(Phase.DONE))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most ``timeout`` seconds; whether it has come."""
        if self._thread is None:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self) -> T:
        """What the job returned, after :meth:`wait`; raises what it raised."""
        if self._error is not None:
            raise self._error
        assert self._result is not None, "result() comes after wait()"
        return self._result
