"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 2**30
_FROM_THE_SYSTEM = 2**25


def keep_freed_memory() -> None:
    """Let glibc keep freed pieces of up to 32 MiB for this process; does nothing where the C library is another.

    A network's layers take and free the same megabytes for every picture. Given back to the system each time, they
    come again as thousands of page faults, some percent of the time of a picture; and coding takes three times as long
    where the environment asks for memory to go back at once. It holds for the whole process, so programs call this,
    the library does not.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # Setting one alone would end glibc's own adjusting of the other.
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _FROM_THE_SYSTEM)
