"""The promises of the rate table (DESIGN, "Rate control"), in simulation: content by mode by target."""

import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rate_simulator import SCALE, contents, encode, make_clip
from rate_table import TARGETS, Row, run_mode

from maevid.rate import RateRequest, leaky_bucket, make_controller, trial_indices


@pytest.fixture(scope="module")
def clips():
    return contents(seed=5)


def rows_of(clips, mode, names=None, targets=TARGETS) -> list[Row]:
    rows = [
        run_mode(clip, mode, target)
        for name, clip in clips.items()
        if names is None or name in names
        for target in targets
    ]
    return [row for row in rows if row.result is not None]


@pytest.mark.parametrize("mode", ["two-pass", "sampled"])
def test_two_passes_hit_the_bit_rate(clips, mode):
    rows = rows_of(clips, mode)
    errors = [abs(r.error) for r in rows if r.frames >= 10]
    assert len(errors) >= 28
    assert max(errors) <= 1
    assert statistics.mean(errors) <= 0.3
    assert max(r.lost for r in rows if r.frames >= 10) <= 0.03
    assert max(r.settle for r in rows) == 0
    assert max(r.ripple for r in rows if r.frames >= 100) < 0.04
    assert max(r.codings for r in rows if r.frames >= 100) <= 1.01


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("batch", [1, 8])
def test_short_clips_hit_the_bit_rate_too(seed, batch):
    for name, clip in contents(seed).items():
        if len(clip) < 20:
            row = run_mode(clip, "two-pass", 0.3, batch)
            assert abs(row.error) <= (0.3 if len(clip) >= 10 else 0.5 if len(clip) > 1 else 1.0), name
            assert row.codings * len(clip) <= len(clip) + 6, name


def test_one_pass_hits_the_bit_rate_where_every_scene_can_have_it(clips):
    rows = []
    for clip in clips.values():
        for target in TARGETS:
            starved = clip.starved(target)
            if len(clip) == 250 and starved < 0.25:
                row = run_mode(clip, "one-pass", target)
                rows.append(row)
                assert abs(row.error) <= 4, (row.content, target)
                assert starved > 0 or row.settle <= 2, (row.content, target)
                assert row.ripple < 0.3, (row.content, target)
    assert len(rows) >= 18
    assert statistics.mean(abs(r.error) for r in rows) <= 1.5
    assert max(r.codings for r in rows) == 1
    assert max(r.estimates for r in rows) <= 0.6


@pytest.mark.parametrize("target", TARGETS)
def test_one_pass_holds_a_new_scene_that_loses_a_third_of_its_bits(target):
    frames = np.arange(100)
    complexity = -1.2 + 0.3 * ((frames >= 30) & (frames < 76)) - 0.43 * np.clip((frames - 80) / 10, 0, 1)
    row = run_mode(make_clip("falling", complexity, cuts=[30, 76], seed=1), "one-pass", target)
    assert row.settle <= 2
    assert abs(row.error) < 6


def test_size_is_never_passed_and_well_used(clips):
    rows = rows_of(clips, "size")
    assert all(-2 <= r.error <= 0 for r in rows), [(r.content, r.target, r.error) for r in rows]
    assert max(r.lost for r in rows if r.frames >= 10) <= 0.03


def test_size_counts_audio_and_container(clips):
    clip = clips["plain"]
    request = RateRequest(size=1_000_000)
    costs = clip.costs(trial_indices(0, 255))
    controller = make_controller(request, SCALE, timeline=clip.timeline, costs=costs, overhead_bytes=400_000)
    run = encode(clip, controller)
    assert 590_000 <= sum(run.sizes) <= 600_000
    assert controller.result().achieved == sum(run.sizes) + 400_000


@pytest.mark.parametrize("mode", ["peak", "peak one-pass"])
def test_no_underflow_under_a_peak_limit(clips, mode):
    names = ("plain", "cuts12", "easyhard", "fade", "vfr", "ramp", "5 frames", "16 frames")
    rows = rows_of(clips, mode, names, targets=(0.3,))
    assert len(rows) == len(names)
    assert sum(r.underflows for r in rows) == 0
    assert max(abs(r.error) for r in rows if r.frames >= 250) <= (1 if mode == "peak" else 4)


def test_frame_limit_is_kept_and_filled(clips):
    rows = rows_of(clips, "frame-bytes")
    assert len(rows) >= 36
    assert all(-5 <= r.error <= 0 for r in rows), [(r.content, r.target, r.error) for r in rows]
    assert all(r.result.achieved <= r.result.target for r in rows)


def test_psnr_is_met(clips):
    rows = rows_of(clips, "psnr")
    assert len(rows) >= 30
    assert max(abs(r.error) for r in rows) <= 0.1


def test_the_verifier_sees_what_a_run_without_limit_does_to_a_bucket(clips):
    clip = clips["easyhard"]
    rate = clip.rate(0.3)
    controller = make_controller(
        RateRequest(bitrate=rate), SCALE, timeline=clip.timeline, costs=clip.costs(trial_indices(0, 255))
    )
    run = encode(clip, controller)
    assert len(leaky_bucket(run.sizes, run.times, 1.2 * rate, 0.4 * rate)) > 10


def test_the_table_comes_from_a_command():
    script = Path(__file__).with_name("rate_table.py")
    command = [sys.executable, str(script), "--content", "10 frames", "--mode", "two-pass"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].split()[:4] == ["content", "mode", "bpp", "error"]
    assert [line.split()[3] for line in lines[1:4]] == ["0.1", "0.3", "0.8"]
    assert lines[-1].startswith("two-pass")
