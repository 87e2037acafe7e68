"""A clip through the whole program and back, and what a viewer sees of it before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

import maevid
from maevid.pipeline.events import Event, Note
from maevid.stream.reader import StreamReader
from maevid.video.frame import VideoInfo

Picture = npt.NDArray[np.uint8]


@dataclass
class Trip:
    """A clip, its maevid file and what that decompresses to; ``notes`` are the lines that the user was told."""

    source: Path
    coded: Path
    back: Path
    notes: list[str] = field(default_factory=list)

    @property
    def info(self) -> VideoInfo:
        """What the maevid file says of its video."""
        with StreamReader(self.coded) as reader:
            return reader.info

    @property
    def times(self) -> list[Fraction]:
        """Seconds at which the maevid file shows its pictures."""
        with StreamReader(self.coded) as reader:
            return [coded.pts * reader.info.time_base for coded in reader]

    def psnr(self) -> float:
        """Mean of the PSNR in dB, frame by frame, between the RGB that a player would show."""
        before, after = seen(self.source), seen(self.back)
        assert len(before) == len(after) > 0
        errors = [np.square(a.astype(float) - b).mean() for a, b in zip(before, after, strict=True)]
        return float(np.mean([min(99.0, 10 * np.log10(255**2 / max(error, 1e-9))) for error in errors]))


def round_trip(source: Path, quality: float = 80, suffix: str = ".mkv") -> Trip:
    """Compress and decompress beside the source."""
    trip = Trip(source, source.parent / "coded.mkv", source.parent / f"back{suffix}")

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            trip.notes.append(event.text)

    maevid.compress(source, trip.coded, quality=quality, device="cpu", listener=listen)
    maevid.decompress(trip.coded, trip.back, device="cpu", listener=listen)
    return trip


def seen(path: Path, stream: int = 0) -> list[Picture]:
    """The pictures of a file in RGB, made by FFmpeg from its own decoding and the colour tags in the file."""
    with av.open(str(path)) as container:
        return [as_rgb(picture) for picture in container.decode(video=stream)]


def as_rgb(picture: av.VideoFrame) -> Picture:
    """(height, width, 3); alpha is ignored."""
    found = VideoReformatter().reformat(picture, format="rgb24", dst_color_range="JPEG").to_ndarray()
    return found.astype(np.uint8)


def scene(
    width: int, height: int, number: int, pixel_format: str, matrix: int = 5, full: bool = False
) -> av.VideoFrame:
    """A smooth coloured picture, another for every number, in a pixel format, matrix and range."""
    rows, columns = np.mgrid[:height, :width]
    phase = (rows / max(height, 24) + columns / max(width, 24)) * 3 + number / 2
    rgb = np.stack([128 + 90 * np.sin(phase + shift) for shift in (0, 1, 2.5)], axis=-1)
    frame = av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")
    if pixel_format == "rgb24":
        return frame
    return VideoReformatter().reformat(
        frame, format=pixel_format, dst_colorspace=matrix, dst_color_range="JPEG" if full else "MPEG"
    )


def write_scene(
    path: Path,
    *,
    width: int = 64,
    height: int = 48,
    frames: int = 2,
    pixel_format: str = "yuv420p",
    encoder: str = "ffv1",
    tags: tuple[int, int, int] | None = None,
    full: bool = False,
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
) -> Path:
    """Write scenes at 25 a second; ``tags`` are matrix, primaries and transfer (H.273), ``pts`` count 25ths."""
    matrix = 5 if tags is None else tags[0]
    with av.open(str(path), "w", container_options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream(encoder, rate=25, width=width, height=height, options=options or {})
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        if tags is not None:
            context.colorspace, context.color_primaries, context.color_trc = tags
        if tags is not None or full:
            context.color_range = 2 if full else 1
        for number in range(frames):
            picture = scene(
                width, height, number, pixel_format, matrix, full or pixel_format.startswith("yuvj")
            )
            picture.pts, picture.time_base = number if pts is None else pts[number], Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path
