"""The one-pass controller step by step, on scenes whose rate is exactly exponential in the index."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from rate_simulator import SCALE

from maevid.rate import FrameCost, FrameStatistics, RateRequest, make_controller
from maevid.rate.buffer import Peak
from maevid.rate.live import LiveController
from maevid.rate.shape import Bounds
from maevid.report import FrameReport

GAP = 1 / 25
SLOPE = 0.01
BITRATE = 25_000 * math.exp(100 * SLOPE)
"""That of index 100 in a scene of height 1."""


def bits_of(index: float, height: float = 1.0) -> float:
    return 1000 * height * math.exp(SLOPE * index)


def shown(frame: int, factor: float = 1.0, *, cut: bool = False, mean: float = 100) -> FrameStatistics:
    """Statistics of a frame with so many times the usual activity (ln counts what is 0.25 above it)."""
    return FrameStatistics(
        seconds=frame * GAP,
        mean=mean,
        contrast=mean / 2,
        activity=10 * factor - 0.25,
        structure=40.0 if cut else 1.0,
        histogram_distance=0.6 if cut else 0.0,
        first=frame == 0,
    )


def report(frame: int, index: int, bits: float) -> FrameReport:
    return FrameReport(
        index=frame, pts=frame, seconds=frame * GAP, duration=GAP, width=640, height=360, rate_index=index,
        lam=SCALE.lam(index), bits=round(bits), psnr={},
    )  # fmt: skip


class Drive:
    """A controller asked frame by frame, with what it probed and chose."""

    def __init__(self, controller: LiveController) -> None:
        self.controller = controller
        self.frame = 0
        self.probed: list[tuple[int, ...]] = []
        self.indices: list[int] = []

    def ask(self, *ahead: FrameStatistics, height: float = 1.0) -> int:
        wanted = self.controller.probe(self.frame, ahead)
        self.probed.append(wanted)
        if wanted:
            self.controller.learn(FrameCost(self.frame, {i: bits_of(i, height) for i in wanted}))
        self.indices.append(self.controller.next_index(self.frame, ahead))
        self.frame += 1
        return self.indices[-1]

    def coded(self, height: float = 1.0) -> None:
        """The last frame asked for has the bits of its index in a scene of a height."""
        frame = self.frame - 1
        assert (
            self.controller.observe(report(frame, self.indices[-1], bits_of(self.indices[-1], height)))
            is None
        )


def live(bitrate: float = BITRATE, peak: Peak | None = None, *, best_effort: bool = False) -> LiveController:
    return LiveController(Bounds(RateRequest(), SCALE), bitrate, peak, best_effort=best_effort)


def test_the_first_frame_gets_the_index_that_has_the_rate() -> None:
    drive = Drive(live())
    assert drive.ask(shown(0), shown(1)) == 100
    assert drive.probed == [(0, 64, 128, 191, 255)]
    assert Drive(live(BITRATE / math.e)).ask(shown(0), shown(1)) == 0
    assert Drive(live(BITRATE * 100)).ask(shown(0), shown(1)) == 255


def test_what_it_needs_is_said() -> None:
    with pytest.raises(ValueError, match=r"^one-pass control needs the statistics of the frame$"):
        live().probe(0)
    controller = live()
    controller.probe(0, [shown(0)])
    with pytest.raises(ValueError, match=r"^one-pass control needs the answer to its first probe$"):
        controller.next_index(0, [shown(0)])
    with pytest.raises(ValueError, match="needs the statistics"):
        Drive(live()).controller.next_index(0)


def test_a_calm_scene_is_measured_once_and_keeps_its_index() -> None:
    drive = Drive(live())
    for frame in range(30):
        drive.ask(shown(frame), shown(frame + 1))
        drive.coded()
    assert set(drive.indices) == {100}
    assert all(wanted == () for wanted in drive.probed[1:])


@pytest.mark.parametrize(
    ("factor", "fade", "probes"),
    [(1.25, False, True), (1.2, False, False), (0.78, False, True), (1.12, True, True)],
)
def test_a_scene_is_measured_again_where_its_activity_has_changed(
    factor: float, fade: bool, probes: bool
) -> None:
    """By a fifth of ln(activity), in a fade by a tenth; not within three frames of the last time."""
    drive = Drive(live())
    for frame in range(5):
        changed = factor if frame else 1.0
        light = [100 + 6 * (frame + k) * fade for k in range(3)]
        drive.ask(*(shown(frame + k, changed, mean=light[k]) for k in range(3)))
    assert [bool(wanted) for wanted in drive.probed] == [True, False, False, probes, False]
    if probes:
        low, middle, high = drive.probed[3]
        assert (high - middle, middle - low) == (12, 12)
        assert abs(middle - drive.indices[2]) <= 1


def test_bits_follow_activity_between_measurements_by_a_few_indices_a_frame() -> None:
    drive = Drive(live())
    height = math.exp(0.15)
    for frame in range(40):
        drive.ask(shown(frame, height if frame else 1.0), shown(frame + 1, height))
        drive.coded(height if frame else 1.0)
    assert all(wanted == () for wanted in drive.probed[1:])
    assert drive.indices[-1] == pytest.approx(85, abs=2)
    # Three positions, and as many again where the debt fills its room, rounded.
    assert max(abs(b - a) for a, b in zip(drive.indices, drive.indices[1:], strict=False)) <= 7
    assert drive.indices[1] > 95, "a single frame's activity is noise"


def test_at_a_cut_the_level_is_the_new_scenes_at_once() -> None:
    drive = Drive(live())
    for frame in range(10):
        drive.ask(shown(frame), shown(frame + 1))
        drive.coded()
    assert drive.ask(shown(10, 2.0, cut=True), shown(11, 2.0), height=2.0) == pytest.approx(
        100 - math.log(2) / SLOPE, abs=2
    )
    low, half, level, above, high = drive.probed[10]
    assert (low, half, level, above, high) == (0, 50, 100, 178, 255)


def test_bits_too_many_are_paid_back_slowly_and_the_mean_is_met() -> None:
    """Packets have 10 % more than estimated: the curve learns it, and what was spent too much comes back."""
    drive = Drive(live())
    for frame in range(200):
        drive.ask(shown(frame), shown(frame + 1))
        drive.coded(1.1)
    steps = [b - a for a, b in zip(drive.indices, drive.indices[1:], strict=False)]
    assert max(map(abs, steps)) <= 4
    result = drive.controller.result()
    assert result.achieved == pytest.approx(BITRATE, rel=0.005)
    assert drive.indices[-1] == pytest.approx(100 - math.log(1.1) / SLOPE, abs=2)
    assert drive.indices == sorted(drive.indices, reverse=True), "the level creeps, and swings nowhere"


def test_a_scene_whose_bits_hardly_depend_on_the_index_says_nothing_about_the_level() -> None:
    drive = Drive(live())
    for frame in range(5):
        drive.ask(shown(frame), shown(frame + 1))
        drive.coded()
    flat = {i: 300 * math.exp(0.001 * i) for i in range(256)}
    for frame in range(5, 12):
        ahead = shown(frame, cut=frame == 5), shown(frame + 1)
        wanted = drive.controller.probe(frame, ahead)
        if wanted:
            drive.controller.learn(FrameCost(frame, {i: flat[i] for i in wanted}))
        index = drive.controller.next_index(frame, ahead)
        # The clip's average still moves the level a little: it has more bits to give.
        assert 100 <= index <= 110
        drive.controller.observe(report(frame, index, flat[index]))
        drive.frame += 1


def test_under_a_peak_limit_a_frame_takes_what_flows_in_and_a_fifth_of_the_bucket() -> None:
    frame_bits = BITRATE * GAP
    for bucket, allowed in ((0.5, 0.97 * 0.5), (3.0, 0.97 + 0.2 * 2.0), (1.1, 0.97 + 0.2 * 0.1)):
        drive = Drive(live(peak=Peak(BITRATE, bucket * frame_bits), best_effort=True))
        index = drive.ask(shown(0), shown(1))
        expected = min(100.0, 100 + math.log(allowed) / SLOPE)
        assert index == pytest.approx(expected, abs=0.5), bucket
    # The second of two frames under way knows what the first will take.
    drive = Drive(live(peak=Peak(BITRATE, 1.1 * frame_bits), best_effort=True))
    first, second = drive.ask(shown(0), shown(1)), drive.ask(shown(1), shown(2))
    left = 1.1 - bits_of(first) / frame_bits + 1.0
    assert second == pytest.approx(100 + math.log(0.97 + 0.2 * (min(left, 1.1) - 1)) / SLOPE, abs=1)


def test_under_a_peak_limit_frames_that_follow_quickly_find_room_at_the_lowest_index() -> None:
    lowest, bucket = bits_of(0), 1.6 * BITRATE * GAP
    drive = Drive(live(peak=Peak(BITRATE, bucket), best_effort=True))
    burst = [replace(shown(frame), seconds=frame * GAP / 100) for frame in range(4)]
    index = drive.ask(*burst)
    assert bits_of(index) <= bucket + BITRATE * burst[3].seconds - 3 * lowest
    # Without a burst the same bucket gives the frame what flows in.
    calm = Drive(live(peak=Peak(BITRATE, bucket), best_effort=True))
    assert calm.ask(*(shown(frame) for frame in range(4))) > index + 5


def test_a_new_target_holds_from_the_next_frame_on_as_at_a_cut() -> None:
    drive = Drive(live())
    for frame in range(20):
        drive.ask(shown(frame), shown(frame + 1))
        drive.coded()
    drive.controller.retarget(BITRATE * math.exp(0.3))
    for frame in range(20, 60):
        drive.ask(shown(frame), shown(frame + 1))
        drive.coded()
    assert drive.indices[20:] == pytest.approx([130] * 40, abs=1)
    spent = sum(bits_of(index) for index in drive.indices[40:]) / (20 * GAP)
    assert spent == pytest.approx(BITRATE * math.exp(0.3), rel=0.03)


def test_the_factory_makes_it_for_one_pass() -> None:
    controller = make_controller(RateRequest(bitrate=BITRATE, passes=1), SCALE)
    assert isinstance(controller, LiveController)
    assert Drive(controller).ask(shown(0), shown(1)) == 100
