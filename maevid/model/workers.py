"""Threads with one PyTorch thread each: pictures coded side by side, and loops over the places of one picture.

On the CPU two pictures on a core each take less time than one after the other on both: nothing waits for the slower
half of an operation, and what one thread does alone leaves no core idle.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

LANE_SAMPLES = 4_200_000
"""Luma samples under way at once, so that large pictures do not multiply the memory."""
SMALLEST_SHARE = 256
"""Places of a loop below which another thread costs more than it saves."""


def lanes_for(samples: int) -> int:
    """How many pictures of so many luma samples to code side by side in this thread's share of the machine."""
    return max(1, min(torch.get_num_threads(), LANE_SAMPLES // max(1, samples)))


def submit(count: int, work: Callable[[T], R], item: T) -> Future[R]:
    """Start ``work(item)`` in one of ``count`` threads."""
    return _pool(count).submit(work, item)


def side_by_side(count: int, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``work`` of every item, in order, in ``count`` threads (1: in this one). Raises as the first failure does."""
    return [work(item) for item in items] if count == 1 else list(_pool(count).map(work, items))


def share(work: Callable[[int, int], object], places: int) -> None:
    """Call ``work(start, end)`` for parts of 0..places, one on each thread; ``work`` must release the GIL."""
    threads = max(1, min(torch.get_num_threads(), places // SMALLEST_SHARE))
    bounds = [places * number // threads for number in range(threads + 1)]
    others = [_pool(threads).submit(work, *bounds[n : n + 2]) for n in range(1, threads)]
    work(bounds[0], bounds[1])
    for other in others:
        other.result()


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(count, thread_name_prefix="maevid")
    # A thread's number becomes that of all threads to come, so ours is set again once all have theirs.
    before, all_there = torch.get_num_threads(), threading.Barrier(count)

    def begin() -> None:
        # A thread that has never asked for its number would, when it does, take that of all threads.
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_there.wait()

    for started in [pool.submit(begin) for _ in range(count)]:
        started.result()
    torch.set_num_threads(before)
    return pool


if hasattr(os, "register_at_fork"):
    # Threads do not live through a fork.
    os.register_at_fork(after_in_child=_pool.cache_clear)
