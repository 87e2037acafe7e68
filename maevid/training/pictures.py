"""Training pictures and frames of video: decoded once to 4:2:0 in one memory-mapped file, then cropped at random."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch
from av.video.reformatter import ColorRange, Colorspace
from torch import Tensor

from maevid.errors import InputError
from maevid.training.footage import FRAMES_A_CLIP, VIDEO_SUFFIXES, sample_frames

PICTURE_SUFFIXES = {".avif", ".webp", ".png", ".jpg", ".jpeg"}
VALIDATION_SHARE = 32
_HELD_FRAMES = 4
_LIMITED_FLOOR, _LUMA_RANGE, _CHROMA_RANGE = 16.0, 219.0, 224.0


@dataclass(frozen=True)
class _Entry:
    name: str
    offset: int
    width: int
    height: int


def decode_picture(path: Path) -> list[npt.NDArray[np.uint8]]:
    """The first frame of a picture file as 4:2:0 planes, BT.601 limited range, cropped to even sizes."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    rgb = frame.to_ndarray(format="rgb24")
    height, width = rgb.shape[0] & ~1, rgb.shape[1] & ~1
    cropped: npt.NDArray[np.uint8] = np.ascontiguousarray(rgb[:height, :width], np.uint8)
    even = av.VideoFrame.from_ndarray(cropped, format="rgb24")
    converted = even.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
    )
    planes = []
    for index, plane in enumerate(converted.planes):
        rows, columns = (height, width) if index == 0 else (height // 2, width // 2)
        samples = np.frombuffer(memoryview(plane), np.uint8).reshape(rows, plane.line_size)
        planes.append(np.ascontiguousarray(samples[:, :columns]))
    return planes


def is_validation(name: str) -> bool:
    """Whether a picture or video is held out: one in 32, chosen by its name so that it never changes sides."""
    return _digest(name)[0] % VALIDATION_SHARE == 0


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _source_name(entry: str) -> str:
    """The file of an entry: frames of a clip, named ``clip.mp4#3``, stay together."""
    return entry.partition("#")[0]


class Pictures:
    """All pictures, and some frames of every video, below some folders, in one file that is paged in as needed.

    ``sources`` are folders or single files. The unpacked copy lies in ``cache`` and is made once for a set of names
    and sizes. Raises InputError when there is no picture.
    """

    def __init__(self, sources: Sequence[Path], cache: Path) -> None:
        files = sorted(
            file
            for source in sources
            for file in ([source] if source.is_file() else source.rglob("*"))
            if file.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES
        )
        if not files:
            raise InputError(
                f"no pictures or videos ({', '.join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))}) in "
                f"{', '.join(map(str, sources))}"
            )
        clips = FRAMES_A_CLIP if any(f.suffix.lower() in VIDEO_SUFFIXES for f in files) else None
        sizes = [(f.name, f.stat().st_size) for f in files]
        key = hashlib.sha256(repr(sizes if clips is None else (sizes, clips)).encode()).hexdigest()[:16]
        data, index = cache / f"{key}.yuv", cache / f"{key}.json"
        if not index.exists():
            _unpack(files, data, index)
        self._entries = [_Entry(**entry) for entry in json.loads(index.read_text())]
        self._data = np.memmap(data, np.uint8, "r")
        names = sorted({_source_name(e.name) for e in self._entries}, key=_digest)
        if len(names) < 2:
            raise InputError("at least two pictures or videos are needed: one is held out for validation")
        held = {name for name in names if is_validation(name)} or {names[0]}
        self.train = [e for e in self._entries if _source_name(e.name) not in held]
        # Frames of one clip are much alike: a few of them say what all would.
        self.validation = [
            e
            for e in self._entries
            if _source_name(e.name) in held and int(e.name.partition("#")[2] or 0) < _HELD_FRAMES
        ]

    def planes(self, entry: _Entry) -> tuple[npt.NDArray[np.uint8], ...]:
        """Y, U and V of one picture, as views of the file."""
        luma = entry.width * entry.height
        half = (entry.height // 2, entry.width // 2)
        y = self._data[entry.offset : entry.offset + luma].reshape(entry.height, entry.width)
        u = self._data[entry.offset + luma : entry.offset + luma * 5 // 4].reshape(half)
        v = self._data[entry.offset + luma * 5 // 4 : entry.offset + luma * 3 // 2].reshape(half)
        return y, u, v

    def batch(self, count: int, size: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """``count`` random crops of ``size``×``size`` luma samples, flipped and turned at random.

        Planes (count, 1, size, size) and twice (count, 1, size/2, size/2), float32 in 0..1. A quarter of the
        crops is stretched to full range, as JPEG-like video has it.
        """
        crops: list[list[npt.NDArray[np.float32]]] = [[], [], []]
        areas = np.array([e.width * e.height for e in self.train], np.float64)
        for pick in random.choice(len(self.train), count, p=areas / areas.sum()):
            entry = self.train[pick]
            top = 2 * int(random.integers(0, max(0, entry.height - size) // 2 + 1))
            left = 2 * int(random.integers(0, max(0, entry.width - size) // 2 + 1))
            turn, flip, full = int(random.integers(4)), bool(random.integers(2)), random.random() < 0.25
            for number, plane in enumerate(self.planes(entry)):
                step = 1 if number == 0 else 2
                extent = size // step
                crop = plane[top // step : top // step + extent, left // step : left // step + extent]
                if crop.shape != (extent, extent):
                    missing = [(0, extent - s) for s in crop.shape]
                    crop = np.pad(crop, missing, mode="reflect")
                crop = np.rot90(crop, turn)
                crop = crop[:, ::-1] if flip else crop
                samples = crop.astype(np.float32)
                if full:
                    samples = _to_full_range(samples, chroma=number > 0)
                crops[number].append(samples)
        y, u, v = (torch.from_numpy(np.stack(c)[:, None]) / 255 for c in crops)
        return y, u, v


def _to_full_range(samples: npt.NDArray[np.float32], *, chroma: bool) -> npt.NDArray[np.float32]:
    if chroma:
        stretched = (samples - 128) * np.float32(255 / _CHROMA_RANGE) + 128
    else:
        stretched = (samples - _LIMITED_FLOOR) * np.float32(255 / _LUMA_RANGE)
    rounded: npt.NDArray[np.float32] = np.clip(np.rint(stretched), 0, 255).astype(np.float32)
    return rounded


def _decoded(file: Path) -> list[tuple[str, list[npt.NDArray[np.uint8]]]]:
    if file.suffix.lower() in PICTURE_SUFFIXES:
        return [(file.name, decode_picture(file))]
    return [(f"{file.name}#{number}", planes) for number, planes in enumerate(sample_frames(file))]


def _unpack(files: Sequence[Path], data: Path, index: Path) -> None:
    data.parent.mkdir(parents=True, exist_ok=True)
    entries, offset = [], 0
    partial = data.with_suffix(".part")
    with partial.open("wb") as out:
        for file in files:
            for name, planes in _decoded(file):
                height, width = planes[0].shape
                for plane in planes:
                    out.write(plane.tobytes())
                entries.append({"name": name, "offset": offset, "width": width, "height": height})
                offset += sum(plane.size for plane in planes)
    os.replace(partial, data)
    partial_index = index.with_suffix(".json.part")
    partial_index.write_text(json.dumps(entries))
    os.replace(partial_index, index)
