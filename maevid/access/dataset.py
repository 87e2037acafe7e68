"""Frames and clips of many files as a map-style data set for PyTorch."""

from __future__ import annotations

import operator
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, SupportsIndex

from torch.utils.data import Dataset as MapStyle

from maevid.access.output import Kind, Pixels
from maevid.access.video import Video
from maevid.errors import UsageError
from maevid.stream.packet import MAX_PIXELS
from maevid.stream.reader import StreamReader

OPEN_FILES = 32
"""Files that a process keeps open at most; the one that was not asked for longest is closed."""


class Clip(NamedTuple):
    """Where an item of a data set comes from: its file, and the number of its first picture there."""

    path: Path
    start: int


class _Files:
    """The open files of one process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = Lock()
        self.videos: OrderedDict[Path, Video] = OrderedDict()


class Dataset(MapStyle[Any]):
    """Pictures, or clips of ``clip_length`` pictures, of maevid files; every one of them is equally fast to get.

    ``dataset[i]`` is a tensor of uint8: a picture (3, height, width) without ``clip_length``, else a clip
    (clip_length, 3, height, width) of every ``frame_step``-th picture. Clips of a file start ``clip_step`` pictures
    apart, by default so that they do not overlap; what is left at a file's end, too short for a clip, is left out.
    ``transform`` gets each item. ``output``, ``pixels``, ``device`` and the rest are those of :func:`maevid.open`.

    Works with PyTorch's DataLoader, with and without workers, whatever their start method; a DataLoader's or a
    sampler's shuffling makes the order random. With ``device="cuda"`` workers must be spawned, not forked.

    Raises UsageError for options that make no sense or without a single clip, and what :func:`maevid.open` raises
    for a file that cannot be read.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        clip_length: int | None = None,
        frame_step: int = 1,
        clip_step: int | None = None,
        transform: Callable[[Any], Any] | None = None,
        output: Kind = "torch",
        pixels: Pixels = "rgb",
        device: str = "cpu",
        precision: str = "auto",
        weights: str | os.PathLike[str] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        self.paths = [Path(path) for path in given]
        self.clip_length, self.frame_step = clip_length, frame_step
        self.clip_step = (clip_length or 1) * frame_step if clip_step is None else clip_step
        self.transform = transform
        for name in ("clip_length", "frame_step", "clip_step"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is at least 1, not {value}")
        self._options: dict[str, Any] = {
            "output": output,
            "pixels": pixels,
            "device": device,
            "precision": precision,
            "weights": None if weights is None else os.fspath(weights),
            "max_pixels": max_pixels,
        }
        self._span = ((clip_length or 1) - 1) * frame_step + 1
        self._ends = list(accumulate(self._clips_in(path) for path in self.paths))
        if not self._ends or not self._ends[-1]:
            raise UsageError(f"there is no clip of {self._span} pictures in {len(self.paths)} files")
        self._files = _Files()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: SupportsIndex) -> Any:
        """An item; raises IndexError beyond the end and DamagedError for a damaged picture in it."""
        path, start = self.where(index)
        video = self._video(path)
        clip = slice(start, start + self._span, self.frame_step)
        item = video[start if self.clip_length is None else clip]
        return item if self.transform is None else self.transform(item)

    def where(self, index: SupportsIndex) -> Clip:
        """The file of an item and the number of its first picture, for labels; nothing is read."""
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"item {number} of a data set of {len(self)}")
        number %= len(self)
        file = bisect_right(self._ends, number)
        before = self._ends[file - 1] if file else 0
        return Clip(self.paths[file], (number - before) * self.clip_step)

    def close(self) -> None:
        """Close the files that this process has open; they are opened again when needed."""
        files = self._own_files()
        with files.lock:
            while files.videos:
                files.videos.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._files = _Files()

    def _clips_in(self, path: Path) -> int:
        with StreamReader(path, max_pixels=self._options["max_pixels"]) as reader:
            return max(0, (len(reader) - self._span) // self.clip_step + 1)

    def _own_files(self) -> _Files:
        # After a fork the lock may be held by a thread that does not exist here.
        if self._files.process != os.getpid():
            self._files = _Files()
        return self._files

    def _video(self, path: Path) -> Video:
        files = self._own_files()
        with files.lock:
            video = files.videos.get(path)
            if video is None:
                video = files.videos[path] = Video(path, **self._options)
            files.videos.move_to_end(path)
            # Another thread may still read from the one that goes: it closes once nobody holds it.
            while len(files.videos) > OPEN_FILES:
                files.videos.popitem(last=False)
            return video
