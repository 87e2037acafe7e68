"""Encodes and decodes clips with random options for as long as told, in one process: no leak, no drift, no bad frame.

``python benchmarks/long_run.py CLIP... --minutes 30``. Every round trip is checked: each packet by CRC and latents, the
number and times of the frames, each decompressed picture against the codec's own decoding of its packet, and the whole
file against an earlier one of the same clip and options, byte for byte; one round in four repeats an earlier one for
that. Every clip comes once by each codec in each cycle, the largest first in the first one, and is cut to its first
packets, so that large pictures do not take all the time.

Two sizes are sampled after every round: resident memory (RSS), with malloc set as maevid's commands set it, and what of
it the program holds by malloc's account. The run fails where either ends more than 5 % above what it was after the
first third of the time.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from maevid.allocator import keep_freed_memory
from maevid.codec.interface import CodecOptions
from maevid.codec.registry import open_codec
from maevid.pipeline.compress import CompressOptions, compress
from maevid.pipeline.decompress import DecompressOptions, decompress
from maevid.rate import RateRequest, parse_zone
from maevid.stream.reader import StreamReader
from maevid.stream.verify import verify
from maevid.video.reader import VideoReader

MOST_GROWTH = 1.05
WARM_UP = 1 / 3
"""Share of the time after which memory must not grow any more; every clip has come by every codec by then."""
REPEATS = 0.25


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
    """Bytes of memory that this process has now, what malloc keeps free among them."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _area(clip: Path) -> int:
    """Luma samples of a picture."""
    with VideoReader(clip) as reader:
        return reader.info.width * reader.info.height


class _Account(ctypes.Structure):
    """``struct mallinfo2`` of the GNU C library, bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    )


def held() -> int:
    """Bytes that were asked of malloc and not given back, from the heap or mapped one by one."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Account
    account = mallinfo()
    return int(account.uordblks + account.hblkhd)


@dataclass(frozen=True)
class Sample:
    """Seconds since the start, bytes resident, and bytes that the program holds."""

    seconds: float
    resident: int
    held: int


@dataclass(frozen=True)
class _Round:
    """What is compressed, and how."""

    clip: Path
    codec: str
    request: RateRequest
    measure: bool


@dataclass
class Run:
    """Rounds over clips."""

    clips: list[Path]
    codecs: list[str]
    folder: Path
    chance: random.Random
    samples: list[Sample] = field(default_factory=list)
    repeated: int = 0
    frames: int = 0
    _digests: dict[_Round, str] = field(default_factory=dict)
    _cycle: list[tuple[Path, str]] = field(default_factory=list)

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
            self._cycle = [(clip, codec) for clip in sorted(self.clips, key=_area) for codec in self.codecs]
            if self._digests:
                self.chance.shuffle(self._cycle)
        clip, codec = self._cycle.pop()
        request, measure = random_options(self.chance, 0.3 * _area(clip) * 25)
        return _Round(clip, codec, request, measure)

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


def growth(samples: list[Sample], size: Callable[[Sample], int]) -> float:
    """A size in the last third of the time over that in the one before, medians."""
    seconds = samples[-1].seconds
    before = [size(one) for one in samples if WARM_UP <= one.seconds / seconds < 1 - WARM_UP]
    last = [size(one) for one in samples if one.seconds / seconds >= 1 - WARM_UP]
    return statistics.median(last) / statistics.median(before) if before and last else 1.0


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--samples", type=float, default=1e6, help="luma samples of a clip (default: 1e6)")
    parser.add_argument("--frames", type=int, default=12, help="of a clip at most (default: 12)")
    parser.add_argument("--codecs", nargs="+", default=["mae", "mae-fast"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seconds = 60 * options.minutes
    keep_freed_memory()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        clips = [cut(clip, Path(folder), options.samples, options.frames) for clip in options.clips]
        run = Run(clips, options.codecs, Path(folder), random.Random(options.seed))
        while (elapsed := time.monotonic() - began) < seconds:
            did = run.round()
            now = Sample(elapsed, resident(), held())
            run.samples.append(now)
            sizes = f"{now.resident / 2**20:6.0f} MiB, {now.held / 2**20:4.0f} held"
            print(f"{elapsed:7.0f} s  {sizes}  {run.frames} frames  {did}", flush=True)
    grown = [growth(run.samples, lambda one: one.resident), growth(run.samples, lambda one: one.held)]
    print(
        f"{len(run.samples)} rounds, {run.frames} frames, {run.repeated} with options that had come before; after the "
        f"first third resident memory {grown[0] - 1:+.1%}, held {grown[1] - 1:+.1%}"
    )
    return int(max(grown) > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
