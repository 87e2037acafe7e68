"""The state of a training run on disk: everything needed to go on exactly where it stopped.

Random numbers need no state: each step seeds them by its own number (:mod:`maevid.training.loop`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from maevid.atomic import flush_to_disk
from maevid.errors import ModelError
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.config import ModelConfig
from maevid.training.optimizers import pack_state, unpack_state

STATE_FILE = "state.safetensors"
ROUNDED_FROM = 2000
"""Steps after which the entropy networks round as they will in the end."""
EXACT_FROM = 0.9
"""Share of a decay after which their products are exact too, since a step then takes longer."""


@dataclass
class Progress:
    """Counters that travel with the weights. ``seconds`` is training time over all sessions, ``rate`` the factor of
    all learning rates before any decay.

    ``earlier_steps`` and ``earlier_seconds`` are those of the model file that the run began with; None: of none.
    """

    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    rate: float = 1.0
    decay_start: int = 0
    decay_steps: int = 0
    earlier_steps: int | None = None
    earlier_seconds: float = 0.0

    @property
    def rounded(self) -> bool:
        """Whether weights, activations and results of the entropy networks are rounded to their integer grids."""
        return self.step + (self.earlier_steps or 0) >= ROUNDED_FROM

    @property
    def exact(self) -> bool:
        """Whether they are, and multiplied without error as well."""
        return self.decay_steps > 0 and self.step >= self.decay_start + EXACT_FROM * self.decay_steps


class Average:
    """Exponential moving average of a model's weights, in float32; what is evaluated and what ships."""

    def __init__(self, model: torch.nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        """Fold in the weights after ``step`` steps; early on the average follows faster."""
        keep = min(self.decay, (1 + step) / (10 + step))
        current = model.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [current[k] for k in self.weights], 1 - keep)


def save_run(
    folder: Path,
    model: ModulatedAutoencoder,
    average: Average,
    optimizers: list[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    """Write the whole state atomically: a kill at any moment leaves the old or the new state, never half of one."""
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.weights.items()}
    tensors |= pack_state(optimizers)
    metadata = {
        "config": json.dumps(model.config.to_dict()),
        "progress": json.dumps(progress.__dict__),
    }
    _write(folder, {k: v.contiguous().clone() for k, v in tensors.items()}, metadata)


def _write(folder: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (STATE_FILE + ".part")
    save_file(tensors, partial, metadata)
    flush_to_disk(partial)
    os.replace(partial, folder / STATE_FILE)


def branch_run(folder: Path, branch: Path) -> None:
    """Copy a run's state to start a branch from it; a branch that has begun already is left as it is.

    The branch of a branch starts without its decay: at the held learning rate, and without exact arithmetic. Raises
    ModelError where there is no run to branch from, even if the branch is there: the two may have been named the
    other way round, and the held run would decay.
    """
    metadata = _metadata(folder)
    if (branch / STATE_FILE).exists():
        return
    progress = json.loads(metadata["progress"])
    progress |= {"decay_start": 0, "decay_steps": 0}
    metadata["progress"] = json.dumps(progress)
    with safe_open(folder / STATE_FILE, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (safe_open is no mapping)
    _write(branch, tensors, metadata)


def read_config(folder: Path) -> ModelConfig:
    """The configuration of a saved run. Raises ModelError when there is none."""
    return ModelConfig.from_dict(json.loads(_metadata(folder)["config"]))


def load_run(
    folder: Path,
    model: ModulatedAutoencoder,
    average: Average,
    optimizers: list[torch.optim.Optimizer],
) -> Progress:
    """Restore everything that :func:`save_run` wrote into objects built for the same configuration."""
    metadata = _metadata(folder)
    tensors: dict[str, Tensor] = {}
    with safe_open(folder / STATE_FILE, framework="pt") as stored:
        for name in stored.keys():  # noqa: SIM118 (safe_open is no mapping)
            tensors[name] = stored.get_tensor(name)
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    average.weights = {k[8:]: v for k, v in tensors.items() if k.startswith("average.")}
    unpack_state(optimizers, tensors)
    known = {f.name for f in fields(Progress)}
    return Progress(**{k: v for k, v in json.loads(metadata["progress"]).items() if k in known})


def _metadata(folder: Path) -> dict[str, str]:
    path = folder / STATE_FILE
    if not path.exists():
        raise ModelError(f"{folder} holds no training run ({STATE_FILE} is missing)")
    with safe_open(path, framework="pt") as stored:
        metadata: dict[str, str] = stored.metadata()
    return metadata
