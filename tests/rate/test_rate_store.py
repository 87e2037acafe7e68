"""The statistics file and the prediction."""

import json
import os
from dataclasses import replace

import pytest
from rate_simulator import HEIGHT, SCALE, WIDTH, contents, encode, report_of

from maevid.errors import InputError, OutputError, TargetError
from maevid.rate import (
    FrameCost,
    RateRequest,
    StatisticsKey,
    make_controller,
    predict,
    read_statistics,
    sample_frames,
    trial_indices,
    write_statistics,
)
from maevid.report import FrameReport

KEY = StatisticsKey(640, 360, 250, 10.0, "mae", "0a1b2c3d")
COSTS = [FrameCost(0, {0: 812.5, 255: 99000.0}, {0: 28.25, 255: 44.0}), FrameCost(3, {7: 1.0})]


def test_what_is_written_is_read(tmp_path):
    clip = contents()["5 frames"]
    reports = [replace(report_of(clip, f, 100), parts={"header": 80}, buffer=0.5) for f in range(5)]
    path = tmp_path / "clip.stats"
    path.write_text("old")
    write_statistics(path, KEY, COSTS, reports)
    found = read_statistics(path, KEY)
    assert found.key == KEY
    assert found.costs == tuple(COSTS)
    assert found.reports == tuple(reports)
    assert all(type(r) is FrameReport for r in found.reports)
    assert read_statistics(path) == found
    assert os.listdir(tmp_path) == ["clip.stats"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert next(json.loads(line) for line in path.read_text().splitlines())["maevid_statistics"] == 1


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_existing_file_survives_a_failed_write(tmp_path):
    path = tmp_path / "clip.stats"
    path.write_text("old")

    def broken():
        yield COSTS[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_statistics(path, KEY, broken())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["clip.stats"]
    with pytest.raises(OutputError, match="cannot write statistics"):
        write_statistics(tmp_path / "none" / "x", KEY, [])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"codec": "mae-fast"}, "measured with codec mae "),
        ({"identity": "00000000"}, "not mae .00000000."),
        ({"width": 320}, "another clip"),
        ({"height": 320}, "another clip"),
        ({"frames": 249}, "another clip"),
        ({"duration": 10.5}, "another clip"),
    ],
)
def test_statistics_of_something_else_are_refused(tmp_path, changes, says):
    path = tmp_path / "clip.stats"
    write_statistics(path, KEY, COSTS)
    with pytest.raises(InputError, match=says) as caught:
        read_statistics(path, replace(KEY, **changes))
    assert "\n" not in str(caught.value)
    assert read_statistics(path, replace(KEY, duration=10.0005)).costs


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a maevid statistics file"),
        (b"hello\n", "not a maevid statistics file"),
        (b"[1]\n", "not a maevid statistics file"),
        (b"3\n", "not a maevid statistics file"),
        (b"{}\n", "not a maevid statistics file"),
        (b"\xff\xfe\x00", "not a maevid statistics file"),
        (b'{"maevid_statistics": 2}\n', "version 2"),
        (b'{"maevid_statistics": 1}\n', "line 1"),
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
        *("{", "[]", "{}", '"cost"', '{"cost": 3}', '{"cost": {"frame": 0}}', '{"report": {"index": 0}}'),
        '{"cost": {"frame": 0, "bits": {"x": 1}, "psnr": {}}}',
        '{"cost": {"frame": 0, "bits": [], "psnr": {}}}',
    ],
)
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "x"
    write_statistics(path, KEY, COSTS)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match="line 4"):
        read_statistics(path)


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
