"""Where and in which precision the transforms run, chosen from what the machine does fast."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from maevid.errors import UsageError

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Placement:
    """A device and the type of the transforms' matrix products. Entropy networks always run in float32."""

    device: torch.device
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.device.type}, {str(self.dtype).removeprefix('torch.')}"


def choose_placement(device: str = "auto", precision: str = "auto") -> Placement:
    """Resolve ``auto``, ``cpu`` or ``cuda`` and one of PRECISIONS.

    bfloat16 on CPUs with AVX512-BF16 or AMX, where it is about three times as fast, float16 on CUDA, else float32.
    Raises UsageError for CUDA without a GPU and for unknown names.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}: use auto, cpu or cuda")
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}: use one of {', '.join(PRECISIONS)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available here: use --device cpu")
    chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if precision != "auto":
        if chosen == "cpu" and precision == "float16":
            raise UsageError("float16 is unusable on the CPU: use bfloat16 or float32")
        return Placement(torch.device(chosen), getattr(torch, precision))
    if chosen == "cuda":
        return Placement(torch.device("cuda"), torch.float16)
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return Placement(torch.device("cpu"), torch.bfloat16 if fast else torch.float32)
