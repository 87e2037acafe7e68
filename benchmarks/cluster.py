"""What a cluster costs beside one machine: time, processor time, tasks, and bytes over the wire.

    python benchmarks/cluster.py CLIP [--cluster local] [--request quality=40] [--request bitrate=2M]

Each request is carried out here and on the cluster, and the two files compared. Processor time is that of this process
and of those it started, so with ``--cluster local`` it counts the workers, and holds on a busy machine too; the start
of the workers is measured apart, by a clip of one frame. ``codings`` are frames coded or estimated at one rate.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from maevid.codec.interface import CodecOptions
from maevid.pipeline.compress import CompressOptions, compress
from maevid.rate import RateRequest, parse_rate
from maevid.video.reader import VideoReader
from maevid.video.writer import VideoWriter


def first_frame(clip: str, path: Path) -> str:
    """A clip of one frame."""
    with VideoReader(clip) as reader, VideoWriter(str(path), reader.info) as writer:
        for frame in islice(reader, 1):
            writer.write(frame)
    return str(path)


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(clip: str, out: Path, request: RateRequest, cluster: str | None) -> tuple[float, float, int]:
    """Wall seconds, processor seconds, frames."""
    began, spent = time.perf_counter(), processor_seconds()
    result = compress(
        CompressOptions(clip, str(out), request, codec_options=CodecOptions("cpu"), cluster=cluster)
    )
    return time.perf_counter() - began, processor_seconds() - spent, result.frames


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--cluster", default="local")
    parser.add_argument("--request", action="append", metavar="NAME=VALUE")
    options = parser.parse_args()
    logging.basicConfig(format="  %(message)s", stream=sys.stdout)
    logging.getLogger("maevid.cluster").setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        alone, together = Path(folder) / "a.mkv", Path(folder) / "b.mkv"
        one = first_frame(options.clip, Path(folder) / "one.mkv")
        run(one, alone, RateRequest(), None)
        print("start and end, one frame:")
        wall, spent, _ = run(one, together, RateRequest(), options.cluster)
        print(f"  {wall:.1f} s, {spent:.1f} s of processors")
        for text in options.request or ["quality=40", "bitrate=2M"]:
            name, value = text.split("=")
            request = RateRequest(**{name: parse_rate(value)})
            for where in (None, options.cluster):
                print(f"{text}, {where or 'alone'}:", flush=True)
                wall, spent, frames = run(options.clip, together if where else alone, request, where)
                print(f"  {frames} frames, {wall:.1f} s, {spent:.1f} s of processors", flush=True)
            print(f"  files equal: {alone.read_bytes() == together.read_bytes()}")


if __name__ == "__main__":
    main()
