"""Which parameter is trained by which optimizer: Muon for the matrices, AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ENTROPY_RATE = 3e-3
BRANCH_RATE = 3e-3
SPINE_RATE = 3e-4
SMALL_RATE = 1e-3
ORTHOGONAL_STEPS = 3
"""Newton-Schulz iterations: five took a quarter of a step's time, for no gain that could be seen."""
SPINE = ("analysis.input", "analysis.down", "synthesis.up", "synthesis.output")


def build_optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon on the matrices (step size 0.2·√max side), AdamW on depthwise filters, biases and modulation.

    The spine (the four layers that start as the KLT) moves slowly under AdamW: at 45 dB a change of 1 % in
    it costs more than the quantiser. The branches of the transforms have a rate of their own beside the entropy
    networks'.
    """
    entropy, branches, spine, small = [], [], [], []
    for name, parameter in model.named_parameters():
        conditional = "condition" in name or "log_gain" in name or "normalisations" in name
        if parameter.ndim != 2 or conditional:
            small.append(parameter)
        elif name.removesuffix(".weight") in SPINE:
            spine.append(parameter)
        elif name.startswith(("analysis.", "synthesis.")):
            branches.append(parameter)
        else:
            entropy.append(parameter)
    muon = torch.optim.Muon(
        [{"params": entropy, "lr": ENTROPY_RATE}, {"params": branches, "lr": BRANCH_RATE}],
        weight_decay=0.0,
        momentum=0.95,
        ns_steps=ORTHOGONAL_STEPS,
        adjust_lr_fn="match_rms_adamw",
    )
    adam = torch.optim.AdamW(
        [{"params": small, "lr": SMALL_RATE}, {"params": spine, "lr": SPINE_RATE}],
        betas=(0.9, 0.98),
        weight_decay=0.0,
    )
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
