"""What a bit buys at each rate index, on real frames, against the λ that the index stands for.

    python benchmarks/slope.py FOLDER [--only NAME ...] [--frames 4] [--every 12] [--width 320] [--weights FILE]

Every frame is coded at every sixteenth index. Between two neighbours the network's own slope is
-ΔR / (255²·ΔD), R in bits per pixel, D the mean squared error of samples scaled to 0..1, planes weighted as in
training. Where rate and distortion are balanced it equals λ. The table shows log2(slope / λ) of all frames pooled,
and its deviation among frames.

A departure that all frames share changes nothing: frames of one index still have one slope. So the last table tells
what equal slopes would bring instead of equal indices, at the same bits: dB of the frames' mean error, within each clip
(what a table of corrections for rate control could bring at the very most) and over all clips together.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice, pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from rate_clips import real_clip  # noqa: E402

from maevid.codec.interface import CodecOptions  # noqa: E402
from maevid.codec.mae import MaeCodec, open_mae  # noqa: E402
from maevid.video.frame import Frame  # noqa: E402

Array = npt.NDArray[np.float64]
STEP = 16
SHOWN = (48, 96, 144, 192)
"""Indices at which the gain of equal slopes is told."""


def measured(codec: MaeCodec, frame: Frame, indices: list[int]) -> tuple[Array, Array]:
    """Bits per pixel and weighted distortion of a frame at each index."""
    weights = codec.network.config.plane_weights
    rates, errors = [], []
    for index in indices:
        coded = codec.encode(frame, index, reconstruct=True)
        assert coded.reconstruction is not None
        rates.append(8 * len(coded.packet.to_bytes()) / frame.y.size)
        squares = [
            float(np.square(a.astype(np.float64) - b).mean())
            for a, b in zip(frame.planes, coded.reconstruction, strict=True)
        ]
        errors.append(float(np.dot(weights, squares)) / 255**2)
    return np.array(rates), np.array(errors)


def slopes(rates: Array, errors: Array) -> Array:
    """-ΔR / (255²·ΔD) between neighbours along the last axis; NaN where the error does not fall."""
    rise, fall = np.diff(rates, axis=-1), -np.diff(errors, axis=-1)
    return np.where((fall > 0) & (rise > 0), rise / np.where(fall > 0, 255**2 * fall, np.nan), np.nan)


def gain(rates: Array, errors: Array, indices: list[int], at: int) -> float:
    """dB of the mean error that equal slopes save over index ``at`` for all frames, at the same bits."""
    fine = np.arange(indices[-1] + 1)
    rate = np.exp([np.interp(fine, indices, np.log(row)) for row in rates])
    error = np.exp([np.interp(fine, indices, np.log(row)) for row in errors])
    budget = rate[:, at].sum()
    low, high = -20.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        chosen = np.argmin(rate + np.exp(middle) * error, axis=1)
        low, high = (middle, high) if rate[np.arange(len(rate)), chosen].sum() <= budget else (low, middle)
    ends = [np.argmin(rate + np.exp(point) * error, axis=1) for point in (low, high)]
    bits = [rate[np.arange(len(rate)), chosen].sum() for chosen in ends]
    totals = [np.log(error[np.arange(len(rate)), chosen].sum()) for chosen in ends]
    # The two choices lie on either side of the budget; their line is the hull.
    best = np.interp(budget, bits, totals) if bits[1] > bits[0] else totals[0]
    return float(10 / np.log(10) * (np.log(error[:, at].sum()) - best))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="files by name, without their ending")
    parser.add_argument("--frames", type=int, default=4, help="of each clip")
    parser.add_argument("--every", type=int, default=12, help="one frame of so many")
    parser.add_argument("--width", type=int, default=320, help="clips are shrunk to at most so many samples")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    codec = open_mae(CodecOptions("cpu", weights=options.weights))
    assert isinstance(codec, MaeCodec)
    last = codec.rate_indices.stop - 1
    indices = [*range(0, last, STEP), last]
    clips: dict[str, tuple[Array, Array]] = {}
    for path in sorted(options.folder.iterdir()):
        if options.only is not None and path.stem not in options.only:
            continue
        content = real_clip(path, options.frames * options.every, options.width)
        frames = list(islice(content.frames, 0, None, options.every))
        both = [measured(codec, frame, indices) for frame in frames]
        clips[path.stem] = np.array([rate for rate, _ in both]), np.array([error for _, error in both])
        print(f"{path.stem}: {len(frames)} frames", file=sys.stderr, flush=True)
    rates = np.concatenate([rate for rate, _ in clips.values()])
    errors = np.concatenate([error for _, error in clips.values()])
    print(f"{len(clips)} clips, {len(rates)} frames, weights {codec.sha256[:8]}")
    lams = np.array([np.sqrt(codec.lam(a) * codec.lam(b)) for a, b in pairwise(indices)])
    # Each frame weighs as much as its pixels: the sum over frames is that of their means.
    pooled, each = np.log2(slopes(rates.sum(0), errors.sum(0)) / lams), np.log2(slopes(rates, errors) / lams)
    print(
        f"{'indices':>9} {'λ':>9} {'bpp':>7} {'log2(slope/λ)':>14} {'deviation':>10} {'lowest':>8} {'highest':>8}"
    )
    for place, lam in enumerate(lams):
        own = each[:, place][np.isfinite(each[:, place])]
        if own.size:
            print(
                f"{indices[place]:>4}-{indices[place + 1]:<4} {lam:9.5f} {rates[:, place].mean():7.3f} "
                f"{pooled[place]:>+14.2f} {own.std():10.2f} {own.min():>+8.2f} {own.max():>+8.2f}"
            )
    print("dB that equal slopes would save at the bits of one index for all frames:")
    print(f"{'index':>6} {'within clips, mean':>19} {'most':>7} {'all clips together':>19}")
    for at in SHOWN:
        within = [gain(rate, error, indices, at) for rate, error in clips.values()]
        print(
            f"{at:>6} {np.mean(within):>19.3f} {max(within):>7.3f} {gain(rates, errors, indices, at):>19.3f}"
        )


if __name__ == "__main__":
    main()
