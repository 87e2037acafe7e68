"""The library's front door: the same jobs as the command line, as functions."""

from __future__ import annotations

import os
from pathlib import Path

from maevid.access.output import Kind, Pixels
from maevid.access.video import Video
from maevid.codec.interface import CodecOptions
from maevid.codec.registry import DEFAULT_CODEC
from maevid.pipeline.compress import CompressOptions, CompressResult
from maevid.pipeline.compress import compress as _compress
from maevid.pipeline.decompress import DecompressOptions, DecompressResult
from maevid.pipeline.decompress import decompress as _decompress
from maevid.pipeline.events import Listener
from maevid.rate import RateRequest
from maevid.stream.packet import MAX_PIXELS

PathLike = str | os.PathLike[str]


def _silent(event: object) -> None:
    """Nobody listens."""


def compress(
    input: PathLike,
    output: PathLike,
    *,
    bitrate: float | None = None,
    quality: float | None = None,
    request: RateRequest | None = None,
    codec: str = DEFAULT_CODEC,
    device: str = "auto",
    precision: str = "auto",
    weights: Path | None = None,
    effort: int = 0,
    measure: bool = False,
    max_pixels: int = MAX_PIXELS,
    resume: bool = False,
    cluster: str | None = None,
    listener: Listener = _silent,
) -> CompressResult:
    """Compress a video file.

    Give one of ``bitrate`` (bits per second), ``quality`` (0..100) or, for every other mode, a
    :class:`~maevid.rate.RateRequest`. ``measure`` adds PSNR to the reports, which ``listener`` receives.
    ``effort`` is in how many rounds the encoder mends each frame by what the decoder makes of it: 0, or some 5 for
    smaller files and more time. Pictures of more than ``max_pixels`` luma samples are refused. ``resume`` goes on with
    an interrupted encode of the same arguments. ``cluster`` has Dask workers code the frames: the address of a
    scheduler, or ``local`` (from a script that guards its start with ``__name__ == "__main__"``).
    Raises MaevidError with one line that says what is wrong; an existing output is then untouched.
    """
    request = request or RateRequest(bitrate=bitrate, quality=quality)
    options = CompressOptions(
        os.fspath(input),
        os.fspath(output),
        request,
        codec,
        CodecOptions(device, precision, weights, effort),
        measure=measure,
        max_pixels=max_pixels,
        resume=resume,
        cluster=cluster,
    )
    return _compress(options, listener)


def decompress(
    input: PathLike,
    output: PathLike,
    *,
    encoder: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    weights: Path | None = None,
    strict: bool = False,
    max_pixels: int = MAX_PIXELS,
    listener: Listener = _silent,
) -> DecompressResult:
    """Decompress a maevid file to ``.mkv`` (lossless FFV1), ``.mp4`` (x264), ``.y4m`` or, with ``encoder``, anything.

    Damaged frames are listed in the result; with ``strict`` the first one raises DamagedError. Pictures of more than
    ``max_pixels`` luma samples are refused.
    """
    options = DecompressOptions(
        os.fspath(input),
        os.fspath(output),
        encoder,
        codec_options=CodecOptions(device, precision, weights),
        strict=strict,
        max_pixels=max_pixels,
    )
    return _decompress(options, listener)


def open(
    path: PathLike,
    *,
    output: Kind = "numpy",
    pixels: Pixels = "rgb",
    device: str = "cpu",
    precision: str = "auto",
    weights: PathLike | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Video:
    """Open a maevid file for reading at random.

    ``output`` is ``numpy`` (a picture is uint8 of shape (height, width, 3)) or ``torch`` (uint8, (3, height, width),
    on ``device``). ``pixels`` is ``rgb``, or ``yuv`` for the planes as they are coded. ``device`` (``cpu``, ``cuda``,
    ``cuda:1``, ``auto``) is where pictures are decoded.
    Raises InputError for what is no maevid file, DamagedError when nothing is left of it, ModelError for a file that
    needs other weights (name them with ``weights``), UsageError for an unknown option or a GPU that is not there.
    """
    return Video(
        path,
        output=output,
        pixels=pixels,
        device=device,
        precision=precision,
        weights=weights,
        max_pixels=max_pixels,
    )
