"""The rate table: every content class in every mode at three targets, in simulation.

    python tests/rate/rate_table.py [--seeds 3] [--batch 8]

Columns: error of the target in % (PSNR: dB; frame limit: the emptiest frame), underflows by an independent
leaky bucket, the worst second against the target rate, p95 of abs(Δ log2 λ) inside scenes, frames to settle
after a cut (within 0.25 of the scene's median log2 λ), PSNR lost against the best constant λ of the same
bytes, codings and estimates per frame.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rate_simulator import PIXELS, SCALE, Clip, Run, contents, encode

from maevid.errors import TargetError
from maevid.rate import RateRequest, RateResult, leaky_bucket, make_controller, sample_frames, trial_indices

MODES = ("two-pass", "sampled", "one-pass", "size", "peak", "peak one-pass", "psnr", "frame-bytes")
OVERHEAD = 9000
TARGETS = (0.1, 0.3, 0.8)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    content: str
    frames: int
    mode: str
    target: float
    result: RateResult | None
    error: float = 0.0
    underflows: int = 0
    worst_second: float = 0.0
    ripple: float = 0.0
    settle: int = 0
    lost: float = 0.0
    codings: float = 0.0
    estimates: float = 0.0
    starved: float = 0.0


def request_for(clip: Clip, mode: str, target: float) -> RateRequest:
    """The request of a mode for a target in bits per pixel."""
    rate = clip.rate(target)
    size = int(rate * clip.timeline.duration / 8) + OVERHEAD
    psnr = {0.1: 27.0, 0.3: 31.0, 0.8: 35.0}
    return {
        "one-pass": RateRequest(bitrate=rate, passes=1),
        "size": RateRequest(size=size),
        "peak": RateRequest(bitrate=rate, maxrate=1.2 * rate, bufsize=0.4 * rate),
        "peak one-pass": RateRequest(bitrate=rate, passes=1, maxrate=1.2 * rate, bufsize=0.4 * rate),
        "frame-bytes": RateRequest(frame_bytes=round(target * PIXELS / 8)),
        "psnr": RateRequest(psnr=psnr[target]),
    }.get(mode, RateRequest(bitrate=rate))


def run_mode(clip: Clip, mode: str, target: float, batch: int = 8) -> Row:
    """One cell of the table; ``result`` is None where the controller calls the target unreachable."""
    request = request_for(clip, mode, target)
    trials = trial_indices(SCALE.lowest, SCALE.highest)
    frames = sample_frames(len(clip), clip.cuts) if mode == "sampled" else range(len(clip))
    two_pass = request.two_pass
    try:
        controller = make_controller(
            request,
            SCALE,
            timeline=clip.timeline,
            costs=clip.costs(trials, frames) if two_pass else (),
            cuts=clip.cuts,
            overhead_bytes=OVERHEAD if mode == "size" else 0,
        )
        run = encode(clip, controller, batch)
    except TargetError:
        return Row(clip.name, len(clip), mode, target, None)
    extra = len(trials) * len(frames) if two_pass else 0
    maxrate, bufsize = request.maxrate, request.buffer_bits
    return Row(
        clip.name,
        len(clip),
        mode,
        target,
        controller.result(),
        error_of(request, controller.result(), run),
        underflows=len(leaky_bucket(run.sizes, run.times, maxrate, bufsize)) if maxrate and bufsize else 0,
        worst_second=worst_second(clip, run) / clip.rate(target),
        ripple=ripple(clip, run),
        settle=settle(clip, run),
        lost=clip.constant_psnr(sum(r.bits for r in run.reports)) - run.mean_psnr,
        codings=run.encodes / len(clip),
        estimates=(run.estimates + extra) / len(clip),
        starved=clip.starved(target),
    )


def error_of(request: RateRequest, result: RateResult, run: Run) -> float:
    """Error of the target: % for rates and sizes, dB for PSNR; for a frame limit what the emptiest frame that
    could have had more bits leaves of it, in %."""
    assert result.error is not None
    if request.frame_bytes is None:
        return result.error * (1 if result.unit == "dB" else 100)
    fills = [r.bits / 8 / request.frame_bytes for r in run.reports if r.rate_index < SCALE.highest]
    return 100 * (max([1.0, *fills]) - 1) or 100 * (min([1.0, *fills]) - 1)


def worst_second(clip: Clip, run: Run) -> float:
    """Most bits shown in any second that starts with a frame (clips under a second: their mean rate)."""
    times = np.array(run.times)
    bits = np.array([r.bits for r in run.reports])
    if clip.timeline.duration <= 1:
        return float(bits.sum() / clip.timeline.duration)
    return float(max(bits[(times >= t) & (times < t + 1)].sum() for t in times))


def scenes(clip: Clip) -> Iterator[range]:
    """Frames scene by scene."""
    bounds = [0, *clip.cuts, len(clip)]
    return (range(a, b) for a, b in itertools.pairwise(bounds))


def ripple(clip: Clip, run: Run) -> float:
    """p95 of abs(Δ log2 λ) between neighbours of one scene."""
    logs = np.log2([r.lam for r in run.reports])
    steps = [abs(logs[i] - logs[i - 1]) for scene in scenes(clip) for i in scene[1:]]
    return float(np.percentile(steps, 95)) if steps else 0.0


def settle(clip: Clip, run: Run) -> int:
    """Most frames that any scene after a cut takes until λ stays within 0.25 (log2) of the scene's median."""
    logs = np.log2([r.lam for r in run.reports])
    worst = 0
    for scene in list(scenes(clip))[1:]:
        own = logs[list(scene)]
        off = np.flatnonzero(np.abs(own - np.median(own)) > 0.25)
        worst = max(worst, int(off[-1]) + 1 if off.size else 0)
    return worst


def unforeseeable(row: Row) -> bool:
    """One pass over a clip of which a quarter cannot have the target rate at any index: not summed up."""
    return "one-pass" in row.mode and row.starved >= 0.25


def main() -> None:
    """Print the table and a summary by mode."""
    parser = argparse.ArgumentParser(description="The rate table, in simulation.")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--content")
    parser.add_argument("--mode")
    arguments = parser.parse_args()
    print(
        f"{'content':<10}{'mode':<14}{'bpp':>5}{'error':>9}{'under':>6}{'worst s':>8}{'ripple':>8}"
        f"{'settle':>7}{'lost dB':>8}{'codings':>8}{'estim.':>7}"
    )
    rows = []
    for seed in range(arguments.seeds):
        for clip in contents(seed).values():
            if arguments.content not in (None, clip.name):
                continue
            for mode in MODES:
                if arguments.mode not in (None, mode):
                    continue
                for target in TARGETS:
                    row = run_mode(clip, mode, target, arguments.batch)
                    rows.append(row)
                    head = f"{row.content:<10}{row.mode:<14}{row.target:>5}"
                    if row.result is None:
                        print(f"{head}  out of reach, and said so before any frame was coded")
                        continue
                    print(
                        f"{head}{row.error:>+9.3f}{row.underflows:>6}{row.worst_second:>8.2f}"
                        f"{row.ripple:>8.3f}{row.settle:>7}{row.lost:>8.3f}{row.codings:>8.2f}{row.estimates:>7.2f}"
                        f"{'  starved' if unforeseeable(row) else ''}",
                        flush=True,
                    )
    print()
    for mode in MODES:
        done = [r for r in rows if r.mode == mode and r.result is not None and not unforeseeable(r)]
        if done:
            least = 250 if "one-pass" in mode else 10
            errors = [abs(r.error) for r in done if r.frames >= least]
            print(
                f"{mode:<14} {len(done):>3} runs, abs(error) on {least} frames or more: mean "
                f"{statistics.mean(errors):.3f}, worst {max(errors):.3f}; underflows "
                f"{sum(r.underflows for r in done)}; worst loss {max(r.lost for r in done):.3f} dB"
            )


if __name__ == "__main__":
    main()
