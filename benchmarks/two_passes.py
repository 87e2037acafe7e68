"""What two passes cost: processor time of a job at a bit rate beside one pass at the constant λ nearest to it.

    python benchmarks/two_passes.py CLIP ... [--bpp BITS] [--codec NAME] [--runs N]

Both are run in turn, ``--runs`` times, and the least time of each counts: on a busy machine single runs differ by a
third. Loading the model is left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from maevid.codec.interface import CodecOptions, FrameCodec  # noqa: E402
from maevid.codec.registry import open_codec  # noqa: E402
from maevid.pipeline.compress import CompressOptions, compress  # noqa: E402
from maevid.rate import RateRequest, Timeline  # noqa: E402
from maevid.stream.reader import StreamReader  # noqa: E402
from maevid.video.reader import VideoReader  # noqa: E402


def seconds(codec: FrameCodec, clip: Path, out: Path, request: RateRequest) -> float:
    """Processor seconds of a job with a codec that is open already."""
    job = CompressOptions(str(clip), str(out), request, codec.name, codec_options=CodecOptions("cpu"))
    with patch("maevid.pipeline.team.open_codec", return_value=codec):
        began = time.process_time()
        compress(job)
        return time.process_time() - began


def rate_of(clip: Path, bits_per_pixel: float) -> float:
    """Bits per second of a clip at so many bits for each of its luma samples."""
    with VideoReader(clip) as reader:
        info, times = (
            reader.info,
            [(frame.seconds, float(frame.duration * frame.time_base)) for frame in reader],
        )
    timeline = Timeline.of([start for start, _ in times], times[-1][1])
    return bits_per_pixel * info.width * info.height * len(timeline) / timeline.duration


def main() -> None:
    """Print one line for each clip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--bpp", type=float, default=0.3)
    parser.add_argument("--codec", default="mae-fast")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    codec = open_codec(options.codec, CodecOptions("cpu"))
    for clip in options.clips:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "o.mkv"
            target = RateRequest(bitrate=rate_of(clip, options.bpp))
            seconds(codec, clip, out, target)
            with StreamReader(out) as reader:
                index = round(median(coded.unwrap().rate_index for coded in reader))
            constant = RateRequest(lam=codec.lam(index))
            runs = [[seconds(codec, clip, out, r) for r in (constant, target)] for _ in range(options.runs)]
        one, two = (min(column) for column in zip(*runs, strict=True))
        print(
            f"{clip.stem} at {options.bpp:g}: {one:.3f} s and {two:.3f} s, {two / one:.2f} times", flush=True
        )


if __name__ == "__main__":
    main()
