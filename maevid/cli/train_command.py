"""train a network, or go on with a run, and export its weights"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from maevid.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "data", nargs="*", type=Path, help="folders of pictures (AVIF, WebP, PNG, JPEG) and videos"
    )
    parser.add_argument("--config", default="mae", help="a named configuration (default: mae)")
    parser.add_argument("--run", type=Path, help="the run's folder (default: runs/CONFIG)")
    parser.add_argument("--hours", type=float, default=1.0, help="wall time for this call (default: 1)")
    parser.add_argument("--batch", type=int, default=8, help="crops a step (default: 8)")
    parser.add_argument("--crop", type=int, default=256, help="crop size in luma samples (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="of a new run (default: 0)")
    parser.add_argument(
        "--branch", type=Path, metavar="FOLDER", help="copy the run there and decay the learning rate to zero"
    )
    parser.add_argument("--decay-steps", type=int, default=2000, help="length of that decay (default: 2000)")
    parser.add_argument("--resume", action="store_true", help="refuse to start anew: the run must exist")
    parser.add_argument("--from-weights", type=Path, metavar="FILE", help="start a new run from a model file")
    parser.add_argument(
        "--no-compile",
        action="store_true",
        help="do not compile the network: starts a minute earlier, runs slower",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the run's curve (PNG or SVG) and stop"
    )
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the run's model file and stop")


def run(options: argparse.Namespace) -> int:
    """Train until the time is over or the decay has ended; Ctrl-C saves first."""
    from maevid.training.export import export_run
    from maevid.training.run import STATE_FILE, branch_run, read_config

    folder: Path = options.run or Path("runs") / options.config
    if options.export:
        checkpoint = export_run(folder, options.export)
        print(f"{options.export}: {checkpoint.config.name} {checkpoint.sha256[:8]}, {checkpoint.notes}")
        return 0
    if options.plot:
        try:
            from maevid.training.plot import plot_run
        except ModuleNotFoundError as missing:
            raise UsageError(f"{missing.name} is missing: pip install 'maevid[evaluation]'") from None
        plot_run(folder, options.plot)
        print(options.plot)
        return 0
    if not options.data:
        raise UsageError("name at least one folder of pictures to train on")
    import torch

    from maevid.model.checkpoint import Checkpoint
    from maevid.model.config import CONFIGS
    from maevid.model.device import choose_placement
    from maevid.training.group import Group
    from maevid.training.loop import Trainer, TrainingOptions
    from maevid.training.pictures import Pictures

    if options.config not in CONFIGS:
        raise UsageError(f"no configuration {options.config!r}: there are {', '.join(CONFIGS)}")
    if options.resume and not (folder / STATE_FILE).exists():
        raise UsageError(f"--resume: {folder} holds no run")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    if options.branch:
        branch_run(folder, options.branch)
        folder = options.branch
    start = Checkpoint.load(options.from_weights) if options.from_weights else None
    config = read_config(folder) if (folder / STATE_FILE).exists() else CONFIGS[options.config]
    placement = choose_placement(options.device)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopping.append(received))
    with Group() as group:
        with group.leader_first():
            pictures = Pictures(options.data, Path("runs") / "cache")
        trainer = Trainer(
            start.config if start else config,
            pictures,
            folder,
            TrainingOptions(
                batch=options.batch,
                crop=options.crop,
                seconds=options.hours * 3600,
                decay_steps=options.decay_steps if options.branch else 0,
                seed=options.seed,
                device=group.device(placement.device.type),
                half=placement.dtype != torch.float32,
                compiled=not options.no_compile,
            ),
            start,
            group,
        )
        trainer.run(lambda: bool(stopping))
    return 0
