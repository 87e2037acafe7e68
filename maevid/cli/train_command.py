"""train a network, or go on with a run, and export its weights"""

from __future__ import annotations

import argparse
import logging
import math
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from maevid.errors import UsageError

if TYPE_CHECKING:
    from maevid.training.group import Group
    from maevid.training.loop import TrainingOptions
    from maevid.training.pictures import Pictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "data", nargs="*", type=Path, help="folders of pictures (AVIF, WebP, PNG, JPEG) and videos"
    )
    parser.add_argument(
        "--as-found",
        action="store_true",
        help="train on the data alone, without made screens and frames of the pictures as videos have them",
    )
    parser.add_argument("--config", default="mae", help="a named configuration (default: mae)")
    parser.add_argument("--run", type=Path, help="the run's folder (default: runs/CONFIG)")
    parser.add_argument("--hours", type=float, default=1.0, help="wall time for this call (default: 1)")
    parser.add_argument("--steps", type=int, help="end the run at this step")
    parser.add_argument(
        "--recipe",
        choices=("paper",),
        help="train the paper's ten networks, --steps each (6000), below runs/paper, and plot them: needs --test",
    )
    parser.add_argument("--test", type=Path, metavar="FOLDER", help="pictures that --recipe is measured on")
    parser.add_argument("--batch", type=int, default=8, help="crops a step (default: 8)")
    parser.add_argument("--crop", type=int, default=256, help="crop size in luma samples (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="of a new run (default: 0)")
    parser.add_argument(
        "--branch", type=Path, metavar="FOLDER", help="copy the run there and decay the learning rate to zero"
    )
    parser.add_argument(
        "--decay-steps",
        type=int,
        default=2000,
        help="length of that decay; 0: go on at the held rate, from a run that has decayed too (default: 2000)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        help="factor of all learning rates from here on, 0.5 to go on from decayed weights "
        "(default: as the run has it, 1 in a new one)",
    )
    parser.add_argument("--resume", action="store_true", help="refuse to start anew: the run must exist")
    parser.add_argument("--from-weights", type=Path, metavar="FILE", help="start a new run from a model file")
    parser.add_argument(
        "--no-compile",
        action="store_true",
        help="do not compile the network: starts a minute earlier, runs slower",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of the networks' products (default: auto, bfloat16 where the CPU has it and on CUDA)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the run's curve (PNG or SVG) and stop; with --recipe, its plot (default: docs/paper.png)",
    )
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the run's model file and stop; frequency tables and a post filter are fitted to DATA, where named",
    )


def _log_progress() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)


def run(options: argparse.Namespace) -> int:
    """Train until the time is over or the decay has ended; Ctrl-C saves first."""
    from maevid.training.export import export_run
    from maevid.training.run import STATE_FILE

    folder: Path = options.run or Path("runs") / options.config
    if options.export:
        _log_progress()
        pictures = _pictures(options) if options.data else None
        checkpoint = export_run(folder, options.export, pictures)
        print(f"{options.export}: {checkpoint.config.name} {checkpoint.sha256[:8]}, {checkpoint.notes}")
        return 0
    if options.plot and not options.recipe:
        try:
            from maevid.training.plot import plot_run
        except ModuleNotFoundError as missing:
            raise UsageError(f"{missing.name} is missing: pip install 'maevid[evaluation]'") from None
        plot_run(folder, options.plot)
        print(options.plot)
        return 0
    if options.recipe and options.test is None:
        raise UsageError("--recipe needs --test FOLDER, pictures to measure on")
    if not options.data:
        raise UsageError("name at least one folder of pictures to train on")
    from maevid.model.config import CONFIGS
    from maevid.training.group import Group

    if options.config not in CONFIGS:
        raise UsageError(f"no configuration {options.config!r}: there are {', '.join(CONFIGS)}")
    if options.resume and not (folder / STATE_FILE).exists():
        raise UsageError(f"--resume: {folder} holds no run")
    if options.rate is not None and not 0 < options.rate < math.inf:
        raise UsageError(f"--rate is a factor above 0, not {options.rate}")
    _log_progress()
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopping.append(received))
    with Group() as group:
        return _train(options, folder, group, lambda: bool(stopping))


def _pictures(options: argparse.Namespace) -> Pictures:
    from maevid.training.pictures import Pictures

    try:
        return Pictures(options.data, Path("runs") / "cache", made=not options.as_found)
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"{missing.name} is missing: pip install 'maevid[evaluation]', or --as-found for no made screens"
        ) from None


def _train(options: argparse.Namespace, folder: Path, group: Group, stop: Callable[[], bool]) -> int:
    """Train as one of a group; all that uses the group is gone when this returns."""
    import torch

    from maevid.model.checkpoint import Checkpoint
    from maevid.model.config import CONFIGS
    from maevid.model.device import choose_placement
    from maevid.training.loop import Trainer, TrainingOptions
    from maevid.training.run import STATE_FILE, branch_run, read_config

    start = Checkpoint.load(options.from_weights) if options.from_weights else None
    placement = choose_placement(options.device, options.precision)
    with group.leader_first():
        if options.branch:
            branch_run(folder, options.branch)
            folder = options.branch
        pictures = _pictures(options)
    config = read_config(folder) if (folder / STATE_FILE).exists() else CONFIGS[options.config]
    settings = TrainingOptions(
        batch=options.batch,
        crop=options.crop,
        seconds=options.hours * 3600,
        steps=options.steps,
        decay_steps=options.decay_steps if options.branch else 0,
        rate=options.rate,
        seed=options.seed,
        device=group.device(placement.device.type),
        half=placement.dtype != torch.float32,
        compiled=not options.no_compile,
    )
    if options.recipe:
        return _recipe(options, pictures, settings, stop)
    trainer = Trainer(start.config if start else config, pictures, folder, settings, start, group)
    trainer.run(stop)
    return 0


def _recipe(
    options: argparse.Namespace, pictures: Pictures, settings: TrainingOptions, stop: Callable[[], bool]
) -> int:
    """Train, measure and plot the paper's systems; 1 when it was stopped before its end."""
    from maevid.evaluation.inputs import find_inputs
    from maevid.training.recipes import PaperRecipe, measure_paper, train_paper, write_paper

    inputs = find_inputs([options.test])
    steps = options.steps or PaperRecipe.steps
    recipe = PaperRecipe(steps, max(1, steps // 5))
    folder = options.run or Path("runs/paper")
    settings = replace(settings, seconds=math.inf, steps=None)
    if not train_paper(recipe, pictures, folder, settings, stop):
        print(f"stopped; the same command goes on in {folder}", file=sys.stderr)
        return 1
    plot = options.plot or Path("docs/paper.png")
    write_paper(recipe, measure_paper(recipe, folder, inputs), plot)
    print(f"{plot}, {plot.with_suffix('.json')}")
    return 0
