"""Freed memory is kept: it does not come back from the system page by page."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

TAKE_AND_FREE = """
import resource, sys
import numpy as np
from maevid.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def round():
    for kib in (8000, 12000, 16000):
        np.ones(kib << 10, np.uint8)
round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is one of glibc")
def test_the_same_pieces_are_used_again() -> None:
    """Given back at once, as Dask's nannies set it, the 60 buffers are hundreds of thousands of pages."""

    def faults(how: str) -> int:
        command = [sys.executable, "-c", TAKE_AND_FREE, how]
        told = subprocess.run(
            command, env={"MALLOC_TRIM_THRESHOLD_": "65536"}, capture_output=True, text=True, check=True
        )
        return int(told.stdout)

    assert faults("freed") > 10_000
    assert faults("kept") < 100
