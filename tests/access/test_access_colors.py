"""4:2:0 to RGB: against H.273 in floating point, at every odd size, the same from arrays and tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maevid.access.colors import write_rgb
from maevid.video.frame import ColorTags

RANGES = (None, False, True)


def planes(height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(height * 1000 + width)
    half = (height + 1) // 2, (width + 1) // 2
    return [rng.integers(0, 256, size, dtype=np.uint8) for size in ((height, width), half, half)]


def rgb_of(samples: list[np.ndarray], color: ColorTags) -> np.ndarray:
    rgb = np.empty((3, *samples[0].shape), np.uint8)
    write_rgb(samples, color, list(rgb), lambda shape: np.empty(shape, np.int32))
    return rgb


def upsampled(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Linear interpolation at luma positions, in floating point: rows lie between, columns on the left sample."""
    rows, columns = plane.shape
    y = np.clip((np.arange(height) - 0.5) / 2, 0, rows - 1)
    x = np.clip(np.arange(width) / 2, 0, columns - 1)
    down = np.array([np.interp(y, np.arange(rows), column) for column in plane.T.astype(float)]).T
    return np.array([np.interp(x, np.arange(columns), row) for row in down])


@pytest.mark.parametrize("full", RANGES)
@pytest.mark.parametrize(
    ("matrix", "kr", "kb"), [(1, 0.2126, 0.0722), (6, 0.299, 0.114), (9, 0.2627, 0.0593)]
)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 4), (16, 18)])
def test_is_what_h273_says(size, matrix, kr, kb, full):
    samples = planes(*size)
    y, u, v = samples[0].astype(float), *(upsampled(plane, *size) - 128 for plane in samples[1:])
    if not full:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    wanted = np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue]).clip(0, 255)
    found = rgb_of(samples, ColorTags(matrix=matrix, full_range=full))
    assert np.abs(found - wanted).max() <= 0.53


def test_grey_stays_grey_and_the_ends_of_the_range_are_black_and_white():
    y = np.array([[16, 235, 0, 255]], np.uint8)
    grey = np.full((1, 2), 128, np.uint8)
    assert rgb_of([y, grey, grey], ColorTags(matrix=1)).tolist() == [[[0, 255, 0, 255]]] * 3
    everything = np.arange(256, dtype=np.uint8)[None]
    wide = np.full((1, 128), 128, np.uint8)
    rgb = rgb_of([everything, wide, wide], ColorTags(full_range=True))
    assert (rgb == everything).all()


def test_an_unknown_matrix_is_guessed_by_the_height():
    low, high = planes(2, 16), planes(720, 2)
    assert (rgb_of(low, ColorTags()) == rgb_of(low, ColorTags(matrix=6))).all()
    assert (rgb_of(high, ColorTags()) == rgb_of(high, ColorTags(matrix=1))).all()


@pytest.mark.parametrize("size", [(1, 1), (9, 14)])
def test_tensors_give_the_same(size):
    samples = planes(*size)
    rgb = torch.empty((3, *size), dtype=torch.uint8)
    tensors = [torch.from_numpy(plane) for plane in samples]
    color = ColorTags(matrix=1, full_range=False)
    write_rgb(tensors, color, rgb.unbind(), lambda shape: torch.empty(shape, dtype=torch.int32))
    assert (rgb.numpy() == rgb_of(samples, color)).all()
