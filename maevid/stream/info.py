"""What a maevid file is, told without decoding: the facts behind ``maevid info``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maevid.errors import DamagedError
from maevid.stream.reader import StreamReader
from maevid.video.frame import ColorTags

if TYPE_CHECKING:
    from av.stream import Stream


@dataclass(frozen=True, slots=True)
class OtherTrack:
    """A track beside the video. ``sample_rate`` (Hz) and ``channels`` are 0 where they do not apply."""

    kind: str
    codec: str
    language: str
    title: str
    sample_rate: int = 0
    channels: int = 0


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter; times in seconds."""

    start: float
    end: float
    title: str


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The facts of a file. None stands for what is not known.

    ``video_bytes`` counts packets, headers included; ``bit_rate`` is their bits over ``duration``
    (seconds, from pts), ``bits_per_pixel`` their bits over luma samples. ``rate_indices`` counts pictures
    by rate index. ``damaged`` counts the pictures that the walk over the headers finds lost or damaged (a
    damaged payload is found by ``maevid verify``). ``joined`` is 1 unless a tool has joined several files.
    Fractions are texts.
    """

    path: str
    file_bytes: int
    width: int
    height: int
    frames: int
    duration: float | None
    frame_rate: str | None
    time_base: str
    start: float
    video_bytes: int
    bit_rate: float | None
    bits_per_pixel: float | None
    largest_packet: int
    codec: str | None
    model: str | None
    weights: str | None
    rate_indices: dict[int, int]
    source_codec: str | None
    pixel_format: str
    color: ColorTags
    sample_aspect_ratio: str
    rotation: int
    interlaced: bool
    tracks: tuple[OtherTrack, ...]
    chapters: tuple[Chapter, ...]
    metadata: dict[str, str]
    tags: dict[str, str]
    truncated: bool
    damaged: int
    joined: int

    def to_json(self) -> str:
        """All facts as one JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)


def read_facts(path: str | Path) -> FileFacts:
    """The facts of the file ``path``. Raises what :class:`~maevid.stream.reader.StreamReader` raises."""
    with StreamReader(path) as reader:
        return facts_of(reader)


def facts_of(reader: StreamReader) -> FileFacts:
    """The facts of an open file; no payload is read."""
    info, described = reader.info, reader.described
    headers = [header for index in range(len(reader)) if (header := reader.header_facts(index)) is not None]
    sizes = [header.size for header in headers]
    rates = Counter(header.rate_index for header in headers if header.rate_index >= 0)
    samples = sum(header.width * header.height for header in headers)
    bits = 8 * sum(sizes)
    tracks, chapters, metadata = _beside_the_video(reader)
    return FileFacts(
        path=str(reader.path),
        file_bytes=reader.path.stat().st_size,
        width=info.width,
        height=info.height,
        frames=len(reader),
        duration=info.duration,
        frame_rate=str(info.average_rate) if info.average_rate is not None else None,
        time_base=str(info.time_base),
        start=float(reader.pts(0) * info.time_base),
        video_bytes=bits // 8,
        bit_rate=bits / info.duration if info.duration else None,
        bits_per_pixel=bits / samples if samples else None,
        largest_packet=max(sizes, default=0),
        codec=described.codec,
        model=described.model.hex() if described.model is not None else None,
        weights=described.weights,
        rate_indices=dict(sorted(rates.items())),
        source_codec=described.source_codec,
        pixel_format=info.pixel_format,
        color=info.color,
        sample_aspect_ratio=str(info.sample_aspect_ratio),
        rotation=info.rotation,
        interlaced=info.interlaced,
        tracks=tracks,
        chapters=chapters,
        metadata=metadata,
        tags=reader.tags,
        truncated=reader.truncated,
        damaged=len(reader) - sum(rates.values()),
        joined=reader.runs,
    )


def _beside_the_video(
    reader: StreamReader,
) -> tuple[tuple[OtherTrack, ...], tuple[Chapter, ...], dict[str, str]]:
    """Other tracks, chapters and global metadata: from libavformat, or what the header tells without it."""
    try:
        container = reader.container
    except DamagedError:
        others = (track for number, track in enumerate(reader.tracks) if number != reader.video_index)
        return tuple(OtherTrack(t.kind, t.codec_id, t.language, t.name) for t in others), (), {}
    tracks = tuple(_other(stream) for stream in container.streams if stream.index != reader.video_index)
    chapters = tuple(_chapter(chapter) for chapter in container.chapters())
    return tracks, chapters, dict(container.metadata)


def _other(stream: Stream) -> OtherTrack:
    context = stream.codec_context
    return OtherTrack(
        kind=stream.type,
        codec=context.name if context is not None else "",
        language=stream.metadata.get("language", ""),
        title=stream.metadata.get("title", stream.metadata.get("filename", "")),
        sample_rate=getattr(context, "sample_rate", 0) or 0,
        channels=getattr(context, "channels", 0) or 0,
    )


def _chapter(chapter: Any) -> Chapter:
    unit = float(chapter["time_base"].numerator / chapter["time_base"].denominator)
    return Chapter(chapter["start"] * unit, chapter["end"] * unit, chapter["metadata"].get("title", ""))
