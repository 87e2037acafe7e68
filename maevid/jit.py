"""Loops compiled by Numba: once a machine, then loaded from its cache.

Imports Numba, so import it only where loops are. Raises ImportError where NUMBA_DISABLE_JIT is set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as typed_numba

# Numba's annotations cover little of what is used here and change from version to version.
numba: Any = typed_numba
types = numba.types

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")


def compiled(function: Callable[..., Any], signature: Any) -> tuple[Any, bool]:
    """The function compiled for a signature, and whether the machine code is cached on disk. It releases the GIL."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(signature, cache=True, **options)(function), True
    # Nowhere to write the cache (RuntimeError), or a spoiled one (whatever unpickling raises): do without.
    except Exception:
        return numba.njit(signature, cache=False, **options)(function), False


def loop(function: Callable[..., None], *arguments: Any) -> Any:
    """The same of a function that gives nothing, for arguments of these types."""
    return compiled(function, types.void(*arguments))[0]


def inlined(function: Callable[..., Any]) -> Any:
    """A function for compiled ones to call, as if it stood in them."""
    return numba.njit(function, nogil=True, inline="always")


def readable(element: Any, dimensions: int = 1) -> Any:
    """The type of a contiguous array that is only read."""
    return types.Array(element, dimensions, "C", readonly=True)
