"""Keeps SVT-AV1 from writing its settings to standard error for every frame."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path

import av

_BUNDLED = (("av.libs", "libSvtAv1Enc*"), ("av/.dylibs", "libSvtAv1Enc*"))


@lru_cache(maxsize=1)
def silence_svt() -> None:
    """Give the SVT-AV1 in PyAV's wheel a log function that does nothing; without effect where that is not found.

    The library reads SVT_LOG when it is loaded, long before a plugin is, so the environment comes too late. Its
    log function is called from its own threads while Python's lock may be held, so no Python function will do:
    a function of the C library without arguments and effects ignores what it is handed.
    """
    os.environ.setdefault("SVT_LOG", "1")
    packages = Path(av.__file__).parent.parent
    for folder, pattern in _BUNDLED:
        for library in (packages / folder).glob(pattern):
            try:
                set_callback = ctypes.CDLL(str(library)).svt_av1_set_log_callback
                set_callback(ctypes.CDLL(None).getpid, None)
            except (OSError, AttributeError):
                continue
