"""The compress job from inside: events, control, every rate mode on a real clip."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from maevid.codec.interface import CodecOptions
from maevid.errors import MaevidError
from maevid.pipeline.beside import Beside
from maevid.pipeline.compress import CompressOptions, compress
from maevid.pipeline.dry_run import dry_run
from maevid.pipeline.events import (
    Aborted,
    BesideVideo,
    Control,
    Event,
    PauseChanged,
    Phase,
    PhaseChanged,
    Progress,
    RdCurve,
    TargetChanged,
    Totals,
)
from maevid.pipeline.first_pass import sampled
from maevid.pipeline.prefetch import Prefetch
from maevid.rate import FirstPass, RateRequest, leaky_bucket, parse_zone, read_statistics
from maevid.report import FrameReport
from maevid.report_io import read_recording
from maevid.stream.reader import StreamReader


def job(clip: Path, out: Path, measure: bool = False, **request: object) -> CompressOptions:
    return CompressOptions(
        str(clip), str(out), RateRequest(**request), codec_options=CodecOptions(device="cpu"), measure=measure
    )


def sizes(path: Path) -> list[int]:
    with StreamReader(path) as reader:
        return [c.size for c in reader]


def test_events_tell_the_whole_story(hall: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    result = compress(job(hall, tmp_path / "o.mkv", measure=True, bitrate=200_000), events.append)
    phases = [e.phase for e in events if isinstance(e, PhaseChanged)]
    assert phases == [Phase.OPENING, Phase.ANALYSIS, Phase.ENCODE, Phase.DONE]
    totals = next(e for e in events if isinstance(e, Totals))
    assert (totals.width, totals.height, totals.target_bitrate, totals.codec) == (320, 180, 200_000, "mae")
    assert [e.done for e in events if isinstance(e, Progress)] == list(range(1, 13))
    reports = [e for e in events if isinstance(e, FrameReport)]
    assert [r.index for r in reports] == list(range(12))
    assert [8 * s for s in sizes(tmp_path / "o.mkv")] == [r.bits for r in reports]
    assert all(sum(r.parts.values()) == r.bits for r in reports)
    assert all(20 < r.psnr["y"] < 60 for r in reports)
    assert {"decode", "analysis", "entropy", "synthesis", "mux"} <= set(reports[0].stage_seconds)
    assert result.frames == 12
    assert result.file_bytes == (tmp_path / "o.mkv").stat().st_size
    # The first frame was tried over the whole range, and coded there, since distortion is measured anyway.
    (curve,) = (e for e in events if isinstance(e, RdCurve))
    assert len(curve.psnr) == 5
    assert list(curve.psnr) == sorted(curve.psnr)
    expected, exact = (e for e in events if isinstance(e, BesideVideo))
    assert exact == BesideVideo(result.file_bytes - sum(sizes(tmp_path / "o.mkv")), whole=True)
    assert expected.whole
    assert exact.bytes <= expected.bytes <= exact.bytes + 700
    assert abs(result.rate.error) < 0.01


def test_reported_psnr_is_that_of_the_decoded_packet(mae, hall: Path, hall_frames, tmp_path: Path) -> None:
    reports: list[FrameReport] = []
    compress(
        job(hall, tmp_path / "o.mkv", measure=True, quality=50),
        lambda e: reports.append(e) if isinstance(e, FrameReport) else None,
    )
    with StreamReader(tmp_path / "o.mkv") as reader:
        luma = mae.decode(reader.packet(5))[0]
    error = np.square(luma.astype(int) - hall_frames[5].y).mean()
    assert reports[5].psnr["y"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-6)
    assert {r.rate_index for r in reports} == {128}


def test_size_is_never_over_and_nearly_used(bunny: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mkv"
    result = compress(job(bunny, out, size=150_000))
    assert 0.98 * 150_000 <= out.stat().st_size <= 150_000
    assert result.rate.achieved == out.stat().st_size


def test_frames_are_tried_where_the_sound_leaves_them(bunny: Path, tmp_path: Path) -> None:
    """A fifth of the file is sound here: trials for the whole size would lie above the λ that is used."""
    options = replace(job(bunny, tmp_path / "o.mkv", size=70_000), codec="mae-fast")
    compress(replace(options, statistics_out=tmp_path / "o.jsonl"))
    found = read_statistics(tmp_path / "o.jsonl")
    used = np.median([report.rate_index for report in found.reports])
    near = [sorted(cost.bits) for cost in found.first.costs if len(cost.bits) == 2]
    assert len(near) >= 5
    assert all(below - 2 <= used <= above + 2 for below, above in near), (used, near)


def test_what_lies_beside_the_pictures_is_told_by_its_own_times(bunny: Path) -> None:
    """Sound that comes long before its pictures counts no more than sound that keeps pace."""
    early, steady = Beside(FirstPass()), Beside(FirstPass())
    with av.open(str(bunny)) as container:
        sound = [p for p in container.demux(audio=0) if p.size]
        for packet in sound:
            early.take(packet)
        for packet in sound[: len(sound) // 2]:
            steady.take(packet)
    seconds = float((sound[-1].pts + sound[-1].duration - sound[0].pts) * sound[0].time_base)
    pure = 8 * sum(packet.size for packet in sound) / seconds
    assert pure < early.rate(25, 1.0) < 1.25 * pure, "the container is counted too"
    assert pure < steady.rate(round(25 * seconds / 2), seconds / 2) < 1.25 * pure
    assert 0 < Beside(FirstPass()).rate(25, 1.0) < 8000


def test_frame_limit_holds_for_every_frame(hall: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mkv"
    compress(job(hall, out, frame_bytes=1500))
    assert max(sizes(out)) <= 1500
    assert np.mean(sizes(out)) > 0.95 * 1500


def test_psnr_target_and_the_curve_measured_on_the_way(hall: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    result = compress(job(hall, tmp_path / "o.mkv", measure=True, psnr=34.0), events.append)
    assert abs(result.rate.error) < 0.1
    (curve,) = (event for event in events if isinstance(event, RdCurve))
    reports = [event for event in events if isinstance(event, FrameReport)]
    assert list(curve.bits_per_pixel) == sorted(curve.bits_per_pixel)
    # All frames of so short a clip are measured: coded at about one rate, their mean lies on the curve.
    mean = np.mean([report.psnr_yuv for report in reports])
    rate = np.mean([report.bits_per_pixel for report in reports])
    assert np.interp(np.log(rate), np.log(curve.bits_per_pixel), curve.psnr) == pytest.approx(mean, abs=0.4)


def test_underflows_show_in_the_reports(hall: Path, tmp_path: Path) -> None:
    reports: list[FrameReport] = []
    compress(
        job(hall, tmp_path / "o.mkv", bitrate=20_000, maxrate=20_000, bufsize=4000, best_effort=True),
        lambda e: reports.append(e) if isinstance(e, FrameReport) else None,
    )
    with StreamReader(tmp_path / "o.mkv") as reader:
        times = [float(c.pts * reader.info.time_base) for c in reader]
    under = [u.frame for u in leaky_bucket(sizes(tmp_path / "o.mkv"), times, 20_000, 4000)]
    assert under
    assert [r.index for r in reports if r.buffer is not None and r.buffer < 0] == under


def test_peak_limit_never_underflows(bunny: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mkv"
    compress(job(bunny, out, bitrate=500_000, maxrate=520_000, bufsize=100_000))
    with StreamReader(out) as reader:
        times = [float(c.pts * reader.info.time_base) for c in reader]
    assert leaky_bucket(sizes(out), times, 520_000, 100_000) == []


def test_zones_set_the_rate_of_their_frames(hall: Path, tmp_path: Path) -> None:
    reports: list[FrameReport] = []
    compress(
        job(hall, tmp_path / "o.mkv", quality=20, zones=(parse_zone("3-5:quality=80"),)),
        lambda e: reports.append(e) if isinstance(e, FrameReport) else None,
    )
    assert [r.rate_index for r in reports] == [51] * 3 + [204] * 3 + [51] * 6


def test_one_pass_comes_near_the_target(bunny: Path, tmp_path: Path) -> None:
    beside: list[BesideVideo] = []
    result = compress(
        job(bunny, tmp_path / "o.mkv", bitrate=500_000, passes=1),
        lambda e: beside.append(e) if isinstance(e, BesideVideo) else None,
    )
    assert [e.whole for e in beside] == [False] * (len(beside) - 1) + [True]
    assert beside[-2].bytes == pytest.approx(beside[-1].bytes, rel=0.2)
    # The promise is 4 % on 250 frames; this clip has 60.
    assert abs(result.rate.error) < 0.06


def test_finish_early_leaves_a_valid_file(bunny: Path, tmp_path: Path) -> None:
    control, out = Control(), tmp_path / "o.mkv"

    def listen(event: Event) -> None:
        if isinstance(event, FrameReport) and event.index == 20:
            control.finish_early()

    result = compress(job(bunny, out, quality=30), listen, control)
    assert 21 <= result.frames < 40
    with StreamReader(out) as reader:
        assert len(reader) == result.frames
        assert not reader.truncated


def test_abort_leaves_nothing(bunny: Path, tmp_path: Path) -> None:
    control = Control()
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, FrameReport):
            control.abort()

    with pytest.raises(Aborted):
        compress(job(bunny, tmp_path / "o.mkv", quality=30), listen, control)
    assert os.listdir(tmp_path) == []
    assert events[-1] == PhaseChanged(Phase.ABORTED)


def test_pause_and_a_new_target_while_it_runs(bunny: Path, tmp_path: Path) -> None:
    control, out = Control(), tmp_path / "o.mkv"
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, FrameReport) and event.index == 10:
            control.pause()
            control.set_target(1_000_000)
        if event == PauseChanged(True):
            control_later.start()

    import threading

    control_later = threading.Timer(0.2, control.resume)
    compress(job(bunny, out, bitrate=400_000), listen, control)
    assert [e for e in events if isinstance(e, PauseChanged)] == [PauseChanged(True), PauseChanged(False)]
    changed = next(i for i, e in enumerate(events) if isinstance(e, TargetChanged))
    rest = [e for e in events[changed:] if isinstance(e, FrameReport)]
    assert sum(r.bits for r in rest) / (len(rest) / 25) == pytest.approx(1_000_000, rel=0.03)


def test_a_failing_listener_does_not_leave_a_file(hall: Path, tmp_path: Path) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, FrameReport):
            raise RuntimeError("reader broke")

    with pytest.raises(RuntimeError, match="reader broke"):
        compress(job(hall, tmp_path / "o.mkv", quality=30), listen)
    assert os.listdir(tmp_path) == []


def test_an_unreachable_target_is_told_before_the_output_is_touched(hall: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mkv"
    out.write_bytes(b"precious")
    with pytest.raises(MaevidError, match="/s"):
        compress(job(hall, out, bitrate=1e9))
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize("count", [1, 24, 25, 80])
def test_sampling_takes_the_first_of_each_scene_in_order(count: int) -> None:
    cuts = {0, 30, 31, 60}
    chosen = [at for at, _ in sampled((f"frame {i}", i in cuts) for i in range(count))]
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    assert chosen[-1] == count - 1
    if count <= 24:
        assert chosen == list(range(count))
    else:
        assert {c for c in cuts if c < count} <= set(chosen)
        assert len(chosen) < count / 4


def test_prefetch_hands_on_items_errors_and_stops() -> None:
    made = []

    def source():
        for i in range(100):
            made.append(i)
            yield i
        raise OSError("broken")

    ahead = Prefetch(source(), depth=3)
    got = []
    with pytest.raises(OSError, match="broken"):
        got.extend(iter(ahead))
    assert len(made) == 100
    made.clear()
    ahead = Prefetch(source(), depth=3)
    assert next(iter(ahead)) == 0
    ahead.close()
    assert len(made) <= 6, "bounded read-ahead"


def test_statistics_take_the_place_of_the_first_pass(hall: Path, tmp_path: Path) -> None:
    kept, phases = tmp_path / "hall.jsonl", []

    def listen(event: Event) -> None:
        if isinstance(event, PhaseChanged):
            phases.append(event.phase)

    first = replace(job(hall, tmp_path / "a.mkv", bitrate=200_000), statistics_out=kept)
    compress(first, listen)
    again = replace(job(hall, tmp_path / "b.mkv", bitrate=200_000), statistics_in=kept)
    compress(again, listen)
    assert phases.count(Phase.ANALYSIS) == 1
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()
    assert len(read_recording(kept).reports) == 12


def test_statistics_of_another_clip_are_refused(hall: Path, bunny: Path, tmp_path: Path) -> None:
    kept = tmp_path / "hall.jsonl"
    compress(replace(job(hall, tmp_path / "a.mkv", bitrate=200_000), statistics_out=kept))
    with pytest.raises(MaevidError, match="another clip"):
        compress(replace(job(bunny, tmp_path / "b.mkv", bitrate=200_000), statistics_in=kept))
    assert sorted(os.listdir(tmp_path)) == ["a.mkv", "hall.jsonl"]


def test_a_dry_run_tells_what_will_come(hall: Path, tmp_path: Path) -> None:
    wanted = job(hall, tmp_path / "o.mkv", measure=True, quality=50)
    said = dry_run(wanted)
    assert os.listdir(tmp_path) == []
    reports: list[FrameReport] = []
    compress(wanted, lambda e: reports.append(e) if isinstance(e, FrameReport) else None)
    assert said.bitrate == pytest.approx(sum(r.bits for r in reports) / 1.2, rel=0.02)
    assert said.psnr == pytest.approx(np.mean([r.psnr["y"] for r in reports]), abs=0.2)
    assert said.size == pytest.approx((tmp_path / "o.mkv").stat().st_size, rel=0.1)
