"""Codecs shared by all readers and writers of a process, and the device that they run on."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.codec.registry import open_codec
from maevid.errors import ModelError, UsageError

if TYPE_CHECKING:
    import torch

_NO_CUDA_AFTER_FORK = (
    "CUDA cannot be used in a forked process: start the workers with multiprocessing_context='spawn', "
    "or decode with device='cpu'"
)


class _Fork:
    """Makes PyTorch usable in a forked process, where it would wait forever for threads that only its parent has.

    One thread needs no others; it is what PyTorch's DataLoader gives its workers, too.
    """

    unsettled = False

    @classmethod
    def settle(cls) -> None:
        if cls.unsettled:
            # Where PyTorch is not even imported there are no threads to wait for.
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
            cls.unsettled = False

    @classmethod
    def happened(cls) -> None:
        cls.unsettled = True


os.register_at_fork(after_in_child=_Fork.happened)


class Device:
    """Where frames are coded and decoded: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``cuda`` is the GPU that is PyTorch's current one now, and stays that: each thread has a current GPU of its own,
    and weights do not move.

    Raises UsageError for another name, for a GPU that is not there, and for CUDA in a forked process whose parent
    has used it.
    """

    def __init__(self, name: str) -> None:
        kind, _, number = name.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (
            ":" in name and not (kind == "cuda" and number.isdecimal())
        ):
            raise UsageError(f"unknown device {name!r}: use auto, cpu, cuda or cuda:N")
        self.kind = kind
        self._number = int(number) if number else None
        self._process = os.getpid()
        if kind != "cpu":
            self._look_for_cuda(name)

    @property
    def torch(self) -> torch.device:
        """As PyTorch names it."""
        import torch

        return torch.device(self.kind if self._number is None else f"{self.kind}:{self._number}")

    def selected(self) -> AbstractContextManager[object]:
        """Within it this device is the one that ``cuda`` means. Raises UsageError where a fork has cut it off."""
        if self.kind == "cuda" and os.getpid() != self._process:
            raise UsageError(_NO_CUDA_AFTER_FORK)
        _Fork.settle()
        if self._number is None:
            return nullcontext()
        import torch

        context: AbstractContextManager[object] = torch.cuda.device(self._number)
        return context

    def _look_for_cuda(self, name: str) -> None:
        import torch

        forked = torch.cuda._is_in_bad_fork()
        usable = torch.cuda.is_available() and not forked
        if self.kind == "auto":
            self.kind = "cuda" if usable else "cpu"
        elif not usable:
            raise UsageError(
                _NO_CUDA_AFTER_FORK if forked else "no CUDA device is available here: use device='cpu'"
            )
        elif self._number is not None and self._number >= torch.cuda.device_count():
            raise UsageError(f"there is no {name} here, only {torch.cuda.device_count()} CUDA devices")
        if self.kind == "cuda" and self._number is None:
            self._number = torch.cuda.current_device()


def shared_codec(
    name: str, device: Device, precision: str, weights: Path | None, effort: int = 0
) -> FrameCodec:
    """The codec of that name, opened once for all who ask for it alike.

    Raises UsageError for an unknown name, precision or effort, ModelError for unusable weights.
    """
    stamp = None
    if weights is not None:
        try:
            found = weights.stat()
        except OSError as error:
            raise ModelError(f"{weights}: not a usable model file ({error.strerror})") from error
        stamp = (found.st_mtime_ns, found.st_size)
    where = device.torch.index if device.kind == "cuda" else None
    with device.selected():
        return _opened(name, CodecOptions(device.kind, precision, weights, effort), where, stamp)


@lru_cache(maxsize=4)
def _opened(name: str, options: CodecOptions, where: int | None, stamp: tuple[int, int] | None) -> FrameCodec:
    """``where`` and ``stamp`` tell apart what ``options`` do not: the GPU, and a weights file that has changed."""
    return open_codec(name, options)
