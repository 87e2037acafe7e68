"""No frame is blown up to spend what the plan has left over (found on real clips, and on a fade)."""

import math

import numpy as np
import pytest

from maevid.rate import (
    FrameCost,
    RateRequest,
    RateScale,
    Timeline,
    make_controller,
    sample_frames,
    trial_indices,
)
from maevid.report import FrameReport

SCALE = RateScale.log_linear(2**-11, 0.5)
CUTS = (30, 76)
FRAMES = 125


@pytest.mark.parametrize("seed", [8, 13, 14, 22, 26, 29, 36, 55])
def test_levels_stay_calm_inside_a_scene(seed):
    random = np.random.default_rng(seed)
    level = np.concatenate([np.full(30, 15e3), np.full(46, 30e3), np.full(49, 34e3)])
    level *= np.exp(np.cumsum(random.normal(0, 0.02, FRAMES)))
    slope = random.uniform(0.011, 0.016)

    def bits(frame, index):
        return float(level[frame] * np.exp(slope * (index - 128) - 2e-5 * (index - 128) ** 2))

    timeline = Timeline.of([f / 25 for f in range(FRAMES)], 0.04)
    trials = trial_indices(0, 255)
    costs = [FrameCost(f, {i: bits(f, i) for i in trials}) for f in sample_frames(FRAMES, CUTS, 6)]
    peak = random.choice([1.5, 1.2, 1.05])
    bufsize = random.choice([None, 0.3e6, 0.15e6])
    request = RateRequest(bitrate=700e3, maxrate=700e3 * peak, bufsize=bufsize)
    controller = make_controller(request, SCALE, timeline=timeline, costs=costs, cuts=CUTS)
    used = []
    for first in range(0, FRAMES, 2):
        frames = range(first, min(first + 2, FRAMES))
        for frame, given in zip(frames, [controller.next_index(f) for f in frames], strict=True):
            index = given
            while True:
                true = int(bits(frame, index) * random.uniform(0.99, 1.01))
                report = FrameReport(frame, frame, frame / 25, 0.04, 640, 272, index, SCALE.lam(index), true)
                again = controller.observe(report)
                if again is None:
                    break
                index = again.rate_index
            used.append(index)
    steps = np.diff(used)
    inside = np.delete(steps, [cut - 1 for cut in CUTS])
    assert inside.max() <= 20
    assert abs(controller.result().error) < 0.01


@pytest.mark.parametrize("wrong", [0.2, 2.5])
def test_estimates_that_are_far_off_for_some_frames_make_no_other_frame_pay(wrong):
    """For a while all that is to come looks so much smaller (larger) that the end seems out of reach."""

    def bits(frame, index):
        return 20e3 * math.exp(0.013 * (index - 128)) * (wrong if 4 <= frame < 16 else 1.0)

    timeline = Timeline.of([f / 25 for f in range(FRAMES)], 0.04)
    costs = [FrameCost(f, {i: bits(0, i) for i in trial_indices(0, 255)}) for f in range(FRAMES)]
    controller = make_controller(RateRequest(bitrate=400e3), SCALE, timeline=timeline, costs=costs)
    used = []
    for frame in range(FRAMES):
        index = controller.next_index(frame)
        while True:
            report = FrameReport(
                frame, frame, frame / 25, 0.04, 640, 272, index, SCALE.lam(index), int(bits(frame, index))
            )
            again = controller.observe(report)
            if again is None:
                break
            index = again.rate_index
        used.append(index)
    assert abs(controller.result().error) < 0.003
    assert controller.result().retries == 0
    assert max(abs(np.diff(used))) <= 6
