"""A maevid file as a sequence of pictures: any of them in one step, by number or by time."""

from __future__ import annotations

import operator
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from maevid.access.codecs import Device, shared_codec
from maevid.access.output import Kind, Output, Picture, Pixels, Planes
from maevid.codec.interface import CodecOptions
from maevid.errors import DamagedError, ModelError
from maevid.pipeline.open import codec_for
from maevid.stream.packet import MAX_PIXELS
from maevid.stream.reader import StreamReader
from maevid.video.frame import VideoInfo

Seconds = float | Fraction
_EXACT = 2**53
"""Whole numbers below it are exact in float64."""


@dataclass(frozen=True, slots=True)
class TimedPicture:
    """A picture with its time. ``duration_seconds`` is the time until the next picture."""

    data: Picture
    index: int
    pts_seconds: float
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class TimedPictures:
    """A stack of N pictures with their times: float64 arrays of shape (N,)."""

    data: Picture
    index: npt.NDArray[np.int64]
    pts_seconds: npt.NDArray[np.float64]
    duration_seconds: npt.NDArray[np.float64]


class Video:
    """A maevid file: ``len(video)`` pictures, ``video[i]``, ``video[a:b:c]``, ``video.at(seconds)``, iteration.

    Every access reads and decodes just the packets of the pictures it gives; there is no faster or slower order. A
    picture is uint8: an array (height, width, 3) of RGB, a tensor (3, height, width), or planes; see :func:`open`. A
    slice, and :meth:`batch`, give a stack with the number of pictures in front.

    All methods may be called from several threads, and in processes forked from the one that opened it; a pickled
    Video opens its file again. Times are seconds of presentation as the file has them: the first picture need not be
    at 0.

    A damaged picture raises DamagedError, which names it, whenever it is asked for, and every other picture is there;
    an iteration goes on behind it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        output: Kind = "numpy",
        pixels: Pixels = "rgb",
        device: str = "cpu",
        precision: str = "auto",
        weights: str | os.PathLike[str] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._arguments = {
            "output": output,
            "pixels": pixels,
            "device": device,
            "precision": precision,
            "weights": None if weights is None else os.fspath(weights),
            "max_pixels": max_pixels,
        }
        self._device = Device(device)
        self._output = Output(output, pixels, self._device)
        file = None if weights is None else Path(weights)
        self._reader = StreamReader(Path(path), max_pixels=max_pixels)
        try:
            self._codec = codec_for(
                self._reader,
                CodecOptions(self._device.kind, precision, file),
                lambda name, _: shared_codec(name, self._device, precision, file),
            )
        except BaseException:
            self._reader.close()
            raise

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, index: SupportsIndex | slice) -> Picture:
        """A picture by its number (negative: from the end), or a stack of those in a slice.

        Raises IndexError beyond the ends, DamagedError for a damaged picture.
        """
        if isinstance(index, slice):
            return self._stack(range(*index.indices(len(self))))
        return self._output.one(self._planes(self._checked(index)), self.info.color)

    def __iter__(self) -> Iterator[Picture]:
        # Unlike a generator's, the iteration of a map does not end with an error.
        return map(self.__getitem__, range(len(self)))

    def batch(self, indices: Iterable[SupportsIndex]) -> Picture:
        """A stack of the pictures of these numbers, in their order; each is decoded once however often it is named.

        Raises as indexing does.
        """
        return self._stack([self._checked(index) for index in indices])

    def at(self, seconds: Seconds) -> Picture:
        """The picture that is shown at a time; see :meth:`index_at`."""
        return self[self.index_at(seconds)]

    def index_at(self, seconds: Seconds) -> int:
        """The number of the picture that is shown at a time: the last one that starts at or before it.

        Raises IndexError before the first picture and from the end of the last one on.
        """
        order, starts = self._by_time
        if not starts[0] <= seconds < self.end_seconds:
            raise IndexError(
                f"{float(seconds):.6g} s is outside of {self.path}, which goes from {starts[0]:.6g} to "
                f"{self.end_seconds:.6g} s"
            )
        return order[bisect_right(starts, seconds) - 1]

    def get_frame_at(self, index: SupportsIndex) -> TimedPicture:
        """A picture by its number, with its time. Raises as indexing does."""
        number = self._checked(index)
        duration = float(self.duration_seconds[number])
        return TimedPicture(self[number], number, float(self.pts_seconds[number]), duration)

    def get_frames_at(self, indices: Iterable[SupportsIndex]) -> TimedPictures:
        """A stack of pictures by their numbers, with their times. Raises as indexing does."""
        numbers = [self._checked(index) for index in indices]
        rows = np.array(numbers, np.int64)
        return TimedPictures(self._stack(numbers), rows, self.pts_seconds[rows], self.duration_seconds[rows])

    def get_frame_played_at(self, seconds: Seconds) -> TimedPicture:
        """The picture that is shown at a time, with its own time; raises as :meth:`index_at` does."""
        return self.get_frame_at(self.index_at(seconds))

    @property
    def path(self) -> Path:
        """The file."""
        return self._reader.path

    @property
    def info(self) -> VideoInfo:
        """Size, colour tags, rotation, sample aspect ratio, source format: what is known of the video as a whole."""
        return self._reader.info

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all pictures in RGB: (N, height, width, 3), for tensors (N, 3, height, width)."""
        return self._output.shape(len(self), self.info.height, self.info.width)

    @property
    def average_rate(self) -> Fraction | None:
        """Pictures a second as the source's container told it; None when it did not."""
        return self.info.average_rate

    @property
    def fps(self) -> float:
        """Pictures a second: all pictures over the whole duration."""
        duration = self.end_seconds - self._by_time[1][0]
        return len(self) / duration if duration > 0 else float(self.average_rate or 0)

    @cached_property
    def pts_seconds(self) -> npt.NDArray[np.float64]:
        """When each picture begins to be shown, in seconds; float64, (N,), read-only."""
        unit = self.info.time_base
        seconds = np.array([_seconds(self._reader.pts(i), unit) for i in range(len(self))])
        seconds.setflags(write=False)
        return seconds

    @cached_property
    def duration_seconds(self) -> npt.NDArray[np.float64]:
        """How long each picture is shown, until the next one or the end: seconds, float64, (N,), read-only."""
        order, starts = self._by_time
        durations = np.empty(len(self))
        durations[order] = np.diff(starts, append=self.end_seconds)
        durations.setflags(write=False)
        return durations

    @cached_property
    def end_seconds(self) -> float:
        """When the last picture ends, in seconds."""
        last = max(self._reader.pts(i) for i in range(len(self)))
        facts = self._reader.header_facts(-1)
        duration = facts.duration if facts is not None and self._reader.described.time_base else 0
        unit = self.info.time_base
        if duration:
            return _seconds(last + duration, unit)
        first = self._by_time[1][0]
        usual = (_seconds(last, unit) - first) / max(1, len(self) - 1)
        return _seconds(last, unit) + (usual or float(1 / (self.average_rate or 25)))

    @property
    def truncated(self) -> bool:
        """Whether the file is cut short: what is left of it can be read."""
        return self._reader.truncated

    def close(self) -> None:
        """Close the file; pictures can then not be read any more (ValueError)."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_reader"):
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self._arguments)

    def __repr__(self) -> str:
        size = f"{self.info.width}x{self.info.height}"
        return f"<maevid.Video {str(self.path)!r}: {len(self)} pictures of {size}, {self.fps:.6g} fps>"

    @cached_property
    def _by_time(self) -> tuple[list[int], list[float]]:
        """The pictures' numbers in order of their times, and these: a file that was joined need not be in order."""
        order = np.argsort(self.pts_seconds, kind="stable")
        return order.tolist(), self.pts_seconds[order].tolist()

    def _checked(self, index: SupportsIndex) -> int:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"picture {number} of {self.path}, which has {len(self)}")
        return number % len(self)

    def _planes(self, index: int) -> Planes:
        packet = self._reader.packet(index)
        try:
            self._reader.check_size(packet)
            with self._device.selected():
                return self._codec.decode(packet)
        except (DamagedError, ModelError) as error:
            raise type(error)(f"frame {index}: {error}") from error

    def _stack(self, indices: Sequence[int]) -> Picture:
        info = self.info
        last_use = {index: position for position, index in enumerate(indices)}
        kept: dict[int, Planes] = {}

        def decoded() -> Iterator[Planes]:
            for position, index in enumerate(indices):
                planes = kept.pop(index, None) or self._planes(index)
                if last_use[index] > position:
                    kept[index] = planes
                yield planes

        return self._output.stack(decoded(), len(indices), info.height, info.width, info.color)


def _reopen(path: Path, arguments: dict[str, Any]) -> Video:
    return Video(path, **arguments)


def _seconds(pts: int, unit: Fraction) -> float:
    """A time as the float64 nearest to it."""
    ticks = pts * unit.numerator
    return ticks / unit.denominator if abs(ticks) < _EXACT else float(pts * unit)
