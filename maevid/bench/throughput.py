"""Frames per second of whole jobs: from a file to a file, as a user runs them."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maevid.bench.pictures import FRAME_RATE
from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.pipeline.compress import CompressOptions, compress
from maevid.pipeline.decompress import DecompressOptions, decompress
from maevid.pipeline.events import Event, Phase, PhaseChanged, Progress
from maevid.rate import RateRequest
from maevid.report import FrameReport
from maevid.video.frame import Frame, VideoInfo
from maevid.video.notices import Notices
from maevid.video.y4m import Y4mSink


@dataclass(frozen=True)
class Throughput:
    """Of one picture size. ``peak_bytes`` is the most memory that the process has had so far."""

    width: int
    height: int
    bits_per_pixel: float
    encode_fps: float
    encode_psnr_fps: float
    decode_fps: float
    peak_bytes: int


def throughput(
    codec: FrameCodec, options: CodecOptions, frames: Sequence[Frame], rate_index: int
) -> Throughput:
    """Compress frames at one λ, without and with PSNR, and decompress them; reading and writing counted.

    Opening the codec is not counted.
    """
    with tempfile.TemporaryDirectory(prefix="maevid-bench-") as folder:
        source, coded, back = (str(Path(folder, name)) for name in ("in.y4m", "out.mkv", "back.y4m"))
        _write(source, frames)
        request = RateRequest(lam=codec.lam(rate_index))
        plain, measured, decoding = _Marks(), _Marks(), _Marks()
        job = CompressOptions(source, coded, request, codec.name, options)
        result = compress(job, plain)
        compress(replace(job, measure=True), measured)
        decompress(DecompressOptions(coded, back, codec_options=options), decoding)
    width, height = frames[0].width, frames[0].height
    return Throughput(
        width=width,
        height=height,
        bits_per_pixel=result.rate.bits / (width * height * len(frames)),
        encode_fps=plain.rate,
        encode_psnr_fps=measured.rate,
        decode_fps=decoding.rate,
        peak_bytes=peak_bytes(),
    )


def index_near(codec: FrameCodec, frame: Frame, bits_per_pixel: float) -> int:
    """The highest rate index whose packet needs at most so many bits a luma sample; the lowest where none does."""
    low, high = codec.rate_indices.start, codec.rate_indices.stop
    while high - low > 1:
        middle = (low + high) // 2
        bits = 8 * len(codec.encode(frame, middle).packet.to_bytes())
        low, high = (middle, high) if bits <= bits_per_pixel * frame.y.size else (low, middle)
    return low


def peak_bytes() -> int:
    """The most memory that this process has had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


class _Marks:
    """Notes when coding begins and when the last frame is through."""

    def __init__(self) -> None:
        self._began = self._last = 0.0
        self._frames = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, PhaseChanged) and event.phase is Phase.ENCODE:
            self._began = time.perf_counter()
        elif isinstance(event, FrameReport | Progress):
            self._last = time.perf_counter()
            self._frames += 1

    @property
    def rate(self) -> float:
        return self._frames / (self._last - self._began)


def _write(path: str, frames: Sequence[Frame]) -> None:
    first = frames[0]
    info = VideoInfo(first.width, first.height, first.time_base, FRAME_RATE, color=first.color)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        sink = Y4mSink(descriptor, info, Notices())
        for frame in frames:
            sink.write(frame)
    finally:
        os.close(descriptor)
