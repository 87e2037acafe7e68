"""What exact arithmetic costs: the same averaged weights of a run with integer entropy networks and without.

    python benchmarks/exactness.py runs/mae-ship TRAINING_PICTURES

BD-rate of exact against unquantised, mean over the held-out pictures; positive is what exactness costs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

import torch

from maevid.evaluation.bdrate import bd_rate
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.device import choose_placement
from maevid.training.optimizers import build_optimizers
from maevid.training.pictures import Pictures
from maevid.training.run import Average, load_run, read_config
from maevid.training.validation import validation_points


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("data", nargs="+", type=Path)
    options = parser.parse_args()
    pictures = Pictures(options.data, Path("runs") / "cache")
    model = ModulatedAutoencoder(read_config(options.run))
    average = Average(model)
    progress = load_run(options.run, model, average, build_optimizers(model))
    model.load_state_dict(average.weights)
    half = choose_placement("cpu").dtype == torch.bfloat16
    measured = []
    for exact in (False, True):
        model.entropy.set_exact(exact)
        measured.append(validation_points(model, pictures, pictures.validation, "cpu", half))
    print(f"{options.run}, step {progress.step}, {len(pictures.validation)} held-out pictures")
    for metric in ("psnr_y", "psnr_yuv"):
        costs = []
        for picture in range(len(pictures.validation)):
            curves = [
                [(rows[picture].rate, getattr(rows[picture], metric)) for rows in points.values()]
                for points in measured
            ]
            costs.append(bd_rate(*curves))
        print(f"{metric}: {fmean(costs):+.2f} % (worst picture {max(costs):+.2f} %)")


if __name__ == "__main__":
    main()
