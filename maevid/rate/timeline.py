"""When frames are shown and for how long: bit rates are reckoned from these times, never a nominal one."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median


@dataclass(frozen=True)
class Timeline:
    """Presentation times in seconds, strictly increasing, and the duration of the last frame (> 0).

    A frame lasts until the next one is shown. An hour has 90,000 of them: :meth:`of` keeps them as an array, and one
    that it is given as it is.
    """

    seconds: Sequence[float]
    last_duration: float

    def __post_init__(self) -> None:
        if not self.seconds or self.last_duration <= 0:
            raise ValueError("a timeline needs at least one frame and a positive last duration")
        if any(b <= a for a, b in itertools.pairwise(self.seconds)):
            raise ValueError("presentation times must increase from frame to frame")

    @classmethod
    def of(cls, seconds: Iterable[float], last_duration: float | None = None) -> Timeline:
        """From times in seconds. Without a known last duration it is the median gap (one frame: 1/25 s)."""
        times = seconds if isinstance(seconds, array) else array("d", seconds)
        if not last_duration or last_duration <= 0:
            gaps = array("d", (b - a for a, b in itertools.pairwise(times)))
            last_duration = median(gaps) if gaps else 1 / 25
        return cls(times, last_duration)

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def duration(self) -> float:
        """Last time + last duration - first time, in seconds."""
        return self.seconds[-1] + self.last_duration - self.seconds[0]

    @cached_property
    def gaps(self) -> array[float]:
        """The duration of every frame in seconds; worked out once, for controllers ask at every frame."""
        gaps = array("d", (b - a for a, b in itertools.pairwise(self.seconds)))
        gaps.append(self.last_duration)
        return gaps
