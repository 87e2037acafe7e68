"""Peak memory of whole jobs, each in a process of its own: large pictures, and short clips against long ones.

``python benchmarks/memory.py`` makes its clips in a temporary folder: moving scenes in 4K, with sound; and for the
long clips two seconds or so of H.264 whose packets are repeated with rising times, of a moving scene or of ``--clip``.
It fails where 4K takes more than 3 GiB, or where a long clip takes over 5 % more than a short one.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import thumbnails

LIMIT_4K = 3 * 2**30
MOST_GROWTH = 1.05
TURN = 50
"""Pictures that are repeated."""
JOB = """
import sys
from maevid.cli import main
code = main(sys.argv[1:])
# Not ru_maxrss, which begins with that of the process that started this one.
status = open("/proc/self/status").read()
print("peak", int(status.split("VmHWM:")[1].split()[0]) * 1024, file=sys.stderr)
sys.exit(code)
"""


def scene(width: int, height: int) -> Iterator[av.VideoFrame]:
    """Pictures that move over one twice as wide, without end."""
    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[: height * 3 // 2, : 2 * width]
    wide = 128 + 60 * np.sin(rows / 37) * np.cos(columns / 53) + generator.normal(0, 6, rows.shape)
    wide = wide.clip(0, 255).astype(np.uint8)
    for number in itertools.count():
        at = 4 * number % width
        yield av.VideoFrame.from_ndarray(np.ascontiguousarray(wide[:, at : at + width]), format="yuv420p")


def write_4k(path: Path, frames: int) -> Path:
    """The scene in 3840x2160, and noise to hear, as long as the pictures."""
    generator = np.random.default_rng(2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=3840, height=2160, options={"q": "3"})
        sound = container.add_stream("aac", rate=48000)
        sound.codec_context.layout = "mono"
        samples = 0
        for number, picture in enumerate(itertools.islice(scene(3840, 2160), frames)):
            picture.pts = number
            container.mux(stream.encode(picture))
            while samples < 48000 * number / 25:
                noise = generator.normal(0, 0.1, (1, 1024)).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 48000, samples
                samples += 1024
                container.mux(sound.encode(frame))
        for track in (stream, sound):
            container.mux(track.encode(None))
    return path


def write_turn(path: Path, pictures: Iterator[av.VideoFrame], size: tuple[int, int], rate: int) -> Path:
    """H.264 with B-frames of the first pictures, to be repeated; the name must end in .mp4."""
    width, height = size
    options = {
        "preset": "veryfast",
        "tune": "fastdecode",
        "crf": "30",
        "bf": "2",
        "g": "25",
        "flags": "+cgop",
    }
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, width=width, height=height, options=options)
        for number, picture in enumerate(itertools.islice(pictures, TURN)):
            frame = picture.reformat(width, height, "yuv420p")
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, rate), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def repeat(turn: Path, path: Path, frames: int) -> Path:
    """The packets of a clip of :data:`TURN` pictures over and over."""
    with av.open(str(turn)) as source:
        template = source.streams.video[0]
        time_base = template.time_base
        span = round(TURN / template.average_rate / time_base)
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(template) if p.size]
        with av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(template)
            for number in range(frames):
                data, pts, dts, key = packets[number % TURN]
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, time_base, key
                packet.pts, packet.dts = (time + number // TURN * span for time in (pts, dts))
                target.mux(packet)
    return path


def peak(site: Path, *arguments: object) -> int:
    """Bytes of memory that a command takes at most; a line of the table is printed. ``site`` has :mod:`thumbnails`."""
    began = time.monotonic()
    searched = [str(site), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", JOB, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, searched))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))} failed: {done.stderr.strip()}")
    found = int(done.stderr.rsplit("peak", 1)[1])
    shown = " ".join(Path(str(a)).name if isinstance(a, Path) else str(a) for a in arguments)
    print(f"{found / 2**20:7.1f} MiB  {time.monotonic() - began:7.1f} s  {shown}", flush=True)
    return found


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--frames-4k", type=int, default=8, help="of 3840x2160 (default: 8; 0: leave out)")
    parser.add_argument("--size", default="1920x1080", help="of the short and the long clip")
    parser.add_argument("--rate", type=int, default=25, help="pictures a second (default: 25)")
    parser.add_argument("--clip", type=Path, help=f"whose first {TURN} pictures are repeated")
    parser.add_argument("--short", type=float, default=60, help="seconds of the short clip (default: 60)")
    parser.add_argument("--long", type=float, default=300, help="seconds of the long clip (default: 300)")
    parser.add_argument("--codec", default="mae", help="a quicker one shows what reader and writer hold")
    parser.add_argument("--bits", type=float, default=1.0, help="a sample, in two passes (default: 1)")
    options = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = thumbnails.register(folder / "site")
        coded = folder / "coded.mkv"
        if options.frames_4k:
            clip = write_4k(folder / "4k.mkv", options.frames_4k)
            for command in (
                ("compress", clip, coded, "--quality", 50),
                ("compress", clip, coded, "--quality", 50, "--measure"),
                ("compress", clip, coded, "-b", "40M"),
                ("decompress", coded, folder / "back.mkv"),
            ):
                found = peak(site, *command)
                faults += [f"{command[0]} takes {found / 2**30:.2f} GiB for 4K"] * (found > LIMIT_4K)
        width, height = map(int, options.size.split("x"))
        bitrate = round(options.bits * width * height * options.rate)
        pictures = av.open(str(options.clip)).decode(video=0) if options.clip else scene(width, height)
        turn = write_turn(folder / "turn.mp4", pictures, (width, height), options.rate)
        peaks: dict[str, list[int]] = {}
        for seconds in (options.short, options.long):
            clip = repeat(turn, folder / f"{seconds:g}s.mkv", round(seconds * options.rate))
            for label, command in (
                ("one pass", ("compress", clip, coded, "--quality", 50, "--codec", options.codec)),
                ("two passes", ("compress", clip, coded, "-b", bitrate, "--codec", options.codec)),
                ("decompress", ("decompress", coded, "-")),
            ):
                peaks.setdefault(label, []).append(peak(site, *command))
        for label, (short, long) in peaks.items():
            print(f"{label}: {long / short - 1:+.1%} for {options.long / options.short:g} times the length")
            if long > MOST_GROWTH * short:
                faults.append(f"{label} takes more memory for a longer clip")
    print("\n".join(faults) or "all within their limits")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
