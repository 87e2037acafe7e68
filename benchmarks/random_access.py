"""Random access side by side: a maevid file, x264 with key frames 250 apart, and a folder of JPEG files.

    python benchmarks/random_access.py CLIP [--frames 500] [--quality 40] [--reads 40] [--device cpu]

All three hold the same pictures at the same PSNR of luma (x264's CRF and JPEG's quality are searched for it; the clip
is played forth and back until there are enough). Measured are bytes on disk, and pictures a second as RGB arrays (with
the processor's milliseconds for each) for single pictures and for clips of 16, at the same random places, in one
process, files being in the page cache.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import chain, cycle, islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

import maevid
from maevid.access.codecs import Device
from maevid.access.output import Output
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader

CLIP = 16
FPS = 25
SAMPLES = 12
"""Pictures that PSNR is measured on."""
Rgb = npt.NDArray[np.uint8]
Get = Callable[[int, int], Rgb]


def load(clip: Path, count: int) -> list[Frame]:
    """``count`` frames: the clip forth, back, forth …"""
    with VideoReader(clip) as reader:
        frames = list(islice(reader, count))
    return list(islice(cycle(chain(frames, frames[-2:0:-1])), count))


def luma(rgb: Rgb) -> npt.NDArray[np.float64]:
    """BT.601 luma, 0..255, of a picture or a stack."""
    return np.asarray(rgb @ np.array([0.299, 0.587, 0.114]))


def psnr(truth: Sequence[Rgb], found: Sequence[Rgb]) -> float:
    """PSNR of luma over all samples, in dB."""
    error = np.mean([np.square(luma(a) - luma(b)).mean() for a, b in zip(truth, found, strict=True)])
    return 10 * math.log10(255**2 / error)


def write_x264(path: Path, frames: Sequence[Rgb], crf: float) -> None:
    """The usual file: x264, preset medium, key frames at most 250 apart."""
    with av.open(str(path), "w") as container:
        options = {"crf": f"{crf:.2f}", "preset": "medium", "g": "250"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, rgb in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


class X264:
    """Reads pictures by number as most loaders do: seek to the key frame before, decode on from there."""

    def __init__(self, path: Path) -> None:
        self.container = av.open(str(path))
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"

    def __call__(self, start: int, count: int) -> Rgb:
        """A stack of pictures."""
        assert self.stream.time_base is not None
        self.container.seek(int(Fraction(start, FPS) / self.stream.time_base), stream=self.stream)
        found = []
        for picture in self.container.decode(self.stream):
            assert picture.pts is not None
            if round(picture.pts * self.stream.time_base * FPS) >= start:
                found.append(picture.to_ndarray(format="rgb24"))
                if len(found) == count:
                    break
        return np.stack(found)


def write_jpegs(folder: Path, frames: Sequence[Rgb], quality: int) -> None:
    """One JPEG file a picture, 4:2:0, optimised tables."""
    folder.mkdir(exist_ok=True)
    for number, rgb in enumerate(frames):
        Image.fromarray(rgb).save(
            folder / f"{number:05d}.jpg", quality=quality, subsampling="4:2:0", optimize=True
        )


def read_jpegs(folder: Path) -> Get:
    """Reads pictures by number."""

    def get(start: int, count: int) -> Rgb:
        return np.stack(
            [np.asarray(Image.open(folder / f"{i:05d}.jpg")) for i in range(start, start + count)]
        )

    return get


def search(
    low: float, high: float, target: float, quality_of: Callable[[float], float], step: float
) -> float:
    """The value between ``low`` (worst) and ``high`` (best) whose PSNR comes nearest to ``target`` from above."""
    while abs(high - low) > step:
        middle = (low + high) / 2
        if quality_of(middle) < target:
            low = middle
        else:
            high = middle
    return high


def speed(get: Get, places: Sequence[int], count: int) -> str:
    """Pictures a second, and processor time for one, which a busy machine changes less."""
    get(places[0], count)
    began, busy = time.perf_counter(), time.process_time()
    for place in places:
        get(place, count)
    total = count * len(places)
    seconds, work = time.perf_counter() - began, time.process_time() - busy
    return f"{total / seconds:7.1f}/s ({1000 * work / total:6.2f} ms)"


def size_of(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    return sum(p.stat().st_size for p in path.iterdir()) if path.is_dir() else path.stat().st_size


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--quality", type=float, default=40)
    parser.add_argument("--reads", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    frames = load(options.clip, options.frames)
    output = Output("numpy", "rgb", Device("cpu"))
    truth = [output.one(frame.planes, frame.color) for frame in frames]
    wanted = [(2 * i + 1) * len(frames) // (2 * SAMPLES) for i in range(SAMPLES)]
    sample = [truth[i] for i in wanted]
    with tempfile.TemporaryDirectory() as name:
        coded, movie, folder = Path(name, "maevid.mkv"), Path(name, "x264.mp4"), Path(name, "jpeg")
        with maevid.Writer(coded, fps=FPS, quality=options.quality, color=frames[0].color) as writer:
            for frame in frames:
                writer.write(frame.planes)
        video = maevid.open(coded, device=options.device)
        target = psnr(sample, list(video.batch(wanted)))

        def x264_at(crf: float) -> float:
            write_x264(movie, truth, crf)
            get = X264(movie)
            return psnr(sample, [get(i, 1)[0] for i in wanted])

        def jpeg_at(quality: float) -> float:
            few = Path(name, "few")
            write_jpegs(few, sample, round(quality))
            return psnr(sample, list(read_jpegs(few)(0, SAMPLES)))

        x264_at(search(51, 8, target, x264_at, 0.4))
        write_jpegs(folder, truth, round(search(1, 100, target, jpeg_at, 0.6)))
        readers: dict[str, tuple[Path, Get]] = {
            "maevid": (coded, lambda start, count: video[start : start + count]),
            "x264, GOP 250": (movie, X264(movie)),
            "JPEG files": (folder, read_jpegs(folder)),
        }
        places = [random.Random(1).randrange(len(frames) - CLIP) for _ in range(options.reads)]
        info = video.info
        print(f"{options.clip.name}, {len(frames)} pictures of {info.width}x{info.height}, {options.device}")
        for label, (path, get) in readers.items():
            decibels = psnr(sample, [get(i, 1)[0] for i in wanted])
            bits = 8 * size_of(path) / (len(frames) * info.width * info.height)
            print(
                f"{label:<14} {size_of(path):>10} bytes  {bits:6.3f} bit/pixel  {decibels:6.2f} dB  "
                f"single {speed(get, places, 1)}  clips of {CLIP} {speed(get, places, CLIP)}"
            )
        video.close()


if __name__ == "__main__":
    main()
