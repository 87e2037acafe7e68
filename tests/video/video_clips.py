"""Makes small real clips with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def pattern(width: int, height: int, number: int, name: str = "yuv420p") -> av.VideoFrame:
    """A picture that is different for every number: a moving ramp, with noise in chroma."""
    picture = av.VideoFrame(width, height, name)
    generator = np.random.default_rng(number)
    for index, plane in enumerate(picture.planes):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
        if index == 0:
            rows[:] = (
                np.arange(rows.shape[1]) * 3 + np.arange(plane.height)[:, None] + 7 * number
            ) % 220 + 16
        else:
            rows[:] = generator.integers(100, 156, rows.shape)
    return picture


def write_clip(
    path: Path,
    *,
    width: int = 64,
    height: int = 48,
    frames: int = 6,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    rate: Fraction = Fraction(25),
    encoder: str = "ffv1",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    audio: str | None = None,
    rotation: int = 0,
    sample_aspect_ratio: Fraction = Fraction(1),
    videos: int = 1,
    color: tuple[int, int, int, int] | None = None,
) -> Path:
    """Write a clip; ``audio`` names an audio encoder for half a second of noise."""
    with av.open(str(path), "w", container_options={"avoid_negative_ts": "disabled"}) as container:
        streams = []
        for _ in range(videos):
            stream = container.add_stream(
                encoder, rate=rate, width=width, height=height, time_base=time_base, options=options or {}
            )
            stream.pix_fmt = pixel_format
            stream.sample_aspect_ratio = sample_aspect_ratio
            if rotation:
                stream.set_display_rotation(-rotation)
            if color is not None:
                context = stream.codec_context
                context.colorspace, context.color_primaries, context.color_trc, context.color_range = color
            streams.append(stream)
        sound = None
        if audio is not None:
            sound = container.add_stream(audio, rate=48000)
            sound.codec_context.layout = "mono"
            sound.metadata["language"] = "swe"
            sound.metadata["title"] = "Noise"
        container.metadata["title"] = "A test"
        container.start_encoding()
        if sound is not None:
            _write_noise(container, sound)
        for number in range(frames):
            for stream in streams:
                picture = pattern(width, height, number)
                if pixel_format != "yuv420p":
                    picture = picture.reformat(format=pixel_format)
                picture.pts = number if pts is None else pts[number]
                picture.time_base = time_base
                container.mux(stream.encode(picture))
        for stream in (*streams, *([sound] if sound is not None else [])):
            container.mux(stream.encode(None))
    return path


def _write_noise(container: av.container.OutputContainer, sound: av.AudioStream) -> None:
    generator = np.random.default_rng(1)
    context = sound.codec_context
    block = context.frame_size or 1024
    kind = np.int16 if context.format.name.startswith("s16") else np.float32
    for start in range(0, 24000, block):
        noise = generator.normal(0, 0.1, (1, block))
        samples = (noise * 32767).astype(kind) if kind is np.int16 else noise.astype(kind)
        frame = av.AudioFrame.from_ndarray(samples, format=context.format.name, layout="mono")
        frame.sample_rate, frame.pts = 48000, start
        container.mux(sound.encode(frame))
