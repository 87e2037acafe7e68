"""Exact matrix products of the entropy networks: in int8 where the CPU multiplies it fast, else in float32.

Both give the same whole numbers. AVX512-VNNI adds up int8 products in int32 at twice the speed of bfloat16 and four
times that of float32; a level of nine bits takes two of them. Older instructions clip their sums on the way, so what
is not known to be exact is not used.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maevid.model.fused.entropy_loops import Kernels, in_bytes, in_floats
from maevid.model.integer import ACTIVATION_LIMIT, MAX_EXPONENT, IntegerPointwise

_BYTE_LEVELS = 128
_TRIAL = (64, 300, 48)


@cache
def bytes_multiply_fast() -> bool:
    """Whether this CPU and this PyTorch have exact int8 products that are faster than float32."""
    known = getattr(torch.cpu, "_is_vnni_supported", None)
    if known is None or not known() or not hasattr(torch, "_int_mm"):
        return False
    rows, inputs, outputs = _TRIAL
    random = torch.Generator().manual_seed(0)
    # The largest magnitudes, whose sums are what instructions that clip would spoil.
    left, right = (
        (254 * torch.randint(0, 2, size, generator=random) - 127).to(torch.int8)
        for size in ((rows, inputs), (inputs, outputs))
    )
    try:
        return torch.equal(torch._int_mm(left, right), (left.long() @ right.long()).int())
    except RuntimeError:
        return False


class Levels:
    """How activations of a step are held: their type, their products' and the number of parts (see the loops)."""

    def __init__(self, step: float) -> None:
        self.step = step
        small = bytes_multiply_fast()
        self.kernels: Kernels = in_bytes if small else in_floats
        self.dtype, self.product = (torch.int8, torch.int32) if small else (torch.float32, torch.float32)
        self._array = np.int8 if small else np.float32
        self.parts = 2 if small and ACTIVATION_LIMIT / step > _BYTE_LEVELS else 1

    def empty(self, rows: int, channels: int) -> npt.NDArray[Any]:
        """Room for activations."""
        return np.empty((self.parts, rows, channels), self._array)


class Product:
    """A layer's product without its bias, with some of its outputs in an order of their own.

    A product's whole number times ``scale`` (outputs,) plus ``bias`` (outputs,) is what the layer gives.
    """

    def __init__(self, layer: IntegerPointwise, levels: Levels, outputs: Tensor | None = None) -> None:
        chosen = torch.arange(len(layer.weight)) if outputs is None else outputs
        weight = layer.weight.detach()[chosen]
        step = _grid(weight)
        self._weight = (weight / step[:, None]).t().contiguous().to(levels.dtype)
        self._levels = levels
        self.scale: npt.NDArray[np.float32] = (step * levels.step).numpy()
        self.bias: npt.NDArray[np.float32] = layer.bias.detach()[chosen].contiguous().numpy()

    def __call__(self, activations: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Levels (parts, rows, inputs) to (parts, rows, outputs)."""
        parts, rows, inputs = activations.shape
        flat = torch.from_numpy(activations.reshape(parts * rows, inputs))
        out = torch._int_mm(flat, self._weight) if self._levels.dtype == torch.int8 else flat @ self._weight
        found: npt.NDArray[Any] = out.view(parts, rows, -1).numpy()
        return found


def _grid(weight: Tensor) -> Tensor:
    """For each row the finest power of two of which its weights are -128 to 127 times; a model file's grid or finer."""
    # Half a step more than what is there keeps 128 out, and rounds nothing that is on a grid.
    peak = torch.maximum(weight.amax(1) * (128 / 127.5), -weight.amin(1)).clamp_min(2.0**-MAX_EXPONENT)
    return torch.exp2(torch.ceil(torch.log2(peak.double() / _BYTE_LEVELS))).to(weight.dtype)
