"""Video as training data: a few frames of each clip, chosen at random but the same every time."""

from __future__ import annotations

import zlib
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from maevid.errors import InputError
from maevid.video.reader import VideoReader

VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".avi", ".webm", ".y4m", ".m4v", ".ts", ".mts", ".mpg", ".mpeg"}
FRAMES_A_CLIP = 32


def planes_of(picture: av.VideoFrame) -> list[npt.NDArray[np.uint8]]:
    """Y, U and V of an 8-bit 4:2:0 picture of even sides."""
    planes = []
    for plane in picture.planes:
        samples = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        planes.append(np.ascontiguousarray(samples[:, : plane.width]))
    return planes


def sample_frames(path: Path, count: int = FRAMES_A_CLIP) -> list[list[npt.NDArray[np.uint8]]]:
    """At most ``count`` frames of a video as 4:2:0 planes of even size, uint8, in the clip's own colours.

    One pass of reservoir sampling, seeded by the file's name, so that the length need not be known. Raises
    InputError when the file has no pictures or cannot be read.
    """
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    kept: list[tuple[int, list[npt.NDArray[np.uint8]]]] = []
    with VideoReader(path) as reader:
        for number, frame in enumerate(reader):
            place = number if number < count else int(random.integers(number + 1))
            if place >= count:
                continue
            height, width = frame.y.shape[0] & ~1, frame.y.shape[1] & ~1
            if not height or not width:
                raise InputError(
                    f"{path}: pictures of {frame.y.shape[1]}×{frame.y.shape[0]} are too small to train on"
                )
            planes = [
                frame.y[:height, :width].copy(),
                frame.u[: height // 2, : width // 2].copy(),
                frame.v[: height // 2, : width // 2].copy(),
            ]
            kept[place : place + 1] = [(number, planes)]
    return [planes for _, planes in sorted(kept, key=lambda pair: pair[0])]
