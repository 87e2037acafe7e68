"""Scale, timeline, rate curves and the shape that zones and bounds give."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maevid.errors import UsageError
from maevid.rate import (
    FrameCost,
    RateRequest,
    RateScale,
    Timeline,
    Trials,
    Zone,
    sample_frames,
    trial_indices,
)
from maevid.rate.model import Curves, RateModel
from maevid.rate.shape import Bounds, Shape
from maevid.rate.trials import KEY_EVERY

SCALE = RateScale.log_linear(0.001, 1.0)


def test_scale_is_the_one_of_the_design():
    assert RateScale.log_linear(0.001, 1.0) == SCALE
    assert RateScale.log_linear(1.0, 8.0, 4).lams == pytest.approx((1.0, 2.0, 4.0, 8.0))
    assert SCALE.lowest == 0
    assert SCALE.highest == 255
    assert SCALE.lam(0) == pytest.approx(0.001)
    assert SCALE.lam(255) == pytest.approx(1.0)
    assert SCALE.lam(100) == pytest.approx(0.001 * 1000 ** (100 / 255))
    assert SCALE.position(SCALE.lam(17.25)) == pytest.approx(17.25)
    assert SCALE.index_of(SCALE.lam(17.6)) == 18
    assert SCALE.index_of(50.0) == 255
    assert [SCALE.quality_index(q) for q in (0, 50, 60, 100)] == [0, 128, 153, 255]


def test_scale_of_a_codec_with_its_own_indices():
    scale = RateScale.of(range(10, 13), lambda i: (i - 9) ** 2)
    assert (scale.lowest, scale.highest) == (10, 12)
    assert scale.lam(11) == pytest.approx(4)
    assert scale.lam(10.5) == pytest.approx(2)
    assert scale.position(9.0) == 12
    assert scale.quality_index(50) == 11
    assert scale.scaled(np.array([10.0, 12.0]), np.log([4.0, 4.0])).tolist() == [11, 12]


@pytest.mark.parametrize("lams", [(), (1.0, 1.0), (2.0, 1.0), (0.0, 1.0), (-1.0, 1.0)])
def test_scales_that_are_none(lams):
    with pytest.raises(ValueError, match="strictly increasing"):
        RateScale(lams)
    with pytest.raises(ValueError, match="consecutive"):
        RateScale.of(range(0, 10, 2), float)


def test_timeline():
    times = Timeline.of([1.0, 1.5, 1.75, 3.0])
    assert times.last_duration == 0.5
    assert times.duration == pytest.approx(2.5)
    assert times.gaps == pytest.approx((0.5, 0.25, 1.25, 0.5))
    assert times.gaps is times.gaps, "an hour has too many frames to reckon them for each"
    assert times == Timeline.of([1.0, 1.5, 1.75, 3.0])
    assert len(times) == 4
    assert Timeline.of([2.0]).duration == pytest.approx(1 / 25)
    assert Timeline.of([0.0, 1.0], 0.25).duration == 1.25
    assert Timeline.of([0.0, 1.0], -1).duration == 2
    assert Timeline.of([0.0, 1.0], 0).duration == 2
    for wrong in ([], [0.0, 0.0], [1.0, 0.5], [0.0, 1.0, 1.0, 2.0], [0.0, 2.0, 1.0, 3.0]):
        with pytest.raises(ValueError):
            Timeline.of(wrong)
    with pytest.raises(ValueError):
        Timeline((0.0,), 0.0)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.floats(0, 3)), min_size=2, max_size=7),
    st.lists(st.floats(-30, 400), min_size=2, max_size=12),
)
def test_curves_pass_through_their_points_and_never_fall(steps, positions):
    knots = np.cumsum([s for s, _ in steps]).astype(float)
    values = np.cumsum([[h for _, h in steps]], axis=1)
    curve = Curves(knots.tolist(), values)
    assert [curve.at(k)[0] for k in knots] == pytest.approx(values[0].tolist())
    heights = [float(curve.at(p)[0]) for p in sorted(positions)]
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(heights))


def test_curves_are_power_laws_beyond_and_exact_on_lines():
    line = Curves([0, 10, 30], np.array([[1.0, 2.0, 4.0], [5.0, 5.0, 5.0]]))
    assert line.at(20.0) == pytest.approx([3.0, 5.0])
    assert line.at(-10.0) == pytest.approx([0.0, 5.0])
    assert line.at(np.array([40.0, 40.0])) == pytest.approx([5.0, 5.0])
    curves = Curves([0, 3, 9, 20], np.cumsum(np.random.default_rng(1).uniform(0, 2, (5, 4)), axis=1))
    for position in (-4.0, 0.0, 2.5, 3.0, 12.0, 20.0, 31.0):
        assert curves.at(position, 1, 4).tolist() == curves.at(np.full(3, position), 1, 4).tolist()
    assert line.at(np.array([7.0]), 1, 2) == pytest.approx([5.0])
    assert len(line) == 2


def test_curves_repair_a_falling_measurement_and_hold_a_single_one():
    assert Curves([0, 1, 2], np.array([[1.0, 0.5, 2.0]])).at(1.0)[0] == 1.0
    assert Curves([7], np.array([[3.0]])).at(100.0)[0] == 3.0
    for wrong in ([], [1, 1], [2, 1]):
        with pytest.raises(ValueError, match="rate index"):
            Curves(wrong, np.zeros((1, len(wrong))))


def power(frame, index):
    return 1000 * (frame + 1) * math.exp(0.01 * index)


def test_model_from_all_frames_recovers_a_power_law_exactly():
    model = RateModel([FrameCost(f, {i: power(f, i) for i in (0, 100, 255)}) for f in range(4)], 4)
    assert model.bits(180.0) == pytest.approx([power(f, 180) for f in range(4)])
    assert model.bits(np.array([10.0, 20.0]), 1, 3) == pytest.approx([power(1, 10), power(2, 20)])
    assert not model.has_psnr
    with pytest.raises(ValueError, match="did not measure"):
        model.psnr(3.0)


def test_model_takes_frames_measured_at_different_indices():
    costs = [
        FrameCost(0, {0: power(0, 0), 200: power(0, 200)}),
        FrameCost(1, {50: power(1, 50), 100: power(1, 100)}),
    ]
    model = RateModel(costs, 2)
    assert model.bits(120.0) == pytest.approx([power(0, 120), power(1, 120)])


def test_model_fills_in_frames_between_samples_but_not_across_cuts():
    def cost(frame, bits):
        return FrameCost(frame, {0: bits, 255: 4 * bits}, {0: 30.0, 255: 40.0})

    costs = [cost(8, 100), cost(0, 1000), cost(4, 1000 * math.e), cost(12, 200)]
    model = RateModel(costs, 14, cuts=[6, 13, 99])
    assert np.log(model.bits(0.0) / 1000)[:6] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])
    assert model.bits(0.0)[[6, 7, 8, 10, 12]] == pytest.approx([100, 100, 100, 100 * 2**0.5, 200])
    assert model.bits(0.0)[13] == pytest.approx(200)
    assert model.has_psnr
    assert model.psnr(255.0) == pytest.approx([40.0] * 14)
    assert not RateModel([*costs, FrameCost(13, {0: 5.0, 255: 9.0})], 14).has_psnr
    with pytest.raises(ValueError, match="at least one"):
        RateModel([cost(20, 1)], 14)
    with pytest.raises(ValueError, match="rate index"):
        RateModel([FrameCost(0, {})], 1)


def test_a_long_clip_is_the_same_in_blocks_as_at_once():
    """Three blocks' worth of frames, the first and the last of a scene and of a block among those asked for."""
    frames, cuts = 3000, [5, 1000, 1024, 2050]
    generator = np.random.default_rng(1)
    heights = generator.uniform(0, 9, frames)
    costs = [FrameCost(f, {i: power(heights[f], i) for i in (0, 64, 255)}) for f in range(0, frames, 8)]
    model = RateModel(costs, frames, cuts)
    everyone = np.arange(frames)
    expected = np.empty(frames)
    measured = everyone[::8]
    points = np.log([c.bits[64] for c in costs])
    for first, last in itertools.pairwise([0, *cuts, frames]):
        own = (measured >= first) & (measured < last)
        expected[first:last] = np.interp(everyone[first:last], measured[own], points[own])
    assert np.log(model.bits(64.0)) == pytest.approx(expected)
    positions = generator.uniform(0, 255, frames)
    at_once = model.bits(positions)
    for start, stop in ((0, 1024), (1023, 1025), (700, 2900), (2999, 3000), (3000, 3000)):
        assert np.array_equal(model.bits(positions[start:stop], start, stop), at_once[start:stop])
    assert np.array_equal(model.bits(64.0, 17), model.bits(64.0)[17:])
    one_by_one = [model.bits(float(p), f, f + 1)[0] for f, p in enumerate(positions)]
    assert one_by_one == pytest.approx(at_once.tolist())


def test_the_curves_of_a_long_clip_are_not_all_kept():
    """Ten megabytes of them; those that went are worked out again, and are the same."""
    frames = 40_000
    costs = [FrameCost(f, {i: power(f % 7, i) for i in range(0, 256, 17)}) for f in range(0, frames, 500)]
    model = RateModel(costs, frames)
    tracemalloc.start()
    try:
        first = model.bits(64.0)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 4_000_000
    assert np.array_equal(model.bits(64.0), first)
    assert np.array_equal(model.bits(64.0, 0, 3000), first[:3000])


def test_trial_indices_and_samples():
    assert trial_indices(0, 255) == (0, 64, 128, 191, 255)
    assert trial_indices(10, 12) == (10, 11, 12)
    assert trial_indices(3, 3) == (3,)
    assert trial_indices(0, 255, 2) == (0, 255)
    assert sample_frames(24) == list(range(24))
    assert sample_frames(100, every=1) == list(range(100))
    chosen = sample_frames(40, cuts=[10, 13], every=4)
    assert chosen == [0, 4, 8, 9, 10, 12, 13, 17, 21, 25, 29, 33, 37, 39]
    assert sample_frames(40, cuts=[1, 39], every=20) == [0, 1, 21, 38, 39]


def test_bounds_and_zones():
    zones = (Zone(2, 3, "quality", 100), Zone(4, 4, "lam", SCALE.lam(30)), Zone(5, None, "factor", 2.0))
    bounds = Bounds(RateRequest(zones=zones, lam_min=SCALE.lam(20) * 0.999, lam_max=SCALE.lam(200)), SCALE)
    assert (bounds.lowest, bounds.highest) == (20, 200)
    assert [bounds.fixed(i) for i in range(6)] == [None, None, 200, 200, 30, None]
    shape = Shape(bounds, 7)
    doubled = 100 + math.log(2) / math.log(1000) * 255
    assert shape.positions(100.0) == pytest.approx([100, 100, 200, 200, 30, doubled, doubled])
    assert shape.positions(np.array([0.0, 250.0]), 1, 3) == pytest.approx([20, 200])
    assert shape.positions(60.0, 2, 5, cap=100.0) == pytest.approx([160, 160, 20])
    assert shape.positions(100.0, 2, 5, cap=100.0) == pytest.approx([200, 200, 30])
    with pytest.raises(UsageError, match=r"λ goes from 0\.001 to 1"):
        Bounds(RateRequest(lam_min=5), SCALE)


def test_smoothing_gives_frames_with_more_distortion_a_larger_lambda():
    shape = Shape(Bounds(RateRequest(), SCALE), 3)
    shape.smooth([30.0, 40.0, 50.0], 0.5)
    lams = [SCALE.lam(p) for p in shape.positions(128.0)]
    assert lams[0] / lams[1] == pytest.approx(10**0.5)
    assert lams[1] == pytest.approx(SCALE.lam(128))
    assert lams[1] / lams[2] == pytest.approx(10**0.5)


def test_a_frame_tried_at_few_indices_is_lent_the_shape_of_the_nearest_key_frame():
    def bits(frame, index):
        return 300 + 500 * (1 + frame) * math.exp(index / 60 - (index / 255) ** 2)

    ladder = trial_indices(0, 255)
    costs = [FrameCost(f, {i: bits(f, i) for i in (ladder if f in (0, 7) else (96, 112))}) for f in range(8)]
    model = RateModel(costs, 8)
    for index in (100, 104, 110):
        expected = [bits(f, index) for f in range(8)]
        assert model.bits(float(index)) == pytest.approx(expected, rel=0.02)
    for index in (20, 200, 255):
        assert model.bits(float(index)) == pytest.approx([bits(f, index) for f in range(8)], rel=0.2)


def test_trials_stay_near_the_target_after_the_first_frame():
    def bits(frame, index):
        return (2000 + 100 * frame) * math.exp(index / 60)

    trials = Trials(0, 255, bitrate=25 * 2000 * math.exp(150 / 60))
    assert trials.together == KEY_EVERY
    tried = []
    for start in range(0, 21, KEY_EVERY):
        over_range = trials.over_range(start)
        assert [bool(trials.over_range(start + k)) for k in range(KEY_EVERY)] == [True] + [False] * (
            KEY_EVERY - 1
        )
        assert over_range == trial_indices(0, 255)
        near = trials.near({i: bits(start, i) for i in over_range}, 1 / 25)
        for frame in range(start, start + KEY_EVERY):
            trials.learn({i: bits(frame, i) for i in ({*over_range, *near} if frame == start else near)})
        tried.append(near)
    assert tried[0] == (144, 160)
    # The frames grow: the index at which all so far have the rate sinks.
    mean = 2000 + 100 * (2 * KEY_EVERY - 1) / 2
    sunk = 150 - 60 * math.log(mean / 2000)
    assert tried[2] == (16 * (sunk // 16), 16 * (sunk // 16 + 1))
    assert tried[2] < tried[0]


def test_a_frame_between_an_easy_and_a_hard_one_has_a_curve_between_theirs():
    """As in a fade: at the ends the curves differ by the shape, and the frame itself was tried at two indices."""

    def bits(part, index):
        easy, hard = 400 * math.exp(index / 280), 500 * math.exp(index / 75)
        return easy ** (1 - part) * hard**part

    ladder = trial_indices(0, 255)
    keys = {0: 0.0, 6: 1.0}
    costs = [FrameCost(f, {i: bits(part, i) for i in ladder}) for f, part in keys.items()]
    costs += [FrameCost(f, {i: bits(f / 6, i) for i in (144, 160)}) for f in range(1, 6)]
    model = RateModel(costs, 7)
    for index in (0, 64, 230, 255):
        expected = [bits(f / 6, index) for f in range(7)]
        assert model.bits(float(index)) == pytest.approx(expected, rel=0.02)


def test_trials_without_a_rate_to_come_near_to_go_over_the_range_on_every_frame():
    trials = Trials(10, 90)
    assert trials.together == 1
    for number in range(3):
        assert trials.over_range(number) == trial_indices(10, 90)
        assert trials.near(dict.fromkeys(trials.over_range(number), 8.0), 0.04) == ()
        trials.learn({10: 8.0})


@pytest.mark.parametrize("rate", [1e-3, 1e12])
def test_trials_of_a_rate_out_of_reach_stay_on_the_scale(rate):
    trials = Trials(3, 200, rate)
    measured = {i: 100.0 + i for i in trials.over_range(0)}
    near = trials.near(measured, 0.04)
    assert all(3 <= i <= 200 for i in near)
    trials.learn(measured | {i: 100.0 + i for i in near})
    assert trials.near(measured, 0.04) == near


def test_the_bitrate_of_a_file_is_not_all_the_pictures():
    ladder = {index: 1000.0 * math.exp(index / 60) for index in trial_indices(0, 255)}
    rate = 25 * 1000 * math.exp(150 / 60)
    assert Trials(0, 255, rate).near(ladder, 0.04, beside=0.9 * rate) == (144, 160)
    assert Trials(0, 255, rate, whole_file=True).near(ladder, 0.04) == (144, 160)
    left = math.exp(-50 / 60)
    assert Trials(0, 255, rate, whole_file=True).near(ladder, 0.04, beside=(1 - left) * rate) == (96, 112)
    assert Trials(0, 255, rate, whole_file=True).near(ladder, 0.04, beside=2 * rate) == (0, 16)
