"""measure speed: stages, the network beside the machine's peak, frames per second, memory"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from maevid import __version__
from maevid.cli.common import add_codec_options, codec_options
from maevid.codec.registry import DEFAULT_CODEC
from maevid.errors import UsageError

if TYPE_CHECKING:
    from maevid.video.frame import Frame

_HEIGHTS = (360, 720, 1080)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--codec", default=DEFAULT_CODEC, help=f"a registered codec (default: {DEFAULT_CODEC})"
    )
    parser.add_argument(
        "--heights",
        default=",".join(map(str, _HEIGHTS)),
        metavar="N,N",
        help="of 16:9 pictures (360,720,1080)",
    )
    parser.add_argument(
        "--input", type=Path, metavar="CLIP", help="its frames, at its size, in place of made-up ones"
    )
    parser.add_argument(
        "--bpp", type=float, default=0.5, help="bits a pixel at most, on the first frame (0.5)"
    )
    parser.add_argument(
        "--frames", type=int, default=8, metavar="N", help="frames of whole jobs (default: 8)"
    )
    parser.add_argument(
        "--repeat", type=int, default=5, metavar="N", help="rounds of each stage (default: 5)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="cores to use (default: as PyTorch finds them)"
    )
    parser.add_argument("--json", action="store_true", help="all figures as JSON, on standard output")
    add_codec_options(parser)


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    if min(options.frames, options.repeat, options.threads or 1) < 1 or options.bpp <= 0:
        raise UsageError("--frames, --repeat and --threads are at least 1, --bpp is above 0")
    sizes = _sizes(options.heights)
    import torch

    from maevid.bench import tables
    from maevid.bench.pictures import synthetic_frames
    from maevid.bench.stages import stage_times
    from maevid.bench.throughput import index_near, throughput
    from maevid.codec.mae import MaeCodec
    from maevid.codec.registry import open_codec
    from maevid.pipeline.threads import on_threads

    with on_threads(options.threads) if options.threads else nullcontext():
        chosen = codec_options(options)
        codec = open_codec(options.codec, chosen)
        stages, found, texts = {}, [], []
        for width, height in sizes[:1] if options.input else sizes:
            frames = (
                _frames(options.input, options.frames)
                if options.input
                else synthetic_frames(width, height, options.frames)
            )
            size = f"{frames[0].width}x{frames[0].height}"
            _tell(f"{codec.name} at {size}")
            rate_index = index_near(codec, frames[0], options.bpp)
            if isinstance(codec, MaeCodec):
                stages[size] = stage_times(codec, frames[0], rate_index, options.repeat)
                texts.append(tables.stages_text(stages[size], f"{size}, rate index {rate_index}"))
            found.append(throughput(codec, chosen, frames, rate_index))
        about = {
            "codec": codec.name,
            "weights": codec.sha256,
            "description": codec.description,
            "threads": torch.get_num_threads(),
            "machine": f"{platform.machine()}, {platform.system()}",
            "versions": {"maevid": __version__, "torch": torch.__version__},
            "load": list(os.getloadavg()),
        }
    _tell("")
    if options.json:
        print(json.dumps(tables.to_json(about, stages, found), indent=1))
        return 0
    print(f"{codec.name}: {codec.description}, {about['threads']} threads, load {os.getloadavg()[0]:.1f}\n")
    if stages:
        print(tables.macs_text(next(iter(stages.values())).macs) + "\n")
    print("\n\n".join([*texts, tables.throughput_text(found)]))
    return 0


def _sizes(listed: str) -> list[tuple[int, int]]:
    """Even widths and heights of 16:9 pictures."""
    try:
        heights = [int(text) for text in listed.split(",")]
    except ValueError:
        raise UsageError(f"--heights wants numbers, such as 360,720; {listed!r} is none") from None
    if min(heights) < 16 or any(height % 2 for height in heights):
        raise UsageError("--heights are even and at least 16")
    return [(2 * round(height * 8 / 9), height) for height in heights]


def _frames(clip: Path, count: int) -> list[Frame]:
    from maevid.video.reader import VideoReader

    with VideoReader(clip) as reader:
        return list(islice(reader, count))


def _tell(text: str) -> None:
    """What is measured now, on one line of a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:<60}\r" if not text else f"\r{text:<60}")
        sys.stderr.flush()
