"""Small real clips, made where a test asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from video_clips import write_clip

ClipMaker = Callable[..., Path]


@pytest.fixture
def clip(tmp_path: Path) -> ClipMaker:
    """Make a clip in the test's folder: ``clip("name.mkv", frames=3, ...)``."""

    def make(name: str, **settings: object) -> Path:
        return write_clip(tmp_path / name, **settings)  # type: ignore[arg-type]

    return make
