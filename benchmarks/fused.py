"""What the compiled loops and the lanes are worth: encode and decode with and without them, in turns.

    python benchmarks/fused.py [--height 720] [--rounds 9] [--threads 2] [--weights FILE]

One process codes the same made-up frames three ways, round by round, so that what else runs on the machine hits all
alike: plain layers, one picture after the other; compiled loops, one after the other; compiled loops, pictures side by
side. Medians over the rounds, milliseconds a picture.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
# As the command does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402

from maevid.bench.pictures import synthetic_frames  # noqa: E402
from maevid.codec.interface import CodecOptions  # noqa: E402
from maevid.codec.mae import open_mae  # noqa: E402
from maevid.model import fused  # noqa: E402


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--index", type=int, default=148, help="rate index (148: some half a bit a pixel)")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = CodecOptions(device="cpu", weights=options.weights)
    quick, available = open_mae(chosen), fused.available
    fused.available = lambda: False  # type: ignore[assignment]
    plain = open_mae(chosen)
    fused.available = available
    frames = synthetic_frames(options.height * 16 // 18 * 2, options.height, 2 * options.threads)
    indices = [options.index] * len(frames)
    packets = [encoded.packet for encoded in quick.encode_batch(frames, indices)]
    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "plain layers": (
            lambda: [plain.encode(frame, options.index) for frame in frames],
            lambda: [plain.decode(packet) for packet in packets],
        ),
        "compiled loops": (
            lambda: [quick.encode(frame, options.index) for frame in frames],
            lambda: [quick.decode(packet) for packet in packets],
        ),
        "compiled loops, side by side": (
            lambda: quick.encode_batch(frames, indices),
            lambda: quick.decode_batch(packets),
        ),
    }
    times: dict[tuple[str, int], list[float]] = {}
    for turn in range(options.rounds + 1):
        for name, works in ways.items():
            for which, work in enumerate(works):
                began = time.perf_counter()
                work()
                if turn:
                    times.setdefault((name, which), []).append((time.perf_counter() - began) / len(frames))
    print(f"{frames[0].width}x{frames[0].height}, {options.threads} threads, ms a picture   encode   decode")
    first = next(iter(ways))
    for name in ways:
        cells = [median(times[name, which]) for which in (0, 1)]
        gains = [median(times[first, which]) / cell for which, cell in enumerate(cells)]
        print(f"{name:32s} {cells[0] * 1e3:7.1f} ({gains[0]:.2f}x) {cells[1] * 1e3:7.1f} ({gains[1]:.2f}x)")


if __name__ == "__main__":
    main()
