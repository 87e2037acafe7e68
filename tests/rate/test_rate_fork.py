"""A fork of a controller sees what the controller would do, and leaves it as it is."""

from __future__ import annotations

import pytest
from rate_simulator import SCALE, Clip, contents, report_of

from maevid.rate import RateController, RateRequest, make_controller, sample_frames, trial_indices

BATCH = 8
REQUESTS = {
    "quality": {"quality": 60},
    "bitrate": {"bitrate": 0.3},
    "size": {"size": 0.3},
    "psnr": {"psnr": 36},
    "peak": {"bitrate": 0.3, "maxrate": 0.33, "bufsize": 0.2},
}


def request_for(clip: Clip, values: dict[str, float]) -> RateRequest:
    """Rates are given in bits per pixel."""
    scaled = {k: v if k in ("quality", "psnr") else clip.rate(v) for k, v in values.items()}
    if "size" in scaled:
        scaled["size"] = round(scaled["size"] * clip.timeline.duration / 8)
    return RateRequest(**scaled)


def controller_for(clip: Clip, request: RateRequest) -> RateController:
    costs = clip.costs(trial_indices(0, 255), sample_frames(len(clip), clip.cuts))
    return make_controller(request, SCALE, timeline=clip.timeline, costs=costs, cuts=clip.cuts)


def drive(clip: Clip, controller: RateController, start: int) -> list[int]:
    """Frames from ``start`` on, settled in batches; returns the indices they end with."""
    ends = []
    for first in range(start, len(clip), BATCH):
        frames = range(first, min(first + BATCH, len(clip)))
        indices = [controller.next_index(frame) for frame in frames]
        for frame, chosen in zip(frames, indices, strict=True):
            index = chosen
            while (retry := controller.observe(report_of(clip, frame, index))) is not None:
                index = retry.rate_index
            ends.append(index)
    return ends


@pytest.mark.parametrize("name", REQUESTS)
def test_a_fork_foresees_the_rest_and_changes_nothing(name: str) -> None:
    clip = contents()["cuts12"]
    request = request_for(clip, REQUESTS[name])
    expected = drive(clip, controller_for(clip, request), 0)
    controller = controller_for(clip, request)
    foreseen, true = 0.0, 0
    for start in range(0, len(clip), BATCH):
        assert controller.asked == start
        if start % (6 * BATCH) == 0:
            assert drive(clip, controller.fork(), start) == expected[start:]
        frames = range(start, min(start + BATCH, len(clip)))
        indices = [controller.next_index(frame) for frame in frames]
        for frame, chosen in zip(frames, indices, strict=True):
            index = chosen
            foreseen += controller.expects(frame, index)
            true += report_of(clip, frame, index).bits
            while (retry := controller.observe(report_of(clip, frame, index))) is not None:
                index = retry.rate_index
            assert index == expected[frame]
    # At a constant rate index nobody has measured anything.
    assert foreseen == (0 if name == "quality" else pytest.approx(true, rel=0.05))
