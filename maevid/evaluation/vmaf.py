"""VMAF through the ``ffmpeg`` on the search path, where that has libvmaf (PyAV's own FFmpeg has not)."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from maevid.errors import MaevidError
from maevid.video.frame import Plane

SMALLEST_SIDE = 16
Planes = tuple[Plane, Plane, Plane]


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether the ``ffmpeg`` here has the libvmaf filter."""
    program = shutil.which("ffmpeg")
    if program is None:
        return False
    listed = subprocess.run(
        [program, "-hide_banner", "-filters"], capture_output=True, text=True, check=False
    )
    return any(line.split()[1:2] == ["libvmaf"] for line in listed.stdout.splitlines())


def vmaf(sources: Sequence[Planes], coded: Sequence[Planes]) -> list[float]:
    """VMAF (model vmaf_v0.6.1, 0..100) of each frame on its own: frames far apart have no motion to speak of.

    Every frame is shown twice. Motion is the lesser of the differences to the frame before and after, hence zero.
    Empty for pictures with a side below 16, which libvmaf refuses. Raises MaevidError when ffmpeg fails.
    """
    height, width = sources[0][0].shape
    if min(height, width) < SMALLEST_SIDE:
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, frames in (("source.yuv", sources), ("coded.yuv", coded)):
            with (folder / file).open("wb") as stream:
                for planes in frames:
                    stream.write(2 * b"".join(plane.tobytes() for plane in planes))
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}", "-i"]
        chain = "[0:v][1:v]libvmaf=log_fmt=json:log_path=log.json"
        command = [
            "ffmpeg",
            "-v",
            "error",
            *raw,
            "coded.yuv",
            *raw,
            "source.yuv",
            "-lavfi",
            chain,
            "-f",
            "null",
            "-",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MaevidError(f"ffmpeg cannot measure VMAF: {done.stderr.strip()[-200:]}")
        log = json.loads((folder / "log.json").read_text())
    return [float(frame["metrics"]["vmaf"]) for frame in log["frames"][::2]]
