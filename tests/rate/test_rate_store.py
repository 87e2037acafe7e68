"""The statistics file and the prediction."""

import os
from array import array
from dataclasses import fields, replace

import numpy as np
import pytest
from rate_simulator import HEIGHT, SCALE, WIDTH, contents, encode, make_clip, report_of

from maevid.errors import InputError, OutputError, TargetError
from maevid.rate import (
    FirstPass,
    FrameCost,
    RateRequest,
    StatisticsKey,
    StatisticsWriter,
    make_controller,
    predict,
    read_first_pass,
    read_statistics,
    sample_frames,
    trial_indices,
)
from maevid.rate.costs import Costs
from maevid.rate.factory import make_plan, planned_level
from maevid.rate.store import PIECE
from maevid.report import FrameReport
from maevid.report_io import RecordingWriter, read_recording

KEY = StatisticsKey(640, 360, "mae", "0a1b2c3d")
COSTS = [FrameCost(0, {0: 812.5, 255: 99000.0}, {0: 28.25, 255: 44.0}), FrameCost(3, {7: 1.0})]
FIRST = FirstPass(
    array("d", [0.0, 0.04, 0.08, 0.2]),
    0.04,
    Costs(COSTS),
    [2],
    other_bytes=100,
    sound_packets=3,
    other_packets=1,
    own_durations=2,
    rungs=[40, 44, 45],
)


def write_statistics(path, key, first, reports=()):
    with StatisticsWriter(path, key, first) as writer:
        for report in reports:
            writer.frame(report)


def test_what_is_written_is_read(tmp_path):
    clip = contents()["5 frames"]
    reports = [replace(report_of(clip, f, 100), parts={"header": 80}, psnr={}, buffer=0.5) for f in range(5)]
    path = tmp_path / "clip.stats"
    path.write_text("old")
    write_statistics(path, KEY, FIRST, reports)
    assert all(getattr(FIRST, f.name) != getattr(FirstPass(), f.name) for f in fields(FirstPass))
    found = read_statistics(path, KEY)
    assert found.key == KEY
    assert found.first == FIRST
    assert found.reports == tuple(reports)
    assert all(type(r) is FrameReport for r in found.reports)
    assert read_statistics(path) == found
    assert os.listdir(tmp_path) == ["clip.stats"]
    assert read_first_pass(path, KEY) == FIRST
    # Whoever reads recordings, reads it.
    assert read_recording(path).reports == tuple(reports)


def test_packets_beside_the_video_are_counted_by_kind():
    found = FirstPass(array("d", [0.0, 0.04]))
    for size, sound in ((100, True), (30, False), (1, True)):
        found.count_other(size, sound=sound)
    assert (found.other_bytes, found.sound_packets, found.other_packets) == (131, 2, 1)
    assert found.timeline.duration == pytest.approx(0.08)


def test_the_times_of_a_long_clip_stand_in_many_short_lines(tmp_path):
    """As long as it takes for one line of them to be over what a reader takes."""
    frames = 70_000
    seconds = array("d", (n * 1001 / 30000 for n in range(frames)))
    cuts = [1, PIECE - 1, PIECE, 2 * PIECE + 5, frames - 1]
    costs = Costs(FrameCost(n, {n % 90: 8.5, 95: 1e6}) for n in range(0, frames, 8))
    first = FirstPass(seconds, 0.03, costs, cuts, 7, 3, 1)
    path = tmp_path / "clip.stats"
    write_statistics(path, KEY, first)
    assert read_statistics(path, KEY).first == first
    assert max(map(len, path.read_text().splitlines())) < 100_000


def test_an_existing_file_survives_a_failed_write(tmp_path, monkeypatch):
    path = tmp_path / "clip.stats"
    path.write_text("old")

    def broken(writer, report):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordingWriter, "frame", broken)
    with pytest.raises(OutputError, match="No space left"):
        write_statistics(path, KEY, FIRST, [report_of(contents()["5 frames"], 0, 100)])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["clip.stats"]
    with pytest.raises(OutputError, match="does not exist"):
        write_statistics(tmp_path / "none" / "x", KEY, FIRST)


@pytest.mark.parametrize(
    "changes", [{"codec": "mae-fast"}, {"identity": "00000000"}, {"width": 320}, {"height": 320}]
)
def test_statistics_of_something_else_are_refused(tmp_path, changes):
    path = tmp_path / "clip.stats"
    write_statistics(path, KEY, FIRST)
    with pytest.raises(InputError, match="belongs to something else") as caught:
        read_statistics(path, replace(KEY, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a maevid statistics file"),
        (b"hello\n", "line 1"),
        (b"[1]\n", "line 1"),
        (b"\xff\xfe\x00", "not a statistics file"),
        (b'{"type": "clip"}\n', "not a maevid statistics file"),
        (b'{"type": "clip", "statistics": 2}\n', "version 2"),
        (b'{"type": "clip", "statistics": 1}\n', "damaged"),
    ],
)
def test_files_that_are_none(tmp_path, content, says):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_statistics(path)


@pytest.mark.parametrize(
    "line",
    [
        '{"type": "cost", "frame": 0}',
        '{"type": "cost", "frame": 0, "bits": {"x": 1}, "psnr": {}}',
        '{"type": "cost", "frame": 0, "bits": [], "psnr": {}}',
        '{"type": "timeline", "seconds": [1.0, 0.5]}',
        '{"type": "timeline", "second": []}',
        '{"type": "timeline", "seconds": [1.0, 0.5], "cuts": []}',
        '{"type": "timeline", "seconds": ["x"], "cuts": []}',
        '{"type": "timeline", "seconds": [], "cuts": [], "costs": []}',
        '{"type": "cost", "frame": 36893488147419103232, "bits": {"1": 1}, "psnr": {}}',
    ],
)
def test_damage_is_told(tmp_path, line):
    path = tmp_path / "x"
    write_statistics(path, KEY, FIRST)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match="damaged statistics file"):
        read_statistics(path)


def test_records_of_other_kinds_are_passed_over(tmp_path):
    """A recording may have more than statistics; even where its fields have the names of a cost's."""
    path = tmp_path / "x"
    write_statistics(path, KEY, FIRST)
    path.write_text(path.read_text() + '{"type": "summary", "frame": 1, "bits": {"9": 1}, "psnr": {}}\n')
    assert read_statistics(path, KEY).first == FIRST


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_statistics(tmp_path / "none")


def test_prediction_comes_true():
    clip = contents(3)["cuts12"]
    costs = clip.costs(trial_indices(0, 255), sample_frames(len(clip), clip.cuts))
    common = {"timeline": clip.timeline, "costs": costs, "cuts": clip.cuts}
    for request in (
        RateRequest(bitrate=clip.rate(0.3)),
        RateRequest(size=900_000),
        RateRequest(psnr=32),
        RateRequest(quality=40),
        RateRequest(bitrate=clip.rate(0.3), maxrate=clip.rate(0.36)),
        RateRequest(frame_bytes=7000),
    ):
        said = predict(request, SCALE, **common, overhead_bytes=20_000, seconds_per_frame=0.2)
        controller = make_controller(request, SCALE, **common, overhead_bytes=20_000)
        run = encode(clip, controller)
        assert said.size == pytest.approx(sum(run.sizes) + 20_000, rel=0.025)
        assert said.bitrate == pytest.approx(8 * sum(run.sizes) / clip.timeline.duration, rel=0.025)
        if request.mode != "frame-bytes" and request.maxrate is None:
            assert said.psnr == pytest.approx(run.mean_psnr, abs=0.1)
        assert said.seconds == pytest.approx(50)
        assert said.lowest_rate < said.bitrate < said.highest_rate
        assert said.line().startswith("predicted: ")
        assert "50 s of work" in said.line()


def test_a_prediction_from_a_sample_knows_the_cuts():
    """Two measured frames, one in each scene: between them nothing fades from one to the other."""
    clip = make_clip("two", np.repeat([-2.5, -0.5], 50), cuts=[50])
    costs = clip.costs(trial_indices(0, 255), [0, 99])
    common = {"timeline": clip.timeline, "costs": costs}
    request = RateRequest(quality=50)
    true = float(clip.bits[:, 128].sum()) / 8
    assert predict(request, SCALE, **common, cuts=[50]).size == pytest.approx(true, rel=1e-6)
    assert predict(request, SCALE, **common).size < 0.8 * true


def test_the_level_of_a_plan_is_that_of_its_target():
    clip = contents()["plain"]
    common = {"timeline": clip.timeline, "costs": clip.costs(trial_indices(0, 255))}
    size = int(clip.rate(0.3) * clip.timeline.duration / 8)
    for request in (RateRequest(size=size), RateRequest(bitrate=8 * size / clip.timeline.duration)):
        plan = make_plan(request, SCALE, **common)
        assert float(plan.bits(planned_level(request, plan)).sum()) == pytest.approx(8 * size, rel=1e-4)
    plan = make_plan(RateRequest(psnr=33), SCALE, **common)
    assert float(plan.psnr(planned_level(RateRequest(psnr=33), plan)).mean()) == pytest.approx(33, abs=0.01)
    assert planned_level(RateRequest(quality=20), plan) == 51


def test_prediction_of_the_impossible():
    clip = contents()["black"]
    costs = clip.costs(trial_indices(0, 255), psnr=False)
    with pytest.raises(TargetError, match="out of reach"):
        predict(RateRequest(bitrate=clip.rate(0.3)), SCALE, timeline=clip.timeline, costs=costs)
    said = predict(
        RateRequest(bitrate=clip.rate(0.3), best_effort=True), SCALE, timeline=clip.timeline, costs=costs
    )
    assert said.bitrate == pytest.approx(said.highest_rate)
    assert said.psnr is None
    assert "PSNR" not in said.line()
    assert (WIDTH, HEIGHT) == (640, 360)
