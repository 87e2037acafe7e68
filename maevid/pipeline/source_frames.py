"""The frames of a finished file's source by number: forward steps decode on, far jumps seek, near ones are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from maevid.errors import InputError
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader

KEPT_BYTES = 96 * 2**20
"""Decoded frames kept for steps back, at most."""
FAR = 100
"""Frames that are rather decoded than jumped over."""
_BEFORE = 1.0


class SourceFrames:
    """Frame ``index`` of the video at ``path``, counted like the coded frames.

    ``seconds_of`` tells when a frame is shown: after a jump the frame is recognised by its time, and where no frame has
    that time the source is read from its start. Raises InputError when its pictures are not of ``size`` (width,
    height).
    """

    def __init__(
        self, path: Path, size: tuple[int, int], seconds_of: Callable[[int], float], stream: int | None = None
    ) -> None:
        self._path, self._stream, self._size, self._seconds_of = path, stream, size, seconds_of
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._bytes = 0
        self._reader = VideoReader(path, stream=stream)
        self._frames: Iterator[Frame] = iter(self._reader)
        self._next = 0
        self._end: int | None = None
        info = self._reader.info
        if (info.width, info.height) != size:
            self.close()
            raise InputError(
                f"{path} has pictures of {info.width}x{info.height}, the file {size[0]}x{size[1]}: "
                "is it the source of this file?"
            )

    def __call__(self, index: int) -> Frame | None:
        """The frame; None beyond the source's end."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        if self._end is not None and index >= self._end:
            return None
        if not self._next <= index <= self._next + FAR and not self._jump(index):
            self._reopen()
        while self._next <= index:
            frame = next(self._frames, None)
            if frame is None:
                self._end = self._next
                return None
            self._keep(self._next, frame)
            self._next += 1
        return self._kept[index]

    def close(self) -> None:
        """Close the source."""
        self._reader.close()

    def _jump(self, index: int) -> bool:
        """Go to a frame by its time; False where that fails, and the place is then undefined."""
        if index < FAR:
            return False
        self._reopen()
        wanted = self._seconds_of(index)
        near = abs(wanted - self._seconds_of(index - 1)) / 4
        with suppress(InputError):
            if not self._reader.skip_to(wanted - _BEFORE):
                return False
            for frame in self._frames:
                if frame.seconds >= wanted - near:
                    if frame.seconds > wanted + near:
                        return False
                    self._keep(index, frame)
                    self._next = index + 1
                    return True
        return False

    def _keep(self, index: int, frame: Frame) -> None:
        self._kept[index] = frame
        self._bytes += sum(plane.nbytes for plane in frame.planes)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= sum(plane.nbytes for plane in old.planes)

    def _reopen(self) -> None:
        self._reader.close()
        self._reader = VideoReader(self._path, stream=self._stream)
        self._frames, self._next = iter(self._reader), 0
