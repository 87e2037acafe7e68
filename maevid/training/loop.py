"""The training loop: warm up, hold the learning rate, and on a branch decay it, in the end with exact arithmetic."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from maevid.model import klt
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import ModelConfig
from maevid.training.group import Group
from maevid.training.loss import draw_lambdas, log_loss, objective
from maevid.training.optimizers import build_optimizers, set_rate
from maevid.training.pictures import Pictures
from maevid.training.run import STATE_FILE, Average, Progress, load_run, save_run
from maevid.training.validation import validate

log = logging.getLogger("maevid.train")

WARM_UP_STEPS = 100
GRADIENT_LIMIT = 1.0
KLT_CROPS = 256


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. ``seconds`` is wall time for this call, ``steps`` where the run ends; ``crop`` in luma
    samples, a multiple of 64.

    ``decay_steps`` > 0 makes this run a branch: the learning rate falls linearly to zero over so many steps, and in the
    last part of them (:data:`~maevid.training.run.EXACT_FROM`) the entropy networks compute exactly.
    ``compiled`` runs the network through TorchInductor, which fuses what is not a matrix product: a fifth less time for
    forward and backward pass, after a minute of compiling.
    ``rate`` scales all learning rates from here on; None leaves it as the run has it (1 in a new one).
    """

    batch: int = 8
    crop: int = 256
    seconds: float = math.inf
    steps: int | None = None
    save_every: float = 300.0
    validate_every: float = 600.0
    decay_steps: int = 0
    rate: float | None = None
    seed: int = 0
    device: str = "cpu"
    half: bool = True
    compiled: bool = True


class Trainer:
    """One run in one folder: builds or restores everything, then steps until time or decay is over."""

    def __init__(
        self,
        config: ModelConfig,
        pictures: Pictures,
        folder: Path,
        options: TrainingOptions,
        start: Checkpoint | None = None,
        group: Group | None = None,
    ) -> None:
        self.pictures, self.folder, self.options = pictures, folder, options
        self.group = group or Group()
        torch.manual_seed(options.seed)
        self.model = start.model().thaw() if start else ModulatedAutoencoder(config)
        self.progress = Progress()
        if start:
            self.progress.earlier_steps = int(start.notes.get("steps", 0))
            self.progress.earlier_seconds = 3600 * float(start.notes.get("hours", 0))
        resumed = (folder / STATE_FILE).exists()
        if not resumed and start is None and config.transform == "blocks":
            random = np.random.default_rng(options.seed)
            klt.initialise(self.model, self.model.representation.pack(*pictures.batch(KLT_CROPS, 64, random)))
        self.model.to(options.device)
        self.average = Average(self.model)
        self.optimizers = build_optimizers(self.model)
        if resumed:
            self.progress = load_run(folder, self.model, self.average, self.optimizers)
        if options.rate is not None:
            self.progress.rate = options.rate
        if options.decay_steps and not self.progress.decay_steps:
            self.progress.decay_start = self.progress.step
            self.progress.decay_steps = options.decay_steps
        self._set_arithmetic(self.model)
        shared = self.group.shared(self.model)
        # PyTorch's own random numbers: the compiled loops would make theirs one at a time.
        loops = partial(torch.compile, dynamic=False, options={"fallback_random": True})
        self._forward = loops(shared) if options.compiled else shared

    @property
    def finished(self) -> bool:
        """Whether the run has come to its last step, or a decay to its end."""
        p = self.progress
        decayed = p.decay_steps > 0 and p.step >= p.decay_start + p.decay_steps
        return decayed or (self.options.steps is not None and p.step >= self.options.steps)

    def rate_factor(self) -> float:
        """Learning rate at this step over the base rate."""
        p = self.progress
        factor = p.rate * min(1.0, (p.step + 1) / WARM_UP_STEPS)
        if p.decay_steps:
            factor *= max(0.0, 1 - (p.step - p.decay_start) / p.decay_steps)
        return factor

    def step(self) -> dict[str, float]:
        """One optimizer step; a non-finite loss or gradient skips it. Returns the step's figures."""
        self._set_arithmetic(self.model)
        # Seeded by the step alone, a run goes on exactly from its state, in any number of processes.
        random = np.random.default_rng((self.options.seed, self.progress.step, self.group.rank))
        torch.manual_seed(int(random.integers(2**63)))
        y, u, v = (
            t.to(self.options.device)
            for t in self.pictures.batch(self.options.batch, self.options.crop, random)
        )
        lam = draw_lambdas(self.model.config, self.options.batch).to(self.options.device)
        with torch.autocast(torch.device(self.options.device).type, torch.bfloat16, self.options.half):
            output = self._forward(y, u, v, lam, noise=True)
        trained = self.progress.earlier_steps is not None
        terms = objective(self.model, output, lam, None if trained else self.progress.step)
        loss = log_loss(terms.loss).mean()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_LIMIT)
        # The gradient's norm is the same in every process; a loss that is not finite makes it so too.
        if math.isfinite(float(norm)):
            set_rate(self.optimizers, self.rate_factor())
            for optimizer in self.optimizers:
                optimizer.step()
            self.average.update(self.model, self.progress.step)
        else:
            self.progress.skipped += 1
        self.progress.step += 1
        return {
            "loss": float(loss.detach()),
            "norm": float(norm),
            "bpp": float((terms.rate_y + terms.rate_z).mean().detach()),
            "bpp_z": float(terms.rate_z.mean().detach()),
        }

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Step until the time is over, the decay has ended or ``stop`` says so; save and validate on the way.

        A state that goes out of bounds is never saved: a step that is not finite changes nothing but its count.
        """
        began = saved = validated = time.monotonic()
        before = self.progress.seconds
        running: dict[str, float] = {}
        while not self.group.agree(
            time.monotonic() - began >= self.options.seconds or self.finished or stop(), self.options.device
        ):
            figures = self.step()
            now = time.monotonic()
            self.progress.seconds = before + now - began
            running = {k: v if k not in running else 0.98 * running[k] + 0.02 * v for k, v in figures.items()}
            if self.progress.step % 50 == 0:
                text = " ".join(f"{k} {v:.4f}" for k, v in running.items())
                log.info("step %d %.0f s %s", self.progress.step, self.progress.seconds, text)
            if now - validated > self.options.validate_every:
                self.record()
                validated = time.monotonic()
            if now - saved > self.options.save_every:
                self.save()
                saved = time.monotonic()
        self.record()
        self.save()

    def save(self) -> None:
        """Write the run's state."""
        if self.group.leads:
            save_run(self.folder, self.model, self.average, self.optimizers, self.progress)

    def record(self) -> None:
        """Validate the averaged weights and append a line to ``validation.jsonl``."""
        if not self.group.leads:
            return
        figures = validate(self.averaged_model(), self.pictures, self.options.device, self.options.half)
        line = {
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "skipped": self.progress.skipped,
            "exact": self.progress.exact,
            **asdict(figures),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "validation.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")
        text = f"score {figures.score:.4f}"
        if figures.made_score is not None:
            text += f", of made pictures {figures.made_score:.4f}"
        log.info("validation at step %d: %s %s", self.progress.step, text, figures.points)

    def averaged_model(self) -> ModulatedAutoencoder:
        """A copy of the network with the averaged weights."""
        model = ModulatedAutoencoder(self.model.config).to(self.options.device)
        model.load_state_dict(self.average.weights)
        self._set_arithmetic(model)
        return model

    def _set_arithmetic(self, model: ModulatedAutoencoder) -> None:
        exact, rounded = self.progress.exact, self.progress.rounded
        if model.entropy.exact != (exact or rounded):
            model.entropy.set_exact(exact or rounded)
        model.rehearsing = not exact
