"""Peak memory of whole jobs, each in a process of its own: large pictures, and short clips against long ones.

``python benchmarks/memory.py`` makes its clips (moving scenes with sound, MPEG-4) in a temporary folder. It fails where
4K takes more than 3 GiB, or where a long clip takes over 5 % more than a short one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

LIMIT_4K = 3 * 2**30
MOST_GROWTH = 1.05
RATE = 25
JOB = """
import sys
from maevid.cli import main
code = main(sys.argv[1:])
# Not ru_maxrss, which begins with that of the process that started this one.
status = open("/proc/self/status").read()
print("peak", int(status.split("VmHWM:")[1].split()[0]) * 1024)
sys.exit(code)
"""


def write_clip(path: Path, width: int, height: int, frames: int) -> Path:
    """A scene that moves over a picture twice as wide, and noise to hear, as long as the pictures."""
    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[: height * 3 // 2, : 2 * width]
    wide = 128 + 60 * np.sin(rows / 37) * np.cos(columns / 53) + generator.normal(0, 6, rows.shape)
    wide = wide.clip(0, 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE, width=width, height=height, options={"q": "3"})
        sound = container.add_stream("aac", rate=48000)
        sound.codec_context.layout = "mono"
        samples = 0
        for number in range(frames):
            at = 4 * number % width
            picture = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(wide[:, at : at + width]), format="yuv420p"
            )
            picture.pts = number
            container.mux(stream.encode(picture))
            while samples < 48000 * number / RATE:
                noise = generator.normal(0, 0.1, (1, 1024)).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 48000, samples
                samples += 1024
                container.mux(sound.encode(frame))
        for track in (stream, sound):
            container.mux(track.encode(None))
    return path


def peak(*arguments: object) -> int:
    """Bytes of memory that a command takes at most; a line of the table is printed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", JOB, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))} failed: {done.stderr.strip()}")
    found = int(done.stdout.rsplit("peak", 1)[1])
    shown = " ".join(Path(str(a)).name if isinstance(a, Path) else str(a) for a in arguments)
    print(f"{found / 2**20:7.0f} MiB  {time.monotonic() - began:7.1f} s  {shown}", flush=True)
    return found


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--frames-4k", type=int, default=8, help="of 3840x2160 (default: 8; 0: leave out)")
    parser.add_argument("--size", default="1920x1080", help="of the short and the long clip")
    parser.add_argument("--short", type=float, default=60, help="seconds of the short clip (default: 60)")
    parser.add_argument("--long", type=float, default=300, help="seconds of the long clip (default: 300)")
    parser.add_argument("--codec", default="mae", help="a quicker one shows what reader and writer hold")
    options = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        coded, back = folder / "coded.mkv", folder / "back.mkv"
        if options.frames_4k:
            clip = write_clip(folder / "4k.mkv", 3840, 2160, options.frames_4k)
            for command in (
                ("compress", clip, coded, "--quality", 50),
                ("compress", clip, coded, "--quality", 50, "--measure"),
                ("compress", clip, coded, "-b", "40M"),
                ("decompress", coded, back),
            ):
                found = peak(*command)
                faults += [f"{command[0]} takes {found / 2**30:.2f} GiB for 4K"] * (found > LIMIT_4K)
        width, height = map(int, options.size.split("x"))
        peaks: dict[str, list[int]] = {}
        for seconds in (options.short, options.long):
            clip = write_clip(folder / f"{seconds:g}s.mkv", width, height, round(seconds * RATE))
            for label, command in (
                ("one pass", ("compress", clip, coded, "--quality", 50, "--codec", options.codec)),
                (
                    "two passes",
                    # A bit a sample, so that rate control has something to do at any size.
                    ("compress", clip, coded, "-b", f"{width * height * RATE}", "--codec", options.codec),
                ),
                ("decompress", ("decompress", coded, back)),
            ):
                peaks.setdefault(label, []).append(peak(*command))
        for label, (short, long) in peaks.items():
            print(f"{label}: {long / short - 1:+.1%} for {options.long / options.short:g} times the length")
            if long > MOST_GROWTH * short:
                faults.append(f"{label} takes more memory for a longer clip")
    print("\n".join(faults) or "all within their limits")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
