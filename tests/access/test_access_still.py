"""A still picture as a file: it comes back, and no damage to it goes unnoticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maevid.access.still import SIGNATURE, Still
from maevid.errors import DamagedError, InputError, MaevidError, UsageError
from maevid.video.frame import ColorTags


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rows, columns = np.mgrid[:37, :50]
    return np.stack([4 * rows, 5 * columns, 2 * (rows + columns)], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def file(picture) -> bytes:
    return Still.encode(picture, quality=90).to_bytes()


def test_comes_back(picture, file):
    still = Still.from_bytes(file)
    assert still.size == (50, 37)
    assert still.color == ColorTags(6, 2, 2, False)
    assert still.to_bytes() == file
    found = still.decode()
    assert found.shape == picture.shape
    assert 10 * np.log10(255**2 / np.square(found.astype(float) - picture).mean()) > 30
    assert torch.equal(still.decode(output="torch"), torch.from_numpy(found).permute(2, 0, 1))


def test_quality_sets_the_size(picture, file):
    assert len(Still.encode(picture, quality=5).to_bytes()) < len(file)
    with pytest.raises(UsageError):
        Still.encode(picture, quality=101)


def test_colours_survive(picture):
    planes = [np.ascontiguousarray(p) for p in (picture[..., 0], picture[::2, ::2, 1], picture[::2, ::2, 2])]
    for full in (None, False, True):
        color = ColorTags(9, 9, 16, full)
        still = Still.encode(planes, quality=20, color=color)
        assert Still.from_bytes(still.to_bytes()).color == color


def test_no_damage_goes_unnoticed(file):
    for place in range(len(file)):
        changed = bytearray(file)
        changed[place] ^= 0x11
        with pytest.raises(InputError if place <= len(SIGNATURE) else DamagedError):
            Still.from_bytes(bytes(changed))
    for length in range(len(file)):
        with pytest.raises(MaevidError):
            Still.from_bytes(file[:length])
    with pytest.raises(DamagedError):
        Still.from_bytes(file + b"\0")


def test_large_pictures_are_refused(file):
    with pytest.raises(DamagedError, match="over the limit"):
        Still.from_bytes(file, max_pixels=1000)
