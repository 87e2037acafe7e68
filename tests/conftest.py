"""What all tests share: where the clips lie, and the codec that ships, loaded once."""

from __future__ import annotations

import os
from pathlib import Path

# A spinning OpenMP pool beside another process makes both four times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import settings

# The same examples in every run, and no limit to their time: a failure can be seen again, and a busy machine is none.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

ASSETS = Path(__file__).parent / "assets"


@pytest.fixture(scope="session")
def bunny() -> Path:
    """60 frames of 320×180 animation at 25 fps, with sound."""
    return ASSETS / "bunny_320x180_audio.mp4"


@pytest.fixture(scope="session")
def hall() -> Path:
    """12 frames of 320×180 camera video at 10 fps."""
    return ASSETS / "hall_320x180.mkv"


@pytest.fixture(scope="session")
def mae():
    """The default codec with the weights of this checkout, on the CPU."""
    from maevid.codec.interface import CodecOptions
    from maevid.codec.mae import open_mae

    return open_mae(CodecOptions(device="cpu"))


@pytest.fixture(scope="session")
def hall_frames(hall: Path):
    """The frames of the hall clip."""
    from maevid.video.reader import VideoReader

    with VideoReader(hall) as reader:
        return list(reader)
