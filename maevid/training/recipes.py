"""`maevid train --recipe paper`: the paper's comparison at small scale, one network after another, and its plot.

Modulated at every stage, modulated at the bottleneck only, and a network for each λ; all with the same transform,
pictures and number of steps, with and without a hyperprior (Yang et al., 2020, figures 3 and 4).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
from matplotlib.figure import Figure

from maevid.atomic import atomic_output
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec
from maevid.evaluation.inputs import Input
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import CONFIGS, PAPER_LAMBDAS
from maevid.pipeline.measure import psnr
from maevid.training.export import export_run
from maevid.training.loop import Trainer, TrainingOptions
from maevid.training.pictures import Pictures

PRIORS = ("factorized", "hyperprior")
_POINTS = 5
_STYLES = {"mae": ("MAE", "o-", "#000000"), "bottleneck": ("bottleneck scaling", "s--", "#D55E00")}


@dataclass(frozen=True)
class PaperRecipe:
    """``steps`` for each of the ten networks, the last ``decay_steps`` of them with a falling learning rate."""

    steps: int = 6000
    decay_steps: int = 1200

    @property
    def systems(self) -> list[str]:
        """Names of the configurations, in the order of training."""
        each = ("mae-{}", "bottleneck-{}", *(f"independent-{{}}-{lam}" for lam in PAPER_LAMBDAS))
        return [name.format(prior) for prior in PRIORS for name in each]


def train_paper(
    recipe: PaperRecipe, pictures: Pictures, folder: Path, options: TrainingOptions, stop: Callable[[], bool]
) -> bool:
    """Train what is not trained yet, each network in its own run below ``folder``; whether all are finished."""
    for name in recipe.systems:
        model_file = folder / f"{name}.safetensors"
        if model_file.exists():
            continue
        run = folder / name
        held = replace(options, steps=recipe.steps - recipe.decay_steps)
        for part in (held, replace(options, decay_steps=recipe.decay_steps)):
            Trainer(CONFIGS[name], pictures, run, part).run(stop)
            if stop():
                return False
        export_run(run, model_file)
    return True


def measure_paper(recipe: PaperRecipe, folder: Path, inputs: Sequence[Input]) -> dict[str, list[list[float]]]:
    """Means over the inputs of bits a pixel (true packets) and PSNR-Y at each system's rate points."""
    curves: dict[str, list[list[float]]] = {}
    for name in recipe.systems:
        codec = MaeCodec(Checkpoint.load(folder / f"{name}.safetensors"), CodecOptions())
        indices = sorted({round(k * codec.rate_indices[-1] / (_POINTS - 1)) for k in range(_POINTS)})
        curves[name] = []
        for index in indices:
            rates, qualities = [], []
            for item in inputs:
                for frame in item.load(1):
                    encoded = codec.encode(frame, index, reconstruct=True)
                    assert encoded.reconstruction is not None
                    rates.append(8 * len(encoded.packet.to_bytes()) / frame.y.size)
                    qualities.append(psnr(frame.y, encoded.reconstruction[0]))
            curves[name].append([fmean(rates), fmean(qualities)])
    return curves


def write_paper(recipe: PaperRecipe, curves: dict[str, list[list[float]]], path: Path) -> None:
    """The plot as ``path`` (PNG or SVG) and the numbers beside it as JSON."""
    with mpl.rc_context({"svg.hashsalt": "maevid", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        for axis, prior in zip(figure.subplots(1, 2), PRIORS, strict=True):
            for kind, (label, style, colour) in _STYLES.items():
                axis.plot(*zip(*curves[f"{kind}-{prior}"], strict=True), style, color=colour, label=label)
            alone = [curves[f"independent-{prior}-{lam}"][0] for lam in PAPER_LAMBDAS]
            axis.plot(*zip(*alone, strict=True), "^:", color="#0072B2", label="a network for each λ")
            axis.set(
                xlabel="bits a pixel", ylabel="PSNR-Y (dB)", title=f"{prior}, {recipe.steps:,} steps each"
            )
            axis.legend(frameon=False)
        with atomic_output(path) as temporary:
            figure.savefig(temporary, dpi=160, format=path.suffix[1:])
    numbers = json.dumps({"steps": recipe.steps, "curves": curves}, indent=1) + "\n"
    with atomic_output(path.with_suffix(".json")) as temporary:
        temporary.write_text(numbers)
