"""Clips of frames that are alike: which rate indices are worth using, and what using only those gives."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rate_simulator import SCALE

from maevid.rate import FrameCost, RateRequest, Timeline, make_controller, trial_indices
from maevid.rate.rungs import alike, around, lower_hull, with_rungs
from maevid.report import FrameReport

POINTS = st.dictionaries(
    st.integers(0, 255),
    st.tuples(st.integers(500, 540).map(float), st.integers(30, 50).map(float)),
    min_size=1,
    max_size=12,
)


@given(POINTS)
def test_no_mixture_of_indices_beats_one_of_the_hull(points):
    hull = lower_hull(points)
    assert list(hull) == sorted(set(hull))
    bits = [points[i][0] for i in hull]
    errors = [10 ** (-points[i][1] / 10) for i in hull]
    assert all(np.diff(bits) > 0)
    slopes = np.diff(errors) / np.diff(bits)
    assert all(np.diff(slopes) > 0), "every corner sticks out"


@given(POINTS.map(lambda p: dict(zip(sorted(p), sorted(p.values()), strict=True))))
def test_where_bits_rise_with_the_index_no_index_lies_below_the_hull(points):
    hull = lower_hull(points)
    bits = [points[i][0] for i in hull]
    errors = [10 ** (-points[i][1] / 10) for i in hull]
    assert (bits[0], bits[-1]) == (min(b for b, _ in points.values()), max(b for b, _ in points.values()))
    for size, psnr in points.values():
        assert 10 ** (-psnr / 10) >= np.interp(size, bits, errors) * (1 - 1e-9)


def test_bits_that_fall_do_not_turn_the_order_around():
    hull = lower_hull({10: (600.0, 30.0), 11: (500.0, 29.0), 12: (700.0, 35.0)})
    assert hull == (11, 12)


def test_around_takes_rungs_where_there_are_some():
    assert around(4.5) == (4, 5)
    assert around(4.0) == (4,)
    rungs = [3, 6, 11]
    assert around(2.5, rungs) == (2, 3)
    assert around(3.0, rungs) == (3,)
    assert around(5.9, rungs) == (3, 6)
    assert around(6.0, rungs) == (6,)
    assert around(8.0, rungs) == (6, 11)
    assert around(11.0, rungs) == (11,)
    assert around(11.5, rungs) == (11, 12)


def test_alike_are_frames_that_differ_by_their_headers_alone():
    same = [FrameCost(8 * n, {32: 900.0 + 8 * (n % 2), 48: 20_000.0 + 80 * (n % 2)}) for n in range(5)]
    assert alike(same)
    assert not alike([*same, FrameCost(40, {32: 900.0, 48: 20_200.0})])
    assert not alike([*same, FrameCost(40, {32: 930.0, 48: 20_000.0})])
    assert not alike(same[:1]), "one frame says nothing about others"
    assert not alike([FrameCost(0, {0: 5.0}), FrameCost(8, {16: 9.0})]), "nothing to compare"


class Slide:
    """A clip of one picture, whose bits and PSNR jump from index to index."""

    frames = 250
    timeline = Timeline.of(n / 25 for n in range(frames))

    def __init__(self, seed: int) -> None:
        luck = random.Random(seed)
        steps = [1200 * SCALE.lam(i) ** 0.4 + 300 for i in range(256)]
        self.bits = [8 * round(b / 8 * (1 + luck.uniform(-0.004, 0.004))) for b in steps]
        self.psnr = [30 + 6 * i / 255 + luck.uniform(-0.1, 0.1) for i in range(256)]

    def at(self, index: int) -> tuple[float, float]:
        return float(self.bits[index]), self.psnr[index]

    def run(self, request: RateRequest, rungs: bool) -> tuple[float, float]:
        """Error of the target, and mean PSNR lost against the best mixture of the indices near the level."""
        costs = [FrameCost(f, {i: self.bits[i] for i in trial_indices(0, 255)}) for f in range(0, 250, 8)]
        level = int(np.searchsorted(self.bits, request.bitrate / 25))
        points = {i: self.at(i) for i in range(level - 5, level + 6)}
        best = lower_hull(points)
        if rungs:
            costs = with_rungs(costs, points, best)
        controller = make_controller(
            request, SCALE, timeline=self.timeline, costs=costs, rungs=best if rungs else ()
        )
        used = []
        for frame in range(self.frames):
            index = controller.next_index(frame)
            while True:
                seconds = self.timeline.seconds[frame]
                report = FrameReport(
                    frame, 0, seconds, 1 / 25, 16, 16, index, SCALE.lam(index), bits=self.bits[index]
                )
                retry = controller.observe(report)
                if retry is None:
                    break
                index = retry.rate_index
            used.append(index)
        result = controller.result()
        bits = [self.bits[i] for i in best]
        ideal = np.interp(result.bits / self.frames, bits, [self.psnr[i] for i in best])
        return result.error, float(ideal - np.mean([self.psnr[i] for i in used]))


def test_a_slide_gets_the_best_of_its_indices():
    blind_losses = []
    for seed in range(12):
        slide = Slide(seed)
        request = RateRequest(bitrate=25 * (slide.bits[100] + 3))
        error, lost = slide.run(request, rungs=True)
        blind_error, blind_lost = slide.run(request, rungs=False)
        assert abs(error) < 0.003
        assert abs(blind_error) < 0.003
        assert lost < 0.01
        blind_losses.append(blind_lost)
    assert np.median(blind_losses) > 0.05, "without rungs it is a matter of luck"


def test_zones_peaks_and_smoothing_take_any_index():
    slide = Slide(0)
    costs = [FrameCost(f, {i: slide.bits[i] for i in trial_indices(0, 255)}) for f in range(0, 250, 8)]
    rate = 25 * slide.bits[100]
    for request, free in (
        (RateRequest(bitrate=rate), False),
        (RateRequest(bitrate=rate, maxrate=2 * rate), True),
    ):
        controller = make_controller(
            request, SCALE, timeline=slide.timeline, costs=costs, rungs=list(range(0, 256, 51))
        )
        used = {controller.next_index(frame) for frame in range(8)}
        assert any(index % 51 for index in used) is free
