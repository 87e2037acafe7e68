"""Small maevid files, made once by the product itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import maevid


@pytest.fixture(scope="session")
def coded(hall: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hall clip, 12 frames at 10 fps, as a maevid file."""
    path = tmp_path_factory.mktemp("coded") / "hall.mkv"
    maevid.compress(hall, path, quality=30, device="cpu")
    return path


@pytest.fixture(scope="session")
def planes_of(coded: Path, mae):
    """What the codec decodes of each packet of the file: the truth that all ways of reading must give."""
    from maevid.stream.reader import StreamReader

    with StreamReader(coded) as reader:
        return [mae.decode(reader.packet(i)) for i in range(len(reader))]
