"""Batches that fit a GPU's memory: halved where it runs out, and never tried so large again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from maevid.errors import MaevidError

T = TypeVar("T")


class Batches:
    """Splits work on pictures into batches, and remembers how many samples the device had room for."""

    def __init__(self) -> None:
        self._room: int | None = None

    def run(self, count: int, most: int, samples: int, work: Callable[[slice], list[T]]) -> list[T]:
        """The results of ``work`` for ``count`` pictures of ``samples`` luma samples, at most ``most`` at once.

        ``work`` gets a slice of the pictures and returns a result for each. Where it runs out of the device's memory,
        half as many are tried; raises MaevidError where a single picture is too much.
        """
        results: list[T] = []
        while len(results) < count:
            size = min(most, count - len(results))
            if self._room is not None:
                size = min(size, max(1, self._room // samples))
            try:
                results += work(slice(len(results), len(results) + size))
            except torch.OutOfMemoryError:
                if size == 1:
                    raise MaevidError(
                        f"the GPU's memory does not hold one picture of {samples} samples; use --device cpu"
                    ) from None
                self._room = size // 2 * samples
            else:
                continue
            # After the exception, which holds what the batch had allocated.
            torch.cuda.empty_cache()
        return results
