"""An independent check of a written file against a peak limit; it shares nothing with the controllers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Underflow(NamedTuple):
    """A frame that was not wholly there when it was to be shown, and how many bits were missing."""

    frame: int
    missing_bits: float


def leaky_bucket(
    sizes: Sequence[int], times: Sequence[float], maxrate: float, bufsize: float
) -> list[Underflow]:
    """Every underflow of packets of ``sizes`` bytes shown at ``times`` seconds; none means conformance.

    ``maxrate`` is in bit/s, ``bufsize`` in bits. The sum over the worst window that ends at each frame is
    compared with what the window may hold. After an underflow the player is taken to have waited for the
    missing bits.
    """
    found: list[Underflow] = []
    backlog = 0.0
    previous = times[0] if times else 0.0
    for frame, (size, now) in enumerate(zip(sizes, times, strict=True)):
        backlog = max(0.0, backlog - maxrate * (now - previous)) + 8 * size
        previous = now
        if backlog > bufsize * (1 + 1e-12):
            found.append(Underflow(frame, backlog - bufsize))
            backlog = bufsize
    return found
