"""Two habits of the SVT-AV1 library that a guest in someone's process must not have, and how it loses them.

It writes its settings to standard error for every encoder. And run by root it gives the thread that opens an encoder
real-time priority over all other programs (SCHED_FIFO 99), for good, and the same to all threads of its own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import av

Result = TypeVar("Result")

_BUNDLED = (("av.libs", "libSvtAv1Enc*"), ("av/.dylibs", "libSvtAv1Enc*"))
_CAPABILITY_VERSION = 0x20080522
_CAP_SYS_NICE = 1 << 23


def tamed(work: Callable[[], Result]) -> Result:
    """Do something that opens SVT-AV1 encoders, on a thread that cannot raise its priority."""
    return _threads().submit(work).result()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    _silence()
    return ThreadPoolExecutor(os.cpu_count(), "svt", initializer=_give_up_priority)


def _give_up_priority() -> None:
    """Drop CAP_SYS_NICE from the calling thread: Linux keeps capabilities by thread, and new threads inherit them.

    Elsewhere, and for anyone but root, there is nothing to drop.
    """
    try:
        library = ctypes.CDLL(None)
        header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
        if library.capget(header, sets) == 0:
            sets[0] &= ~_CAP_SYS_NICE
            library.capset(header, sets)
    except (AttributeError, OSError, TypeError):
        return


def _silence() -> None:
    """Give the SVT-AV1 in PyAV's wheel a log function that does nothing; without effect where that is not found.

    The library reads SVT_LOG when it is loaded, long before a plugin is, so the environment comes too late. Its
    log function is called from its own threads while Python's lock may be held, so no Python function will do:
    a function of the C library without arguments and effects ignores what it is handed.
    """
    packages = Path(av.__file__).parent.parent
    for folder, pattern in _BUNDLED:
        for library in (packages / folder).glob(pattern):
            try:
                set_callback = ctypes.CDLL(str(library)).svt_av1_set_log_callback
                set_callback(ctypes.CDLL(None).getpid, None)
            except (OSError, AttributeError):
                continue
