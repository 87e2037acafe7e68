"""Loops over places on PyTorch's number of threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

SMALLEST_SHARE = 256
"""Places below which another thread costs more than it saves."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="maevid-fused")


if hasattr(os, "register_at_fork"):
    # Threads do not live through a fork.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def share(work: Callable[[int, int], object], places: int) -> None:
    """Call ``work(start, end)`` for parts of 0..places, one on each thread; ``work`` must release the GIL."""
    threads = max(1, min(torch.get_num_threads(), places // SMALLEST_SHARE))
    bounds = [places * number // threads for number in range(threads + 1)]
    others = []
    if threads > 1:
        others = [_pool().submit(work, *bounds[n : n + 2]) for n in range(1, threads)]
    work(bounds[0], bounds[1])
    for other in others:
        other.result()
