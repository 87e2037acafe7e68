"""Training pictures and frames of video: decoded once to 4:2:0 in one memory-mapped file, then cropped at random.

Of each picture there is also a frame of a made video (:mod:`maevid.training.recoded`), and for each sixteen files a
made screen (:mod:`maevid.training.screens`): what people compress is mostly video that was compressed before, and
screens are what few of the free pictures show.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch
from av.video.reformatter import ColorRange, Colorspace
from torch import Tensor

from maevid.atomic import atomic_output
from maevid.errors import InputError
from maevid.training.footage import FRAMES_A_CLIP, VIDEO_SUFFIXES, planes_of, sample_frames
from maevid.training.recoded import GRID, recoded

PICTURE_SUFFIXES = {".avif", ".webp", ".png", ".jpg", ".jpeg"}
VALIDATION_SHARE = 32
RECODED_WEIGHT, SCREEN_WEIGHT = 0.6, 3.5
"""How often a sample of a made frame and of a made screen is drawn, next to one of a picture or a real video."""
_FILES_A_SCREEN = 16
_MADE_VERSION = 2
"""Of how pictures are made; another one makes the unpacked file anew."""
_RECODED, _SCREEN = "#recoded", "#screen"
_HELD_FRAMES = 4
_HELD_MADE = 4
"""One in so many of the held-out made pictures is validated on: enough to see a trend."""
_LIMITED_FLOOR, _LUMA_RANGE, _CHROMA_RANGE = 16.0, 219.0, 224.0


@dataclass(frozen=True)
class Entry:
    """One picture of the unpacked file: its name, the byte where it begins, and its luma size."""

    name: str
    offset: int
    width: int
    height: int

    @property
    def made(self) -> bool:
        """Whether no file has it: a recoded frame or a screen."""
        return self.name.endswith((_RECODED, _SCREEN))

    @property
    def weight(self) -> float:
        """How often it is drawn, in proportion."""
        share = {_RECODED: RECODED_WEIGHT, _SCREEN: SCREEN_WEIGHT}.get(self.name[self.name.rfind("#") :], 1.0)
        return share * self.width * self.height

    @property
    def upright(self) -> bool:
        """Whether it is a frame of video or a screen: never turned, and cropped on the grid of its macroblocks."""
        return "#" in self.name


def decode_picture(path: Path) -> list[npt.NDArray[np.uint8]]:
    """The first frame of a picture file as 4:2:0 planes, BT.601 limited range, cropped to even sizes."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    rgb: npt.NDArray[np.uint8] = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    return convert_picture(rgb)


def convert_picture(rgb: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """RGB, uint8 (height, width, 3), as 4:2:0 planes, BT.601 limited range, cropped to even sizes."""
    height, width = rgb.shape[0] & ~1, rgb.shape[1] & ~1
    cropped: npt.NDArray[np.uint8] = np.ascontiguousarray(rgb[:height, :width], np.uint8)
    even = av.VideoFrame.from_ndarray(cropped, format="rgb24")
    converted = even.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
    )
    return planes_of(converted)


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

    ``sources`` are folders or single files; ``made`` adds recoded frames and screens. The unpacked copy lies in
    ``cache`` and is made once for a set of names and sizes. Raises InputError when there is no picture.
    """

    def __init__(self, sources: Sequence[Path], cache: Path, *, made: bool = False) -> None:
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
        sizes = [(f.name, f.stat().st_size) for f in files]
        key = hashlib.sha256(
            repr((sizes, FRAMES_A_CLIP, _MADE_VERSION if made else None)).encode()
        ).hexdigest()[:16]
        data, index = cache / f"{key}.yuv", cache / f"{key}.json"
        if not index.exists():
            _unpack(files, data, index, made=made)
        self._entries = [Entry(**entry) for entry in json.loads(index.read_text())]
        self._data = np.memmap(data, np.uint8, "r")
        names = sorted({_source_name(e.name) for e in self._entries}, key=_digest)
        if len(names) < 2:
            raise InputError("at least two pictures or videos are needed: one is held out for validation")
        held = {name for name in names if is_validation(name)} or {names[0]}
        self.train = [e for e in self._entries if _source_name(e.name) not in held]
        kept = [e for e in self._entries if _source_name(e.name) in held]
        # Frames of one clip are much alike: a few of them say what all would.
        self.validation = [
            e for e in kept if not e.made and int(e.name.partition("#")[2] or 0) < _HELD_FRAMES
        ]
        self.made_validation = [e for e in kept if e.made][::_HELD_MADE]
        weights = np.array([e.weight for e in self.train])
        self._chances = weights / weights.sum()

    def planes(self, entry: Entry) -> tuple[npt.NDArray[np.uint8], ...]:
        """Y, U and V of one picture, as views of the file."""
        luma = entry.width * entry.height
        half = (entry.height // 2, entry.width // 2)
        y = self._data[entry.offset : entry.offset + luma].reshape(entry.height, entry.width)
        u = self._data[entry.offset + luma : entry.offset + luma * 5 // 4].reshape(half)
        v = self._data[entry.offset + luma * 5 // 4 : entry.offset + luma * 3 // 2].reshape(half)
        return y, u, v

    def batch(self, count: int, size: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """``count`` random crops of ``size``×``size`` luma samples, mirrored and, of pictures, turned at random.

        Planes (count, 1, size, size) and twice (count, 1, size/2, size/2), float32 in 0..1. A quarter of the
        crops is stretched to full range, as JPEG-like video has it.
        """
        crops: list[list[npt.NDArray[np.float32]]] = [[], [], []]
        for pick in random.choice(len(self.train), count, p=self._chances):
            entry = self.train[pick]
            grid = GRID if entry.upright else 2
            top = grid * int(random.integers(0, max(0, entry.height - size) // grid + 1))
            left = grid * int(random.integers(0, max(0, entry.width - size) // grid + 1))
            turn, flip, full = int(random.integers(4)), bool(random.integers(2)), random.random() < 0.25
            turn = 0 if entry.upright else turn
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


def _decoded(file: Path, *, made: bool) -> Iterator[tuple[str, list[npt.NDArray[np.uint8]]]]:
    if file.suffix.lower() not in PICTURE_SUFFIXES:
        for number, frame in enumerate(sample_frames(file)):
            yield f"{file.name}#{number}", frame
        return
    planes = decode_picture(file)
    yield file.name, planes
    if made and min(planes[0].shape) >= 4 * GRID:
        yield file.name + _RECODED, recoded(planes, np.random.default_rng(zlib.crc32(file.name.encode())))


def _screens(count: int) -> Iterator[tuple[str, list[npt.NDArray[np.uint8]]]]:
    """Every other one as a video has it."""
    if not count:
        return
    from maevid.training.screens import made_screen

    for number in range(count):
        planes = convert_picture(made_screen(number))
        if number % 2:
            planes = recoded(planes, np.random.default_rng((number, 72)))
        yield f"screen-{number}{_SCREEN}", planes


def _unpack(files: Sequence[Path], data: Path, index: Path, *, made: bool) -> None:
    data.parent.mkdir(parents=True, exist_ok=True)
    entries, offset = [], 0
    pictures = chain.from_iterable(_decoded(file, made=made) for file in files)
    screens = _screens(len(files) // _FILES_A_SCREEN if made else 0)
    # Another process may be making the same.
    with atomic_output(data) as partial, partial.open("wb") as out:
        for name, planes in chain(pictures, screens):
            height, width = planes[0].shape
            for plane in planes:
                out.write(plane.tobytes())
            entries.append({"name": name, "offset": offset, "width": width, "height": height})
            offset += sum(plane.size for plane in planes)
    with atomic_output(index) as partial:
        partial.write_text(json.dumps(entries))
