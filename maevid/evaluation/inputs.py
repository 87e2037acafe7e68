"""What codecs are compared on: pictures, and evenly spaced frames of clips."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error

from maevid.errors import InputError
from maevid.training.footage import VIDEO_SUFFIXES
from maevid.training.pictures import PICTURE_SUFFIXES, decode_picture
from maevid.video.frame import ColorTags, Frame
from maevid.video.reader import VideoReader
from maevid.video.rgb import BT601

_CLIP_SUFFIXES = VIDEO_SUFFIXES | {".264", ".265"}


@dataclass(frozen=True)
class Input:
    """One picture or clip. ``group`` is the name of its folder: results are averaged by group."""

    path: Path
    group: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def picture(self) -> bool:
        """Whether it is a still picture."""
        return self.path.suffix.lower() in PICTURE_SUFFIXES

    def load(self, count: int) -> list[Frame]:
        """The picture as one frame, or ``count`` evenly spaced frames of the clip. Raises InputError."""
        return [_picture(self.path)] if self.picture else _spaced(self.path, count)


def find_inputs(paths: Sequence[Path]) -> list[Input]:
    """Files as they are named, folders as the pictures and clips right in them, by name. Raises InputError."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            known = PICTURE_SUFFIXES | _CLIP_SUFFIXES
            inside = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in known)
            if not inside:
                raise InputError(f"there is no picture and no clip in {path}")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise InputError(f"{path} does not exist")
    found: dict[tuple[str, str], Path] = {}
    for file in dict.fromkeys(path.absolute() for path in files):
        name = (file.parent.name, file.name)
        if name in found:
            raise InputError(f"{found[name]} and {file} would get one name in the report: rename a folder")
        found[name] = file
    return [Input(file, group, _sha256(file)) for (group, _), file in found.items()]


def frame_numbers(total: int, count: int) -> list[int]:
    """The middle frames of ``count`` equal parts of a clip of ``total`` frames; all of them if there are no more."""
    if count >= total:
        return list(range(total))
    return [(2 * part + 1) * total // (2 * count) for part in range(count)]


def _picture(path: Path) -> Frame:
    try:
        y, u, v = decode_picture(path)
    except (av.error.FFmpegError, StopIteration, ValueError) as error:
        raise InputError(f"{path} cannot be read as a picture: {error}") from error
    return Frame(y, u, v, 0, Fraction(1, 25), 1, ColorTags(matrix=BT601, full_range=False))


def _spaced(path: Path, count: int) -> list[Frame]:
    # Containers often misstate how many frames they hold, hence a pass to count them.
    with VideoReader(path) as reader:
        total = sum(1 for _ in reader)
    wanted = set(frame_numbers(total, count))
    with VideoReader(path) as reader:
        return [frame for number, frame in enumerate(reader) if number in wanted]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
