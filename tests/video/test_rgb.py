"""4:2:0 to RGB and back: nothing is lost, and known colours come out."""

from __future__ import annotations

import numpy as np
import pytest

from maevid.video.frame import ColorTags
from maevid.video.rgb import BT601, BT709, BT2020, matrix_for, planes_of, rgb_of

COLORS = [ColorTags(m, full_range=full) for m in (BT709, BT601, BT2020, 2) for full in (False, True, None)]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 6), (15, 17), (16, 33), (65, 48)])
@pytest.mark.parametrize("color", COLORS)
def test_noise_comes_back_sample_by_sample(size: tuple[int, int], color: ColorTags) -> None:
    height, width = size
    half = ((height + 1) // 2, (width + 1) // 2)
    random = np.random.default_rng(3)
    planes = tuple(random.integers(0, 256, shape, dtype=np.uint8) for shape in (size, half, half))
    rgb = rgb_of(planes, color)
    assert rgb.shape == (3, height, width)
    for before, after in zip(planes, planes_of(rgb, color), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize(
    ("sample", "color", "expected"),
    [
        ((16, 128, 128), ColorTags(BT709, full_range=False), (0, 0, 0)),
        ((235, 128, 128), ColorTags(BT601), (1, 1, 1)),
        ((255, 128, 128), ColorTags(BT2020, full_range=True), (1, 1, 1)),
        # The primaries of ITU-R BT.601 and BT.709 colour bars at full amplitude.
        ((81, 90, 240), ColorTags(BT601), (1, 0, 0)),
        ((145, 54, 34), ColorTags(BT601), (0, 1, 0)),
        ((32, 240, 118), ColorTags(BT709), (0, 0, 1)),
        ((63, 102, 240), ColorTags(BT709), (1, 0, 0)),
        ((76, 85, 255), ColorTags(BT601, full_range=True), (1, 0, 0)),
    ],
)
def test_known_colours(
    sample: tuple[int, int, int], color: ColorTags, expected: tuple[int, int, int]
) -> None:
    y, u, v = sample
    planes = (np.full((6, 7), y, np.uint8), np.full((3, 4), u, np.uint8), np.full((3, 4), v, np.uint8))
    rgb = rgb_of(planes, color)
    assert np.abs(rgb - np.array(expected)[:, None, None]).max() < 0.006
    clean = np.broadcast_to(np.array(expected, np.float32)[:, None, None], (3, 6, 7))
    for plane, value in zip(planes_of(clean, color), sample, strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 1


def test_chroma_is_interpolated_around_the_left_sample() -> None:
    ramp = np.tile(np.arange(40, 200, 10, dtype=np.uint8), (8, 1))
    planes = (np.full((16, 32), 128, np.uint8), ramp, ramp.copy())
    red = rgb_of(planes, ColorTags(BT601))[0]
    # In the middle of a ramp every column lies half a step on; at the edges the slope ends.
    steps = np.diff(red[:, 4:-4], axis=1)
    assert np.ptp(steps) < 1e-5
    assert np.ptp(red, axis=0).max() < 1e-6


def test_matrix_of_a_picture_without_a_tag_follows_its_height() -> None:
    assert [matrix_for(2, 719), matrix_for(2, 720), matrix_for(8, 100)] == [BT601, BT709, BT601]
    assert [matrix_for(5, 1080), matrix_for(10, 100)] == [BT601, BT2020]
