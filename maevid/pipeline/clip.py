"""A clip that is gone through once or twice; what of it fits into a little memory is decoded only once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Any, Self

from maevid.pipeline.prefetch import Prefetch
from maevid.video.frame import Frame, VideoInfo
from maevid.video.reader import VideoReader

if TYPE_CHECKING:
    import av

    ClipEvent = Frame | av.Packet[Any]

READ_AHEAD = 8
KEPT_BYTES = 64 * 2**20
"""Of pictures and packets that a first pass keeps for the second, at most: nine seconds of 25 pictures at 640x480."""


class Clip:
    """The video of a file with all that goes along, open; to be closed.

    The first of two passes takes :meth:`ahead`, the encode :meth:`events`: frames and packets of other streams, in the
    order in which the file has them. What the first pass has read to its end, and was at most ``most`` bytes, is what
    the second gets; anything else is read again. Raises what VideoReader raises.
    """

    def __init__(
        self, path: str, *, stream: int | None = None, max_pixels: int | None = None, most: int = KEPT_BYTES
    ) -> None:
        self._path, self._stream, self._most = path, stream, most
        self.reader = VideoReader(path, stream=stream, max_pixels=max_pixels)
        # Who has read what the encode gets: with the first pass's reader, what it has read would be gone.
        self._read_by = self.reader
        self._kept: deque[ClipEvent] | None = None

    @property
    def info(self) -> VideoInfo:
        """What is known of the video."""
        return self.reader.info

    @property
    def warnings(self) -> list[str]:
        """What was odd about what :meth:`events` gave, one line each."""
        return self._read_by.warnings

    @property
    def damaged(self) -> int:
        """How much of what :meth:`events` gave was damaged."""
        return self._read_by.damaged

    @contextmanager
    def ahead(self, *, keep: bool = True) -> Iterator[Prefetch[ClipEvent]]:
        """All events for a first pass; ``keep``: that a second will follow."""
        reader = VideoReader(self._path, stream=self._stream)
        try:
            events = events_of(reader)
            with closing(Prefetch(self._keeping(events, reader) if keep else events, READ_AHEAD)) as ahead:
                yield ahead
        finally:
            if self._read_by is not reader:
                reader.close()

    def events(self) -> AbstractContextManager[Prefetch[ClipEvent]]:
        """All events, once."""
        kept, self._kept = self._kept, None
        return closing(Prefetch(events_of(self.reader) if kept is None else _emptied(kept), READ_AHEAD))

    def _keeping(self, events: Iterator[ClipEvent], reader: VideoReader) -> Iterator[ClipEvent]:
        """The same events, kept unless they are too many."""
        info = self.info
        # A clip that is known to be too long is not even begun with: an hour takes no more memory than a minute.
        most = self._most if 3 * info.width * info.height // 2 * info.frames <= self._most else 0
        kept: deque[ClipEvent] = deque()
        size = 0
        for event in events:
            size += sum(p.nbytes for p in event.planes) if isinstance(event, Frame) else event.size
            if size <= most:
                kept.append(event)
            else:
                kept.clear()
            yield event
        if size <= most:
            self._kept, self._read_by = kept, reader

    def close(self) -> None:
        """Close the file."""
        self._read_by.close()
        self.reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def events_of(reader: VideoReader) -> Iterator[ClipEvent]:
    """Frames and packets of other streams, in the order in which the file has them."""
    others: list[av.Packet[Any]] = []
    reader.on_packet = others.append
    for frame in reader:
        yield from others
        others.clear()
        yield frame
    yield from others


def _emptied(kept: deque[ClipEvent]) -> Iterator[ClipEvent]:
    """One after the other, and each let go of."""
    while kept:
        yield kept.popleft()
