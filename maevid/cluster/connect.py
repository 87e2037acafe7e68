"""From ``--cluster`` to workers: a scheduler that answers and has some, or processes of this machine."""

from __future__ import annotations

import logging
import os
import pickle
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maevid.cluster import worker
from maevid.errors import MaevidError, UsageError

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
ANSWER_SECONDS = 5.0
"""How long a scheduler may take to answer, and then to show a worker."""
_SETTINGS = {
    # A large picture is a large task; it is bounded all the same.
    "distributed.admin.large-graph-warning-threshold": "1GiB",
}


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at ``address``, or of one worker for each core of this machine (``local``).

    Raises UsageError where Dask is missing, MaevidError where nobody answers or no worker is there.
    """
    try:
        import dask
        import distributed
    except ModuleNotFoundError as missing:
        raise UsageError(f"--cluster needs {missing.name}: pip install 'maevid[cluster]'") from None
    with dask.config.set(_SETTINGS), _quiet():
        if address == LOCAL:
            try:
                cluster = distributed.LocalCluster(
                    n_workers=_cores(),
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            except RuntimeError as error:
                raise MaevidError(f"no worker processes could be started: {error}") from error
            with cluster, distributed.Client(cluster) as client:
                yield client
            return
        with _client(address) as client:
            yield client


def _client(address: str) -> Client:
    import distributed

    try:
        client = distributed.Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, TimeoutError):
        raise MaevidError(f"no Dask scheduler answers at {address}") from None
    try:
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
    except TimeoutError:
        client.close()
        raise MaevidError(f"the scheduler at {address} has no workers: start some with dask worker") from None
    return client


def send_weights(client: Client, path: Path) -> str:
    """Give a weights file to all workers, those that come later too; returns its name for ``Setup.weights``.

    Raises MaevidError where it cannot be read.
    """
    from distributed import WorkerPlugin

    class WeightsFile(WorkerPlugin):  # type: ignore[misc]
        """Puts a file into a worker's folder, and takes it away again."""

        idempotent = True

        def __init__(self, name: str, data: bytes) -> None:
            self.name, self.data = name, data

        def setup(self, worker: Any) -> None:
            """Write the file."""
            from maevid.cluster.worker import sent_weights

            path = Path(worker.local_directory) / self.name
            path.write_bytes(self.data)
            sent_weights[self.name] = path

        def teardown(self, worker: Any) -> None:
            """Remove it."""
            from maevid.cluster.worker import sent_weights

            sent_weights.pop(self.name).unlink(missing_ok=True)

    try:
        data = path.read_bytes()
    except OSError as reason:
        raise MaevidError(f"{path}: {reason.strerror}") from None
    name = f"maevid-{uuid.uuid4().hex}.safetensors"
    client.register_plugin(WeightsFile(name, data), name=name)
    return name


def check_workers(client: Client, setup: worker.Setup, seconds: float) -> None:
    """Let every worker compare its codec with the client's; one that is busy for ``seconds`` is left to its first task.

    Raises ModelError for one that differs, MaevidError for one that cannot tell.
    """
    call = bytes(worker.Call(worker.verify, setup))
    asked = [
        client.submit(pickle.loads, call, workers=[address], pure=False, priority=10)
        for address in client.nthreads()
    ]
    until = time.monotonic() + seconds
    for future in asked:
        try:
            future.result(timeout=max(0.1, until - time.monotonic()))
        except TimeoutError:
            continue
        except Exception as reason:
            raise as_error(reason) from None


def as_error(reason: BaseException | None) -> MaevidError:
    """What to tell a user of an exception that came from a worker."""
    if isinstance(reason, MaevidError):
        return reason
    if isinstance(reason, ModuleNotFoundError):
        return MaevidError(f"a worker has no {reason.name}: install the same maevid on all machines")
    return MaevidError(f"a worker failed: {type(reason).__name__}: {_line(reason)}")


def _line(reason: object) -> str:
    lines = str(reason).strip().splitlines()
    return lines[0] if lines else "no reason given"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask tells of every lost connection on standard error, with tracebacks; what matters is told by errors."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado.application", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
