"""Which parameter is trained by which optimizer: Muon for the matrices, AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MUON_RATE = 3e-3
ADAM_RATE = 1e-3


def build_optimizers(model: nn.Module, rate: float = 1.0) -> list[torch.optim.Optimizer]:
    """Muon on the weights of 1×1 layers (step size 0.2·√max side), AdamW on depthwise filters, biases, modulation.

    The first and last layer, whose KLT rows must keep their scale to the samples, and the small
    conditioning networks count as "the rest". ``rate`` scales both learning rates.
    """
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        conditional = ".hidden.weight" in name and parameter.shape[1] == 1
        conditional |= "condition" in name or "log_gain" in name
        edge = name in ("analysis.input.weight", "synthesis.output.weight")
        (matrices if parameter.ndim == 2 and not conditional and not edge else rest).append(parameter)
    muon = torch.optim.Muon(
        matrices, lr=MUON_RATE * rate, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(rest, lr=ADAM_RATE * rate, betas=(0.9, 0.98), weight_decay=0.0)
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return [muon, adam]


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to ``factor`` times its base."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor


def pack_state(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The optimizers' tensors under flat names, for safetensors."""
    flat: dict[str, Tensor] = {}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                flat[f"optimizer.{number}.{index}.{key}"] = torch.as_tensor(value)
    return flat


def unpack_state(optimizers: list[torch.optim.Optimizer], flat: dict[str, Tensor]) -> None:
    """The inverse of :func:`pack_state`; learning rates stay as they are."""
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Any]] = {}
        prefix = f"optimizer.{number}."
        for name, value in flat.items():
            if name.startswith(prefix):
                index, key = name[len(prefix) :].split(".", 1)
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
