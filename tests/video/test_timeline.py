"""Times survive where they are sound, and are mended in the smallest way where they are not."""

from __future__ import annotations

from fractions import Fraction

import pytest

from maevid.video.notices import Notices
from maevid.video.timeline import Timeline

Times = list[int | None]


def placed(times: Times, *, dts: Times | None = None) -> tuple[list[int], list[str]]:
    notices = Notices()
    timeline = Timeline(Fraction(1, 1000), Fraction(25), notices)
    decoding = dts or [None] * len(times)
    result = [timeline.place(pts, at) for pts, at in zip(times, decoding, strict=True)]
    return result, notices.texts()


@pytest.mark.parametrize("times", [[0, 40, 80], [-80, -40, 3], [0, 1, 90_000, 90_001], [7]])
def test_sound_times_pass_untouched(times: Times) -> None:
    assert placed(times) == (times, [])


def test_missing_times_follow_their_predecessor() -> None:
    result, notices = placed([None, None, 100, None, 200])
    assert result == [0, 40, 100, 160, 200]
    assert notices == ["frame 0 has no time; it follows the last one (and 2 more like it)"]


def test_missing_times_are_decoding_times() -> None:
    assert placed([None, None, None], dts=[10, 50, 90]) == ([10, 50, 90], [])
    assert placed([0, None, None], dts=[0, 50, 20])[0] == [0, 50, 100]
    # The decoder gives its last pictures without a packet, hence without a decoding time.
    assert placed([None, None, None, None], dts=[10, 50, None, None]) == ([10, 50, 90, 130], [])


def test_a_repeated_time_moves_by_one_unit_only() -> None:
    result, notices = placed([0, 40, 40, 30, 80])
    assert result == [0, 40, 41, 42, 80]
    assert notices == [
        "frame 2 (0.040 s) is not later than the one before; moved by one unit (and 1 more like it)"
    ]


def test_a_clock_that_starts_anew_goes_on_without_a_gap() -> None:
    result, notices = placed([5000, 5040, 0, 40, 80])
    assert result == [5000, 5040, 5080, 5120, 5160]
    assert notices == ["the clock jumps back at frame 2 (5.040 s); later frames follow without a gap"]
