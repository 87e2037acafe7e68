"""The controllers beyond the rate table: protocol, limits, zones, targets out of reach, change of target."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rate_simulator import SCALE, contents, encode, make_clip, report_of

from maevid.errors import TargetError, UsageError
from maevid.rate import (
    FrameCost,
    RateRequest,
    RateResult,
    RateScale,
    Timeline,
    Zone,
    leaky_bucket,
    make_controller,
    trial_indices,
)
from maevid.rate.remainder import Remainder

TRIALS = trial_indices(0, 255)


def control(clip, request, **more):
    return make_controller(request, SCALE, timeline=clip.timeline, costs=clip.costs(TRIALS), **more)


@pytest.fixture(scope="module")
def clips():
    return contents(seed=2)


def flat_clip(name, values, **more):
    return make_clip(name, np.asarray(values, dtype=float), **more)


@pytest.mark.parametrize(("maxrate", "most"), [(9000, 9999), (100, 9070)])
def test_a_frame_may_take_what_the_bucket_has_less_what_those_after_it_cannot_do_without(maxrate, most):
    """Of a bucket of 10,000 bits: a second later all is there again that the next frame needs, or next to nothing."""
    costs = [FrameCost(frame, {0: 1000.0, 255: 6000.0}) for frame in range(2)]
    request = RateRequest(quality=100, maxrate=maxrate, bufsize=10_000)
    for bits in (most - 1, most + 5):
        controller = make_controller(request, SCALE, timeline=Timeline.of([0, 1], 1), costs=costs)
        index = controller.next_index(0)
        report = replace(report_of(flat_clip("two", [1, 1]), 0, index), seconds=0.0, bits=bits)
        assert (controller.observe(report) is None) == (bits < most)


def test_frames_and_reports_come_in_order(clips):
    clip = clips["plain"]
    controller = control(clip, RateRequest(quality=50))
    with pytest.raises(ValueError, match="frame 0 comes next, not 1"):
        controller.next_index(1)
    with pytest.raises(ValueError, match="report of frame 0"):
        controller.observe(report_of(clip, 0, 1))
    controller.next_index(0)
    controller.next_index(1)
    with pytest.raises(ValueError, match="report of frame 0"):
        controller.observe(report_of(clip, 1, 1))
    assert controller.observe(report_of(clip, 0, 128)) is None
    with pytest.raises(ValueError, match="report of frame 1"):
        controller.observe(report_of(clip, 0, 128))


def test_what_is_missing_is_said(clips):
    with pytest.raises(ValueError, match="first pass"):
        make_controller(RateRequest(bitrate=1e6), SCALE)
    with pytest.raises(ValueError, match="first pass"):
        make_controller(RateRequest(bitrate=1e6), SCALE, timeline=clips["plain"].timeline)
    live = make_controller(RateRequest(bitrate=1e6, passes=1), SCALE)
    with pytest.raises(ValueError, match="statistics of the frame"):
        live.probe(0)
    with pytest.raises(ValueError, match="first probe"):
        live.next_index(0, clips["plain"].statistics[:4])
    with pytest.raises(UsageError):
        make_controller(RateRequest(bitrate=1e6, quality=3), SCALE)
    with pytest.raises(UsageError, match=r"λ from 0\.0004 to 0\.1"):
        make_controller(RateRequest(lam=7), SCALE)
    with pytest.raises(UsageError, match="leaves nothing for the video"):
        control(clips["plain"], RateRequest(size=1000), overhead_bytes=1000)


def test_constant_quality_is_one_index(clips):
    clip = clips["cuts12"]
    for request, index in (
        (RateRequest(), 128),
        (RateRequest(quality=100), 255),
        (RateRequest(lam=SCALE.lam(33)), 33),
        (RateRequest(lam=SCALE.lams[0]), 0),
        (RateRequest(quality=90, lam_max=SCALE.lam(100)), 100),
    ):
        controller = make_controller(request, SCALE)
        run = encode(clip, controller)
        assert {r.rate_index for r in run.reports} == {index}
        result = controller.result()
        assert result.error is None
        assert result.bits == sum(r.bits for r in run.reports)
        assert result.bitrate == pytest.approx(result.bits / clip.timeline.duration)
        assert (
            result.line() == f"{result.bitrate / 1e6:.4g} Mb/s, {result.bits / 8e6:.4g} MB"
            or result.bits < 8e6
        )
    planned = control(clip, RateRequest(quality=40, passes=2))
    assert {r.rate_index for r in encode(clip, planned).reports} == {102}


@pytest.mark.parametrize("bits_per_pixel", [0.1, 0.3, 0.8])
@pytest.mark.parametrize("batch", [1, 8])
def test_one_pass_holds_lambda_in_a_scene_that_gets_easier_and_harder_after_its_cut(bits_per_pixel, batch):
    """As the second cut of bikes_640x272_cuts.mp4: fewer bits within half a second, and all of them again."""
    course = np.interp(np.arange(202), [0, 10, 14, 24, 201], [0.0, -0.25, -0.25, 0.0, 0.0])
    clip = flat_clip("dip", [*[-1.2] * 48, *(-0.6 + course)], cuts=[48])
    controller = control(clip, RateRequest(bitrate=clip.rate(bits_per_pixel), passes=1))
    lams = np.log2([report.lam for report in encode(clip, controller, batch).reports])
    assert max(abs(lams[50:] - np.median(lams[48:]))) <= 0.25
    assert max(abs(np.diff(lams[48:]))) <= 0.1
    assert abs(controller.result().error) <= 0.015


def test_a_plan_under_a_peak_limit_goes_to_a_new_target_at_once(clips):
    clip = clips["static"]
    rate = clip.rate(0.3)
    controller = control(clip, RateRequest(bitrate=rate, maxrate=2 * rate))
    spent = 0
    for frame in range(120):
        if frame == 101:
            controller.retarget(1.5 * rate)
        report = report_of(clip, frame, controller.next_index(frame))
        assert controller.observe(report) is None
        spent += report.bits * (101 <= frame < 111)
    assert spent / 0.4 == pytest.approx(1.5 * rate, rel=0.02)


def test_one_pass_goes_to_a_new_target_at_once(clips):
    clip = clips["static"]
    controller = control(clip, RateRequest(bitrate=clip.rate(0.3), passes=1))
    indices = []
    for frame in range(40):
        if frame == 30:
            controller.retarget(clip.rate(0.5))
        ahead = clip.statistics[frame : frame + 4]
        wanted = controller.probe(frame, ahead)
        if wanted:
            controller.learn(FrameCost(frame, {i: float(clip.bits[frame, i]) for i in wanted}))
        indices.append(controller.next_index(frame, ahead))
        controller.observe(report_of(clip, frame, indices[-1]))
    assert indices[29] + 15 < indices[30]
    assert max(indices[30:]) - min(indices[30:]) <= 3


def test_zones_hold_in_every_mode(clips):
    clip = clips["plain"]
    zones = (Zone(10, 19, "quality", 20), Zone(100, 149, "factor", 2.0))
    rate = clip.rate(0.3)
    for request in (
        RateRequest(quality=50, zones=zones),
        RateRequest(quality=50, passes=2, zones=zones),
        RateRequest(bitrate=rate, zones=zones),
        RateRequest(bitrate=rate, passes=1, zones=zones),
        RateRequest(psnr=31, zones=zones),
        RateRequest(size=800_000, zones=zones),
    ):
        controller = control(clip, request)
        run = encode(clip, controller)
        index = [r.rate_index for r in run.reports]
        assert index[10:20] == [51] * 10, request
        live = request.passes == 1
        factor = np.mean(index[100 : 104 if live else 150]) - np.mean(index[96 if live else 30 : 100])
        assert factor == pytest.approx(math.log(2) / math.log(250) * 255, abs=4 if live else 1.5)
        if request.bitrate is not None:
            assert abs(controller.result().error) < (0.03 if request.passes == 1 else 0.002)
    framed = make_controller(RateRequest(frame_bytes=6000, zones=zones), SCALE)
    assert [r.rate_index for r in encode(clip, framed).reports][10:20] == [51] * 10


def test_lambda_bounds_hold(clips):
    clip = clips["cuts12"]
    request = RateRequest(bitrate=clip.rate(0.3), lam_min=SCALE.lam(110), lam_max=SCALE.lam(200))
    for one in (request, replace(request, passes=1)):
        indices = [r.rate_index for r in encode(clip, control(clip, one)).reports]
        assert min(indices) >= 110
        assert max(indices) <= 200


def test_targets_out_of_reach_name_what_can_be_had(clips):
    clip = clips["plain"]
    low, high = (clip.bits[:, i].sum() / clip.timeline.duration for i in (0, 255))
    with pytest.raises(TargetError, match="this bit rate is out of reach") as caught:
        control(clip, RateRequest(bitrate=low / 2))
    assert f"{low / 1e3:.4g} kb/s to {high / 1e6:.4g} Mb/s" in str(caught.value)
    with pytest.raises(TargetError, match="this size is out of reach"):
        control(clip, RateRequest(size=int(high * clip.timeline.duration / 8 * 1.5)))
    with pytest.raises(TargetError, match=r"a PSNR of 60 dB is out of reach: .* dB .* to .* dB"):
        control(clip, RateRequest(psnr=60))
    with pytest.raises(TargetError, match="needs a --bufsize"):
        control(clip, RateRequest(quality=50, maxrate=low / 2, bufsize=low / 10))
    with pytest.raises(TargetError, match="out of reach"):
        control(clip, RateRequest(bitrate=clip.rate(0.3), maxrate=clip.rate(0.3), bufsize=low / 100))
    assert encode(clip, control(clip, RateRequest(bitrate=low * 0.995)))


def test_the_bufsize_that_the_error_names_will_do():
    clip = flat_clip("jump", [-1.2] * 30 + [1.0] * 30, cuts=[30])
    request = RateRequest(quality=0, maxrate=4e5, bufsize=1e5)
    with pytest.raises(TargetError) as caught:
        control(clip, request)
    named = float(str(caught.value).split("--bufsize of ")[1].split("k")[0]) * 1e3
    run = encode(clip, control(clip, replace(request, bufsize=named)))
    assert leaky_bucket(run.sizes, run.times, 4e5, named) == []


def test_best_effort_goes_on_at_the_limit(clips):
    clip = clips["plain"]
    low, high = (clip.bits[:, i].sum() / clip.timeline.duration for i in (0, 255))
    for request, index in (
        (RateRequest(bitrate=low / 2, best_effort=True), 0),
        (RateRequest(bitrate=high * 2, best_effort=True), 255),
        (RateRequest(size=1000, best_effort=True), 0),
        (RateRequest(psnr=70, best_effort=True), 255),
        (RateRequest(frame_bytes=100, best_effort=True), 0),
        (RateRequest(quality=60, maxrate=low / 3, bufsize=low / 50, best_effort=True), 0),
    ):
        controller = control(clip, request)
        run = encode(clip, controller)
        assert np.mean([r.rate_index == index for r in run.reports]) > 0.9, request
        result = controller.result()
        if request.frame_bytes:
            assert len(result.over) == len(clip)
            assert result.line().endswith(", 250 frames over the limit")
        if request.maxrate:
            assert result.underflows
            found = leaky_bucket(run.sizes, run.times, request.maxrate, request.bufsize)
            assert [u.frame for u in found] == list(result.underflows)


def test_a_limit_that_no_index_keeps_stops_the_run(clips):
    clip = clips["plain"]
    for request in (
        RateRequest(frame_bytes=100),
        RateRequest(quality=60, passes=1, maxrate=1000, bufsize=100),
        RateRequest(bitrate=1000, passes=1, maxrate=1000, bufsize=100),
    ):
        with pytest.raises(TargetError, match=r"frame 0 has \d+ bits at the lowest rate"):
            encode(clip, make_controller(request, SCALE))


@pytest.mark.parametrize("passes", [1, 2])
def test_constant_quality_under_a_peak_limit(clips, passes):
    clip = clips["easyhard"]
    maxrate = clip.rate(0.3)
    request = RateRequest(quality=60, maxrate=maxrate, bufsize=maxrate / 2, passes=passes)
    controller = control(clip, request)
    run = encode(clip, controller)
    assert leaky_bucket(run.sizes, run.times, maxrate, maxrate / 2) == []
    index = np.array([r.rate_index for r in run.reports])
    assert index.max() == 153
    assert index.min() < 140
    assert (index == 153).sum() >= 100
    assert 0 <= controller.buffer <= 1
    if passes == 2:
        assert run.encodes <= 1.1 * len(clip)


def test_smoothing_evens_out_quality_and_keeps_the_target(clips):
    clip = clips["cuts12"]
    spread, mean, rates = [], [], []
    for gamma in (0.0, 0.3, 1.0):
        controller = control(clip, RateRequest(bitrate=clip.rate(0.3), smooth=gamma))
        run = encode(clip, controller)
        psnr = np.array([r.psnr["y"] for r in run.reports])
        spread.append(psnr.std())
        mean.append(float(np.mean(10 ** (-psnr / 10))))
        rates.append(controller.result().error)
    assert spread[0] > spread[1] > spread[2]
    assert mean[1] > mean[0] * 0.999 or mean[2] > mean[0]
    assert max(abs(r) for r in rates) < 0.002
    with pytest.raises(ValueError, match="did not measure"):
        make_controller(
            RateRequest(bitrate=clip.rate(0.3), smooth=0.5), SCALE, timeline=clip.timeline,
            costs=clip.costs(TRIALS, psnr=False),
        )  # fmt: skip


def test_smoothing_keeps_a_target_of_quality_too(clips):
    clip = clips["cuts12"]
    spread = []
    for gamma in (0.0, 0.5):
        controller = control(clip, RateRequest(psnr=33, smooth=gamma))
        run = encode(clip, controller)
        assert abs(controller.result().error) <= 0.1
        spread.append(np.std([r.psnr["y"] for r in run.reports]))
    assert spread[1] < 0.8 * spread[0]


def test_bits_that_lie_in_the_first_frames_are_settled_there():
    """The black tail cannot make up for anything: the last frame with bits is coded again."""
    clip = flat_clip("tail", [-1.0] * 8 + [-9.0] * 40, cuts=[8], bias=0.02)
    controller = control(clip, RateRequest(bitrate=clip.rate(0.05)))
    run = encode(clip, controller)
    assert abs(controller.result().error) <= 0.003
    assert 1 <= controller.result().retries <= 12
    assert run.encodes == len(clip) + controller.result().retries
    sized = control(clip, RateRequest(size=int(clip.rate(0.05) * clip.timeline.duration / 8)))
    encode(clip, sized)
    assert -0.02 <= sized.result().error <= 0
    assert [c.result().unit for c in (controller, sized)] == ["bit/s", "bytes"]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(0.1, 0.9), st.integers(1, 8))
def test_size_is_never_passed_whatever_the_clip(seed, frames, share, batch):
    rng = np.random.default_rng(seed)
    clip = flat_clip("any", rng.uniform(-4, 0, frames), seed=seed)
    low, high = clip.bits[:, 0].sum() * 1.03, clip.bits[:, 255].sum() * 0.97
    size = int(math.exp((1 - share) * math.log(low) + share * math.log(high)) / 8) + 100
    controller = control(clip, RateRequest(size=size), overhead_bytes=100)
    run = encode(clip, controller, batch)
    assert sum(run.sizes) + 100 <= size
    # With a frame or two there is little to choose from: one rate index apart is 1 to 3 % of the bits.
    assert sum(run.sizes) + 100 >= (0.98 if frames > 4 else 0.95) * size
    assert encode(clip, control(clip, RateRequest(size=size), overhead_bytes=100), batch) == run


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 60), st.sampled_from(["two", "one", "quality"]), st.integers(1, 8)
)
def test_the_bucket_never_underflows_whatever_the_clip(seed, frames, mode, batch):
    rng = np.random.default_rng(seed)
    count = 1 + frames // 10
    cuts = sorted({int(c) for c in rng.integers(1, max(2, frames), count) if c < frames})
    values = np.repeat(rng.uniform(-3, -0.2, frames), rng.integers(1, 12, frames))[:frames]
    seconds = np.cumsum(rng.uniform(0.01, 0.08, frames)).tolist()
    clip = flat_clip("any", values, cuts=cuts, seconds=seconds, seed=seed)
    rate = clip.rate(0.25)
    limits = {"maxrate": 1.3 * rate, "bufsize": rate * rng.uniform(0.3, 1.0)}
    request = {
        "two": RateRequest(bitrate=rate, best_effort=True, **limits),
        "one": RateRequest(bitrate=rate, passes=1, best_effort=True, **limits),
        "quality": RateRequest(quality=70, best_effort=True, **limits),
    }[mode]
    run = encode(clip, control(clip, request), batch)
    floor = leaky_bucket((clip.written[:, 0] // 8).tolist(), seconds, **limits)
    if not floor:
        assert leaky_bucket(run.sizes, run.times, **limits) == []


@pytest.mark.parametrize("passes", [1, 2])
def test_the_rest_follows_a_new_target(clips, passes):
    clip = clips["plain"]
    first, second = clip.rate(0.3), clip.rate(0.5)
    controller = control(clip, RateRequest(bitrate=first, passes=passes))
    spent = [0.0, 0.0]
    for frame in range(len(clip)):
        if frame == 125:
            controller.retarget(second)
        ahead = clip.statistics[frame : frame + 4]
        wanted = controller.probe(frame, ahead)
        if wanted:
            controller.learn(FrameCost(frame, {i: float(clip.bits[frame, i]) for i in wanted}))
        report = report_of(clip, frame, controller.next_index(frame, ahead))
        assert controller.observe(report) is None
        spent[frame // 125] += report.bits
    # One pass may owe a quarter of a second's bits.
    assert spent[1] / 5 == pytest.approx(second, rel=0.05 if passes == 1 else 0.03)
    if passes == 1:
        assert spent[0] / 5 == pytest.approx(first, rel=0.05)
    else:
        assert controller.result().target == pytest.approx((spent[0] + 5 * second) / 10)
        assert abs(controller.result().error) < 0.002


def test_a_new_target_after_the_last_frame_changes_the_reckoning_alone(clips):
    clip = clips["10 frames"]
    controller = control(clip, RateRequest(bitrate=clip.rate(0.3)))
    run = encode(clip, controller)
    controller.retarget(clip.rate(0.5))
    result = controller.result()
    assert result.bits == sum(r.bits for r in run.reports)
    assert result.target == pytest.approx(result.bits / clip.timeline.duration)
    assert result.error == pytest.approx(0)


def test_a_codec_with_few_indices():
    """52 steps of 12 % each: the planner still lands, by spreading two indices."""
    scale = RateScale(tuple(1.26**i for i in range(52)))
    times = Timeline.of(i / 25 for i in range(100))

    def bits_of(frame, index):
        return 8 * round((4000 + 30 * frame) * scale.lam(index) ** 0.5)

    costs = [FrameCost(f, {i: bits_of(f, i) for i in trial_indices(0, 51)}) for f in range(100)]
    controller = make_controller(RateRequest(bitrate=8e6), scale, timeline=times, costs=costs)
    indices = []
    report = report_of(contents()["plain"], 0, 0)
    for frame in range(100):
        index = controller.next_index(frame)
        while True:
            done = replace(
                report, index=frame, seconds=frame / 25, rate_index=index, bits=bits_of(frame, index)
            )
            retry = controller.observe(done)
            if retry is None:
                break
            index = retry.rate_index
        indices.append(index)
    assert abs(controller.result().error) <= 0.002
    assert max(indices[:-3]) - min(indices[:-3]) <= 1


@pytest.mark.parametrize("values", [{"bitrate": 1e6, "maxrate": 2e6}, {"frame_bytes": 6000}, {"psnr": 30}])
def test_a_codec_with_a_single_index_gets_that_index(clips, values):
    """There is nothing to choose; under a limit that it breaks there is nothing else to try either."""
    clip = clips["16 frames"]
    scale = RateScale((SCALE.lam(128),), 128)
    request = RateRequest(**values, best_effort=True)
    controller = make_controller(request, scale, timeline=clip.timeline, costs=clip.costs([128]))
    run = encode(clip, controller)
    assert [r.rate_index for r in run.reports] == [128] * len(clip)
    assert run.encodes == len(clip)
    if request.frame_bytes:
        assert controller.result().over == tuple(n for n, size in enumerate(run.sizes) if size > 6000) != ()


def test_a_frame_limit_without_answers_to_probes_finds_its_index_by_coding_again(clips):
    clip = clips["plain"]
    controller = make_controller(RateRequest(frame_bytes=4000), SCALE)
    sizes = []
    for frame in range(20):
        report = report_of(clip, frame, controller.next_index(frame))
        while (retry := controller.observe(report)) is not None:
            report = report_of(clip, frame, retry.rate_index)
        sizes.append(report.bits // 8)
    assert 0.95 * 4000 <= min(sizes) <= max(sizes) <= 4000
    assert controller.result().retries >= 20


def test_a_frame_within_its_limit_that_the_bucket_lacks_is_an_underflow_alone(clips):
    clip = clips["plain"]
    lowest = float(clip.written[:, 0].max())
    request = RateRequest(frame_bytes=int(lowest / 4), maxrate=lowest, bufsize=1.2 * lowest, best_effort=True)
    controller = control(clip, request)
    encode(clip, controller)
    assert len(controller.result().underflows) > 200
    assert controller.result().over == ()


def test_psnr_that_is_not_reported_is_taken_from_the_first_pass(clips):
    clip = clips["10 frames"]
    controller = control(clip, RateRequest(psnr=32))
    for frame in range(10):
        index = controller.next_index(frame)
        assert controller.observe(replace(report_of(clip, frame, index), psnr={})) is None
    assert abs(controller.result().error) <= 0.1


def test_psnr_of_a_short_clip_is_searched_for():
    """With two frames there is nothing to correct the first with but coding it again."""
    for count in (1, 2, 3):
        clip = flat_clip(f"{count} frames", [-1.2] * count)
        costs = [
            replace(c, psnr={i: p + 0.3 * (-1) ** c.frame - 0.2 for i, p in c.psnr.items()})
            for c in clip.costs(TRIALS)
        ]
        controller = make_controller(RateRequest(psnr=32), SCALE, timeline=clip.timeline, costs=costs)
        run = encode(clip, controller)
        assert abs(controller.result().error) <= 0.03, count
        assert abs(run.mean_psnr - 32) <= 0.03
        assert 1 <= controller.result().retries <= 4 * count
    silent = make_controller(RateRequest(psnr=32), SCALE, timeline=clip.timeline, costs=costs)
    index = silent.next_index(0)
    assert silent.observe(replace(report_of(clip, 0, index), psnr={})) is None


def test_a_single_frame_fills_a_file():
    for seed in range(6):
        clip = flat_clip("one", [-1.2], seed=seed)
        size = int(clip.bits[0, 100] / 8)
        controller = control(clip, RateRequest(size=size))
        encode(clip, controller)
        assert -0.015 <= controller.result().error <= 0, seed


def test_a_target_just_below_the_lowest_rate_gets_the_lowest_rate():
    """Whatever the first packets have: what they were given too much could not be saved later."""
    for seed in range(6):
        clip = flat_clip("low", [-1.2] * 60, seed=seed, bias=-0.004)
        low = clip.bits[:, 0].sum() / clip.timeline.duration
        controller = control(clip, RateRequest(bitrate=low * 0.994))
        run = encode(clip, controller)
        assert {r.rate_index for r in run.reports} == {0}
        assert abs(controller.result().error) <= 0.01
        with pytest.raises(TargetError, match="out of reach"):
            control(clip, RateRequest(bitrate=low * 0.992))
        with pytest.raises(TargetError, match="out of reach"):
            control(clip, RateRequest(size=int(low * 0.999 * clip.timeline.duration / 8)))
        controller = control(clip, RateRequest(bitrate=low * 0.994))
        for frame in range(20):
            controller.observe(report_of(clip, frame, controller.next_index(frame)))
        controller.retarget(low * 1.5)
        assert [controller.next_index(frame) for frame in range(20, 30)][-1] > 0


def test_psnr_estimates_that_are_off_are_corrected(clips):
    clip = clips["plain"]
    costs = [replace(c, psnr={i: p + 0.5 for i, p in c.psnr.items()}) for c in clip.costs(TRIALS)]
    controller = make_controller(RateRequest(psnr=32), SCALE, timeline=clip.timeline, costs=costs)
    encode(clip, controller)
    assert abs(controller.result().error) <= 0.02
    peaked = RateRequest(psnr=32, maxrate=clip.rate(0.8))
    limited = make_controller(peaked, SCALE, timeline=clip.timeline, costs=costs)
    encode(clip, limited)
    assert abs(limited.result().error) <= 0.1


@pytest.mark.parametrize("block", [1, 3, 7, 8, 1024])
def test_remainder_is_the_sum_of_the_rest_in_blocks_of_any_size(block, monkeypatch):
    monkeypatch.setattr(Remainder, "BLOCK", block)
    weights = np.arange(1.0, 8.0)
    rest = Remainder(lambda level, a, b: weights[a:b] * level, 7, np.array([1.0, 2.0, 4.0]))
    for frame in (0, 5, 3, 6, 7, 2, 0):
        assert rest.at(frame, 3.0) == pytest.approx(3 * weights[frame:].sum())
        if frame < 7:
            assert rest.solve(frame, 1.5 * weights[frame:].sum()) == pytest.approx(1.5)
    assert rest.solve(0, 0.0) == 1
    assert rest.solve(0, 1e6) == 4


def test_results_read_well():
    common = {"frames": 250, "bits": 20_000_000, "seconds": 10.0, "retries": 0}
    assert RateResult("bit/s", 2e6, 2.001e6, **common).line() == (
        "target 2 Mb/s, result 2.001 Mb/s, error +0.05 %"
    )
    assert RateResult("bytes", 1e6, 990_000, **common).line() == "target 1 MB, result 990 kB, error -1.00 %"
    assert RateResult("dB", 38, 38.04, **common).line() == "target 38.00 dB, result 38.04 dB, error +0.04 dB"
    assert RateResult("", None, 2e6, **common).line() == "2 Mb/s, 2.5 MB"
    assert RateResult("", None, 2e6, **common, underflows=(3,)).line().endswith(", 1 underflow")
    assert RateResult("", None, 2e6, **common, underflows=(3, 4)).line().endswith(", 2 underflows")
    assert RateResult("", None, 0, 0, 0, 0.0, 0).bitrate == 0


def test_results_before_the_end_and_of_unknown_durations(clips):
    controller = make_controller(RateRequest(quality=50), SCALE)
    assert controller.result().seconds == 0
    assert controller.result().frames == 0
    assert (controller.result().achieved, controller.result().bitrate) == (0, 0)
    assert controller.buffer is None
    clip = clips["5 frames"]
    for frame in range(5):
        controller.next_index(frame)
        controller.observe(replace(report_of(clip, frame, 128), duration=0.0))
        assert controller.result().seconds == pytest.approx((frame + 1) / 25)
    limited = make_controller(RateRequest(quality=1, maxrate=1e6, passes=1), SCALE)
    assert limited.buffer == 1
