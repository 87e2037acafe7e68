"""Where the time of one picture goes, by kind of work, in processor time of one thread.

    python benchmarks/shares.py [--codec mae] [--height 720] [--index 148] [--rounds 9]

Every call of an operator of PyTorch, of a compiled loop and of NumPy is timed by Python's profiler with the thread's
own clock, which does not run while another process has the core. Convolutions are told apart by their weights; the
rest is Python itself and what it calls, the profiler's cost included.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from maevid.bench.pictures import synthetic_frames  # noqa: E402
from maevid.codec.interface import CodecOptions  # noqa: E402
from maevid.codec.registry import open_codec  # noqa: E402

KINDS = {
    "pointwise": "1×1 products, bfloat16",
    "_int_mm": "1×1 products, int8",
    "spatial": "3×3 depthwise",
    "entropy_loops": "loops of the entropy networks",
    "fused/compiled": "loops of the transforms",
    "fused/filter_loops": "post filter",
    "fused/planes": "planes to blocks and back",
    "leaky_relu_": "leaky ReLU",
    "entropy/compiled": "range coding",
}
OTHER = "the rest: NumPy, allocation, Python"


def pointwise(convolve: Callable[..., Any], arguments: Any) -> Any:
    """A convolution under a name of its own."""
    return convolve(*arguments[0], **arguments[1])


def spatial(convolve: Callable[..., Any], arguments: Any) -> Any:
    """The same."""
    return convolve(*arguments[0], **arguments[1])


def shares(job: Callable[[], object]) -> dict[str, float]:
    """Milliseconds by kind."""
    profile = cProfile.Profile(timer=time.thread_time)
    profile.enable()
    job()
    profile.disable()
    found: dict[str, float] = defaultdict(float)
    for (file, _, name), row in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if "conv2d" in name:
            # Counted with who called it.
            continue
        own = row[3] if name in ("pointwise", "spatial") and file == __file__ else row[2]
        place = f"{file.removesuffix('.py')} {name}"
        kind = next((title for key, title in KINDS.items() if key in place), OTHER)
        found[kind] += 1e3 * own
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--codec", default="mae")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--index", type=int, default=148, help="rate index (148: some half a bit a pixel)")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    codec = open_codec(options.codec, CodecOptions(device="cpu"))
    (frame,) = synthetic_frames(options.height * 16 // 18 * 2, options.height, 1)
    packet = codec.encode(frame, options.index).packet
    convolve = F.conv2d

    def named(*given: Any, **more: Any) -> Any:
        wide = given[1].shape[2:].numel() > 1
        return (spatial if wide else pointwise)(convolve, (given, more))

    F.conv2d = named
    jobs = {"encode": lambda: codec.encode(frame, options.index), "decode": lambda: codec.decode(packet)}
    for name, job in jobs.items():
        job()  # type: ignore[no-untyped-call]
        rounds = [shares(job) for _ in range(options.rounds)]
        middle = {kind: median(one[kind] for one in rounds) for kind in (*KINDS.values(), OTHER)}
        whole = sum(middle.values())
        print(f"{options.codec}, {frame.width}x{frame.height}, {name}: {whole:.0f} ms")
        for kind, spent in middle.items():
            print(f"  {kind:36s}{spent:6.1f} ms {100 * spent / whole:5.1f} %")


if __name__ == "__main__":
    main()
