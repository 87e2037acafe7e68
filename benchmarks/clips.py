"""Round trip of real clips: compress at so many bits per pixel, decompress, and compare what came back.

    python benchmarks/clips.py FOLDER [--bpp 0.4] [--weights FILE]

One row a clip: bitrate error, PSNR-Y of the decompressed file against the source, frames in and out, whether every
presentation time survived (exactly in the maevid file; to the millisecond in the decompressed Matroska), whether
the audio packets are the source's byte for byte, and tags.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

import maevid
from maevid.pipeline.measure import psnr
from maevid.rate import RateRequest, Timeline
from maevid.stream.reader import StreamReader
from maevid.video.reader import VideoReader


def audio(path: Path) -> list[bytes]:
    """Payloads of all audio packets, stream by stream."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [bytes(p) for p in container.demux(container.streams.audio) if p.size]


def round_trip(clip: Path, bits_per_pixel: float, weights: Path | None, folder: Path) -> str:
    """One row of the table."""
    coded, back = folder / "coded.mkv", folder / "back.mkv"
    with VideoReader(clip) as reader:
        info = reader.info
        times = [(f.pts, f.seconds) for f in reader]
        last = 0.0
    with VideoReader(clip) as reader:
        for frame in reader:
            last = float(frame.duration * frame.time_base)
    duration = Timeline.of([t for _, t in times], last).duration
    target = bits_per_pixel * info.width * info.height * len(times) / duration
    began = time.perf_counter()
    result = maevid.compress(
        clip, coded, request=RateRequest(bitrate=target, best_effort=True), weights=weights
    )
    seconds = time.perf_counter() - began
    maevid.decompress(coded, back, weights=weights)
    with StreamReader(coded) as reader:
        pts = [c.unwrap().pts for c in reader] == [p for p, _ in times]
    squares, samples, count, milliseconds = 0.0, 0, 0, True
    decibels = []
    with VideoReader(clip) as source, VideoReader(back) as decoded:
        for a, b in zip(source, decoded, strict=True):
            difference = np.square(a.y.astype(np.int32) - b.y)
            squares, samples, count = squares + float(difference.sum()), samples + a.y.size, count + 1
            milliseconds &= abs(a.seconds - b.seconds) <= 0.00051
            decibels.append(psnr(a.y, b.y))
        same = (source.info.rotation, source.info.sample_aspect_ratio, source.info.color) == (
            decoded.info.rotation,
            decoded.info.sample_aspect_ratio,
            decoded.info.color,
        )
    error = 100 * (result.rate.error or 0.0)
    sound = audio(clip)
    heard = "none" if not sound else "equal" if sound == audio(back) else "DIFFERENT"
    return (
        f"{clip.name:<36} {info.width}x{info.height:<5} {info.pixel_format:<12} {error:+6.2f} % "
        f"{np.mean(decibels):6.2f} dB  {len(times):4d} {count:4d}  pts {'exact' if pts else 'LOST':<5} "
        f"ms {'yes' if milliseconds else 'NO':<3} tags {'same' if same else 'CHANGED':<7} audio {heard:<9} "
        f"{len(times) / seconds:5.1f} fps"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bpp", type=float, default=0.4)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    failed = False
    for clip in sorted(options.folder.iterdir()):
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(round_trip(clip, options.bpp, options.weights, Path(folder)), flush=True)
            except maevid.MaevidError as error:
                failed = True
                print(f"{clip.name:<36} FAILED: {error}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
