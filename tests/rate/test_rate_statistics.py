"""Luma statistics of real planes, cuts and fades."""

from dataclasses import replace

import numpy as np
import pytest

from maevid.rate import FrameStatistics, LumaAnalyser, SceneWatcher, find_cuts, is_cut, is_fade
from maevid.rate.statistics import log_activity


def texture(seed, height=144, width=192):
    """A picture with large shapes and fine grain, levels 20..230."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.uniform(30, 210, (height // 48, width // 48)), np.ones((48, 48)))
    return np.clip(coarse + rng.normal(0, 4, (height, width)), 0, 255)


def plane(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def analyse(planes):
    analyser = LumaAnalyser()
    return [analyser(plane(p), i / 25) for i, p in enumerate(planes)]


def test_numbers_of_simple_planes():
    analyser = LumaAnalyser()
    flat = analyser(np.full((64, 64), 77, np.uint8), 1.5)
    assert flat == FrameStatistics(1.5, 77, 0, 0, 0, 0, 0, True)
    stripes = np.tile(np.array([[0, 100]], np.uint8), (64, 32))
    second = analyser(stripes, 1.6)
    assert second.mean == 50
    assert second.contrast == 50
    assert second.activity == 50
    assert second.difference == pytest.approx(77)
    assert second.histogram_distance == 1
    again = analyser(stripes, 1.7)
    assert (again.difference, again.structure, again.histogram_distance) == (0, 0, 0)
    rows = analyser(stripes.T.copy(), 1.8)
    assert rows.activity == 50


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 7), (15, 17), (1080, 64)])
def test_any_size_works_and_a_change_of_size_counts_as_new(shape):
    analyser = LumaAnalyser()
    first = analyser(np.zeros(shape, np.uint8), 0.0)
    assert first.activity == 0
    assert np.isfinite(log_activity(first))
    changed = analyser(np.zeros((32, 48), np.uint8), 0.04)
    assert (changed.difference, changed.structure, changed.histogram_distance) == (255, 255, 1)


def test_activity_grows_with_detail():
    calm, busy = analyse([texture(1), texture(1) + np.random.default_rng(9).normal(0, 20, (144, 192))])
    assert busy.activity > 3 * calm.activity


def test_cuts_are_found_and_nothing_else():
    base = texture(3)
    moving = [
        np.roll(base, 2 * i, axis=1) + np.random.default_rng(i).normal(0, 2, base.shape) for i in range(20)
    ]
    other = [np.roll(texture(50), i, axis=0) for i in range(12)]
    third = [texture(7) for _ in range(12)]
    assert find_cuts(analyse([*moving, *other, *third])) == [20, 32]


def test_a_watcher_says_the_same_picture_by_picture():
    planes = [
        *[np.roll(texture(3), 2 * i, axis=1) for i in range(20)],
        *[texture(50)] * 5,
        *[texture(7)] * 12,
    ]
    watch = SceneWatcher()
    seen = [watch(plane(p), i / 25) for i, p in enumerate(planes)]
    statistics = analyse(planes)
    assert [here for here, _ in seen] == statistics
    assert [i for i, (_, cut) in enumerate(seen) if cut] == [0, *find_cuts(statistics)] == [0, 20, 25]


def test_how_much_of_the_contrast_must_change_for_a_cut():
    """Less with a history of calm than after a first frame, and less still where the histogram changes too."""
    first = FrameStatistics(0, 100, 50, 5, first=True)
    calm = FrameStatistics(0, 100, 50, 5, structure=1.0)

    def cut(share, distance, previous):
        here = FrameStatistics(0, 100, 50, 5, structure=50 * share, histogram_distance=distance)
        return is_cut(here, previous)

    assert [cut(share, 0.0, [calm]) for share in (0.13, 0.29, 0.31, 0.49)] == [False, False, True, True]
    assert [cut(share, 0.0, [first]) for share in (0.31, 0.49, 0.51)] == [False, False, True]
    for previous in ([calm], [first]):
        assert [cut(share, 0.36, previous) for share in (0.11, 0.13)] == [False, True]
        assert not cut(0.29, 0.34, previous)
    # The greater contrast of both pictures counts, and at least 12 levels of it.
    assert not cut(0.31, 0.0, [replace(calm, contrast=60)])
    assert not is_cut(FrameStatistics(0, 20, 2, 1, structure=3.5), [replace(calm, contrast=2, structure=0.1)])
    assert is_cut(FrameStatistics(0, 20, 2, 1, structure=3.7), [replace(calm, contrast=2, structure=0.1)])


def test_the_usual_motion_is_that_of_the_last_eight_pictures():
    """After half of them have moved as much, much motion is usual, however long the calm before was."""
    calm = FrameStatistics(0, 100, 50, 5, structure=0.1)
    busy = FrameStatistics(0, 100, 50, 5, structure=20.0, histogram_distance=0.5)
    assert find_cuts([calm] * 30 + [busy] * 12) == [30, 31, 32, 33]


def test_a_fade_and_a_flash_are_no_cuts():
    base = texture(4)
    fade = [16 + (base - 16) * k / 30 for k in range(31)]
    assert find_cuts(analyse(fade)) == []
    assert find_cuts(analyse([base, base, base, base + 40, base, base])) == []


def test_a_picture_after_black_is_a_cut():
    assert find_cuts(analyse([np.full((144, 192), 16.0)] * 5 + [texture(4)] * 5)) == [5]


def test_noise_is_one_scene():
    rng = np.random.default_rng(0)
    assert find_cuts(analyse([rng.integers(0, 256, (144, 192)) for _ in range(15)])) == []


def test_fades_are_seen():
    base = texture(4)
    rising = analyse([16 + (base - 16) * k / 30 for k in range(5, 9)])
    falling = analyse([16 + (base - 16) * k / 30 for k in range(25, 21, -1)])
    assert is_fade(rising)
    assert is_fade(falling)
    assert not is_fade(rising[:2])
    assert not is_fade(analyse([base] * 4))
    assert not is_fade(analyse([base, base + 5, base + 2, base + 8]))
    assert not is_fade(analyse([base + 3 * k for k in range(4)]))


def test_a_second_frame_with_much_motion_is_no_cut_but_another_picture_is():
    base = texture(3)
    shaken = analyse([np.roll(base, 9 * i, axis=1) for i in range(6)])
    assert shaken[1].structure > 5
    assert find_cuts(shaken) == []
    assert find_cuts(analyse([np.full((144, 192), 16.0), base, base])) == [1]


def still(structure, seconds=0.0, contrast=50.0):
    return FrameStatistics(seconds, 100, contrast, 5, structure, structure, 0.05)


def test_motion_that_grows_is_no_cut_and_a_cut_amid_it_is():
    """A pan that speeds up, with the numbers of bikes_640x272_cuts.mp4."""
    pan = [6.0, 5.7, 5.7, 5.8, 5.8, 5.8, 6.1, 11.5, 14.5, 14.7, 16.8, 16.8, 16.2, 14.6]
    assert find_cuts([still(s) for s in pan]) == []
    assert find_cuts([still(s) for s in [*pan[:9], 45.0, *pan[9:]]]) == [9]


def test_a_scene_of_one_frame_has_a_cut_on_either_side():
    assert find_cuts([still(s) for s in [2.0] * 10 + [40.0, 42.0] + [2.0] * 5]) == [10, 11]


def test_a_first_frame_starts_a_scene():
    assert is_cut(FrameStatistics(0, 100, 50, 5), [])
    assert find_cuts([]) == []
