"""What the coder costs on real latents: bytes over the model's own entropy, and its share of coding a frame.

    python benchmarks/coding.py CLIP [--bpp 0.5] [--frames 4] [--repeat 5] [--weights FILE] [--precision auto]

For a few frames of the clip, each coded at the rate index that comes closest to so many bits per pixel: the
entropy of the latents under continuous Gaussians at the coded scale indices (the model's own), the same under the
integer tables, and the bytes written; then the median time of each stage of encoding, of the steps within
entropy coding, and of decoding. Latents that are too certain to be coded have no entropy in it: they cost nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from maevid.codec.entropy import Decoder, encode  # noqa: E402
from maevid.codec.interface import CodecOptions  # noqa: E402
from maevid.codec.mae import MaeCodec, open_mae  # noqa: E402
from maevid.model.network import Quantised  # noqa: E402
from maevid.model.prior import scale_of_index  # noqa: E402
from maevid.video.frame import Frame  # noqa: E402
from maevid.video.reader import VideoReader  # noqa: E402


def median(work: Callable[[], object], repeat: int) -> float:
    """Median wall time of several calls, in milliseconds."""
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


def index_for(codec: MaeCodec, frame: Frame, bits: float) -> int:
    """The rate index whose packet comes closest to so many bits."""
    low, high = 0, 255
    while high - low > 1:
        middle = (low + high) // 2
        if 8 * len(codec.encode(frame, middle).packet.to_bytes()) < bits:
            low = middle
        else:
            high = middle
    return low


def quantised(codec: MaeCodec, frame: Frame, index: int) -> Quantised:
    """The integers of one frame."""
    network, indices = codec.network, codec.network.index_tensor([index])
    return network.quantise(network.analyse(network.load([frame.planes]), indices), indices)


def gaussian_entropy(symbols: np.ndarray, scale_indices: np.ndarray) -> float:
    """Bits of integers under zero-mean Gaussians convolved with the unit box; at most 20 each, as in training."""
    scale = scale_of_index(torch.from_numpy(scale_indices.astype(np.float64)))
    size = torch.from_numpy(np.abs(symbols).astype(np.float64))
    # Both ends lie in the lower tail, where erfc is accurate.
    ends = [torch.special.erfc((size + shift) / scale / 2**0.5) / 2 for shift in (-0.5, 0.5)]
    return float(-torch.log2((ends[0] - ends[1]).clamp_min(2.0**-20)).sum())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--bpp", type=float, default=0.5)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    codec = open_mae(CodecOptions("cpu", options.precision, options.weights))
    assert isinstance(codec, MaeCodec)
    with VideoReader(options.clip) as reader:
        frames = list(islice(reader, 0, 10 * options.frames, 10))
    first = frames[0]
    print(
        f"{options.clip.name} {first.width}x{first.height}, {codec.description}, weights {codec.sha256[:8]}"
    )
    print(
        f"{'frame':>5} {'index':>5} {'bpp':>6} {'symbols':>8} {'entropy B':>10} {'tables B':>9} {'payload B':>9} over"
    )
    for number, frame in enumerate(frames):
        index = index_for(codec, frame, options.bpp * frame.width * frame.height)
        packet = codec.encode(frame, index).packet
        symbols, tables, _ = codec.coded_string(quantised(codec, frame, index), 0, index)
        entropy = gaussian_entropy(symbols, tables) / 8
        payload = len(packet.parts[0])
        bpp = 8 * len(packet.to_bytes()) / frame.width / frame.height
        print(
            f"{10 * number:5} {index:5} {bpp:6.3f} {len(symbols):8} {entropy:10.0f} "
            f"{codec.tables.cost_bits(symbols, tables) / 8:9.0f} {payload:9} "
            f"{payload - entropy:+.0f} B = {100 * (payload / entropy - 1):+.3f} %"
        )
    index = index_for(codec, first, options.bpp * first.width * first.height)
    stages: dict[str, list[float]] = {}
    for _ in range(options.repeat):
        encoded = codec.encode(first, index)
        for name, seconds in encoded.stage_seconds.items():
            stages.setdefault(name, []).append(1e3 * seconds)
    medians = {name: statistics.median(times) for name, times in stages.items()}
    share = 100 * medians["entropy"] / sum(medians.values())
    print(
        f"encode, {torch.get_num_threads()} threads, ms: "
        + ", ".join(f"{k} {v:.1f}" for k, v in medians.items())
    )
    print(f"  entropy coding takes {share:.1f} % of encoding a frame")
    integers = quantised(codec, first, index)
    symbols, tables, _ = codec.coded_string(integers, 0, index)
    data = encoded.packet.parts[0]
    print(
        f"  gather {median(lambda: codec.coded_string(integers, 0, index), options.repeat):.1f}, "
        f"rANS {median(lambda: encode(symbols, tables, codec.tables), options.repeat):.1f}"
    )
    check = median(lambda: codec.check(encoded.packet), options.repeat)
    whole = median(lambda: codec.decode(encoded.packet), options.repeat)
    coder = median(lambda: Decoder(data, codec.tables).decode(tables), options.repeat)
    print(f"decode, ms: {whole:.1f}, of which latents (entropy networks and coder) {check:.1f}")
    print(f"  rANS {coder:.1f}, {100 * coder / whole:.1f} % of decoding a frame")


if __name__ == "__main__":
    main()
