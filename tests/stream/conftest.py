"""A made source clip, and the command line tools that some tests need."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


@pytest.fixture(scope="session")
def source_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 25 pictures a second with sound, a subtitle, chapters and a title."""
    path = tmp_path_factory.mktemp("source") / "source.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A made clip"
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=48000)
        audio.metadata["language"] = "deu"
        text = container.add_mux_stream("subrip")
        text.metadata["language"] = "fra"
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 1000,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "One"},
                },
                {
                    "id": 2,
                    "start": 1000,
                    "end": 2000,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "Two"},
                },
            ]
        )
        container.start_encoding()
        line = av.Packet(b"Hello")
        line.stream, line.time_base = text, Fraction(1, 1000)
        line.pts = line.dts = 500
        line.duration = 700
        samples = rng.integers(-3000, 3000, (1, 2 * 96000), dtype=np.int16)
        sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
        for number in range(50):
            picture = av.VideoFrame.from_ndarray(
                rng.integers(0, 255, (72, 64), dtype=np.uint8), format="yuv420p"
            )
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(line)
        container.mux(audio.encode(sound))
        container.mux(video.encode())
        container.mux(audio.encode())
    return path


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Finds a command line tool, or skips the test and says which one is missing."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find
