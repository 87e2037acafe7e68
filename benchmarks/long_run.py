"""Encodes and decodes clips with random options for as long as told, in one process: no leak, no drift, no bad frame.

``python benchmarks/long_run.py CLIP... --minutes 30``. Every round trip is checked: each packet by CRC and latents, the
number and times of the frames, each decompressed picture against the codec's own decoding of its packet, and the whole
file against an earlier one of the same clip and options, byte for byte; one round in four repeats an earlier one for
that. Every clip comes once in each cycle, the largest first in the first one, and is cut to its first packets, so that
large pictures do not take all the time. Memory (RSS) is sampled after every round; the run fails where it ends more
than 5 % above what it was after the first fifth of the time.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from maevid.codec.interface import CodecOptions
from maevid.codec.registry import open_codec
from maevid.pipeline.compress import CompressOptions, compress
from maevid.pipeline.decompress import DecompressOptions, decompress
from maevid.rate import RateRequest, parse_zone
from maevid.stream.reader import StreamReader
from maevid.stream.verify import verify
from maevid.video.reader import VideoReader

MOST_GROWTH = 1.05
WARM_UP = 0.2
"""Share of the time after which memory must not grow any more."""
REPEATS = 0.25
CODECS = ("mae", "mae-fast")


def cut(clip: Path, folder: Path, samples: float, frames: int) -> Path:
    """A copy of a clip's first packets, no more than ``frames`` pictures nor many more luma samples than ``samples``.

    Two pictures at least. Nothing is coded anew, so that every container and pixel format stays what it is.
    """
    copy = folder / clip.name
    with av.open(str(clip)) as source, av.open(str(copy), "w") as target:
        video = source.streams.video[0]
        left = max(2, min(frames, int(samples / (video.width * video.height))))
        kinds = (av.VideoStream, av.AudioStream)
        tracks = {s.index: target.add_stream_from_template(s) for s in source.streams if isinstance(s, kinds)}
        for packet in source.demux(*(source.streams[index] for index in tracks)):
            if not packet.size:
                continue
            left -= packet.stream is video
            packet.stream = tracks[packet.stream_index]
            target.mux(packet)
            if left == 0:
                break
    return copy


def random_options(chance: random.Random, rate: float) -> tuple[RateRequest, bool]:
    """A request of any mode, and whether to measure; few enough of them that they come again. ``rate`` is in bit/s."""
    bitrate = rate * chance.choice([0.5, 1.0, 2.0])
    modes = (
        {"quality": chance.choice([10.0, 50.0, 90.0])},
        {"bitrate": bitrate},
        {"bitrate": bitrate, "passes": 1},
        {"bitrate": bitrate, "maxrate": 1.1 * bitrate, "bufsize": bitrate},
        {"psnr": chance.choice([32.0, 36.0])},
        {"frame_bytes": int(bitrate / 100)},
        {"quality": 40.0, "zones": (parse_zone("2-5:quality=80"),)},
        {"bitrate": bitrate, "smooth": 0.5},
    )
    chosen = chance.choice(modes)
    return RateRequest(**chosen, best_effort=True), "psnr" in chosen or chance.random() < 0.3


def resident() -> int:
    """Bytes of memory that this process has now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _area(clip: Path) -> int:
    """Luma samples of a picture."""
    with VideoReader(clip) as reader:
        return reader.info.width * reader.info.height


@dataclass(frozen=True)
class _Round:
    """What is compressed, and how."""

    clip: Path
    codec: str
    request: RateRequest
    measure: bool


@dataclass
class Run:
    """Rounds over clips; ``samples`` are (seconds since the start, bytes of memory)."""

    clips: list[Path]
    folder: Path
    chance: random.Random
    samples: list[tuple[float, int]] = field(default_factory=list)
    repeated: int = 0
    frames: int = 0
    _digests: dict[_Round, str] = field(default_factory=dict)
    _cycle: list[Path] = field(default_factory=list)

    def round(self) -> str:
        """One clip there and back, checked; says which. Raises AssertionError that says what is wrong."""
        chosen = self._choose()
        coded, back = self.folder / "coded.mkv", self.folder / "back.mkv"
        result = compress(
            CompressOptions(
                str(chosen.clip), str(coded), chosen.request, codec=chosen.codec, measure=chosen.measure
            )
        )
        digest = hashlib.sha256(coded.read_bytes()).hexdigest()
        self.repeated += chosen in self._digests
        assert digest == self._digests.setdefault(chosen, digest), (
            f"{chosen}: other bytes than the first time"
        )
        decompress(DecompressOptions(str(coded), str(back)))
        self._check(chosen, coded, back)
        self.frames += result.frames
        return f"{chosen.clip.name} by {chosen.codec}, {chosen.request.mode}"

    def _choose(self) -> _Round:
        if self._digests and self.chance.random() < REPEATS:
            return self.chance.choice(list(self._digests))
        if not self._cycle:
            # Taken from the end: the first cycle in order of size, so that memory finds its height at once.
            self._cycle = sorted(self.clips, key=_area)
            if self._digests:
                self.chance.shuffle(self._cycle)
        clip = self._cycle.pop()
        request, measure = random_options(self.chance, 0.3 * _area(clip) * 25)
        return _Round(clip, self.chance.choice(CODECS), request, measure)

    def _check(self, about: _Round, coded: Path, back: Path) -> None:
        codec = open_codec(about.codec, CodecOptions())
        with StreamReader(coded) as reader, VideoReader(about.clip) as source, VideoReader(back) as result:
            problems = [check.problem for check in verify(reader, codec) if check.problem]
            assert not problems, f"{about}: {problems[0]}"
            count = 0
            for packet, true, shown in zip((item.unwrap() for item in reader), source, result, strict=True):
                assert packet.pts == true.pts, f"{about}: frame {count} has another time"
                for mine, theirs in zip(codec.decode(packet), shown.planes, strict=True):
                    assert np.array_equal(mine, theirs), f"{about}: frame {count} is another picture"
                error = np.square(true.y.astype(np.float32) - shown.y).mean()
                assert error < 2000, f"{about}: frame {count} has an error of {error:.0f}"


def growth(samples: list[tuple[float, int]], seconds: float) -> float:
    """Memory in the last fifth of the time over that after the warm-up, medians."""
    warm = [size for at, size in samples if WARM_UP <= at / seconds < 2 * WARM_UP]
    last = [size for at, size in samples if at / seconds >= 1 - WARM_UP]
    return statistics.median(last) / statistics.median(warm) if warm and last else 1.0


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--samples", type=float, default=1e6, help="luma samples of a clip (default: 1e6)")
    parser.add_argument("--frames", type=int, default=12, help="of a clip at most (default: 12)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seconds = 60 * options.minutes
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        clips = [cut(clip, Path(folder), options.samples, options.frames) for clip in options.clips]
        run = Run(clips, Path(folder), random.Random(options.seed))
        while (elapsed := time.monotonic() - began) < seconds:
            did = run.round()
            run.samples.append((elapsed, resident()))
            print(
                f"{elapsed:7.0f} s  {run.samples[-1][1] / 2**20:6.0f} MiB  {run.frames} frames  {did}",
                flush=True,
            )
    grown = growth(run.samples, run.samples[-1][0])
    print(
        f"{len(run.samples)} rounds, {run.frames} frames, {run.repeated} with options that had come before; "
        f"memory {grown - 1:+.1%} after the first fifth"
    )
    return int(grown > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
