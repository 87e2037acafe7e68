"""Counts and times the operators that PyTorch runs, whatever module or function called them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

KINDS = ("pointwise", "spatial", "other")
"""Matrix products and 1×1 convolutions; convolutions with a larger kernel; everything else."""


@dataclass
class Work:
    """Multiply-accumulate operations and seconds of wall time, by kind (see KINDS)."""

    macs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))

    @property
    def total_macs(self) -> int:
        """Of all kinds."""
        return sum(self.macs.values())


class OperatorHook(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, every operator of this thread is added to ``work``.

    Additions of biases, activations, copies and the like count no multiply-accumulate operations. On a GPU each
    operator is waited for, so that its time is its own. ``byte_parts`` int8 products count as one operation: so many
    does it take where a factor has more than eight bits.
    """

    def __init__(self, byte_parts: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()
        self._byte_parts = byte_parts

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        began = time.perf_counter()
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.is_cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        count = _COUNTS.get(func.overloadpacket)
        kind, macs = ("other", 0) if count is None else count(args, out)
        self.work.macs[kind] += macs // self._byte_parts if func.overloadpacket is _ATEN._int_mm else macs
        self.work.seconds[kind] += seconds
        return out


def _places(args: tuple[Any, ...], places: Tensor) -> tuple[str, int]:
    """A convolution whose weight, the second argument, is applied at each place of a batch (B, C, …)."""
    weight: Tensor = args[1]
    whole = weight.shape[2:].numel() == 1 and weight.shape[1] == args[0].shape[1]
    macs = weight.numel() * places.shape[0] * places.shape[2:].numel()
    return "pointwise" if whole else "spatial", macs


def _product(first: int) -> Callable[[tuple[Any, ...], Tensor], tuple[str, int]]:
    """A product of (…, n, k) and (…, k, m), which are the arguments from this one on."""
    return lambda args, out: ("pointwise", out.numel() * args[first].shape[-1])


# In inference mode functions arrive whole, else as the operators that they are made of.
_ATEN = torch.ops.aten
_COUNTS: dict[Any, Callable[[tuple[Any, ...], Tensor], tuple[str, int]]] = {
    _ATEN.conv2d: _places,
    _ATEN.conv_transpose2d: lambda args, out: _places(args, args[0]),
    _ATEN.convolution: lambda args, out: _places(args, args[0] if args[6] else out),
    _ATEN.linear: _product(0),
    _ATEN.matmul: _product(0),
    _ATEN.mm: _product(0),
    _ATEN._int_mm: _product(0),
    _ATEN.bmm: _product(0),
    _ATEN.addmm: _product(1),
    _ATEN.baddbmm: _product(1),
}
