"""The mailbox: exact whatever the reader does, bounded, and never in the encoder's way."""

from __future__ import annotations

import math
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
from tui_simulated import CURVE, RATE, many, numbers, pictures

from maevid.pipeline.events import (
    Note,
    PauseChanged,
    Phase,
    PhaseChanged,
    Preview,
    Progress,
    TargetChanged,
    Totals,
)
from maevid.tui.history import CAPACITY, History
from maevid.tui.mailbox import MAX_NOTES, MAX_TARGETS, PREVIEW_INTERVAL, Mailbox


class Clock:
    """A clock that stands until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_sums_and_extremes_are_exact_over_60000_frames() -> None:
    reports = many()
    mailbox = Mailbox()
    mailbox.publish(Totals("a", target_bitrate=2e6))
    for report in reports:
        mailbox.publish(report)
    s = mailbox.snapshot().summary
    psnr = [r.psnr_yuv for r in reports]
    assert s.frames == 60_000
    assert s.bits == sum(r.bits for r in reports)
    assert s.lam_low == min(r.lam for r in reports)
    assert s.lam_high == max(r.lam for r in reports)
    assert s.psnr_worst == min(psnr)
    assert s.psnr_worst_frame == psnr.index(min(psnr))
    assert s.average_psnr == pytest.approx(math.fsum(psnr) / 60_000, rel=1e-12)
    assert s.buffer_low == min(r.buffer for r in reports)
    assert s.underflows == sum(r.buffer < 0 for r in reports) > 0
    assert s.cuts == sum(r.scene_cut for r in reports)
    assert s.error == pytest.approx(s.bits / (2e6 * 60_000 / RATE) - 1, rel=1e-9)
    assert s.stage_seconds["entropy"] == pytest.approx(math.fsum(r.stage_seconds["entropy"] for r in reports))


def test_history_is_thinned_but_keeps_sums_extremes_and_cuts() -> None:
    reports = many()
    history = History()
    for report in reports:
        history.add(report)
    series = history.series()
    assert CAPACITY // 2 <= len(series) <= CAPACITY
    assert series.frames.sum() == 60_000
    assert series.bits.sum() == sum(r.bits for r in reports)
    assert series.largest.max() == max(r.bits for r in reports)
    assert series.duration.sum() == pytest.approx(60_000 / RATE)
    assert (series.lam * series.frames).sum() == pytest.approx(sum(r.lam for r in reports))
    times = {r.seconds for r in reports if r.scene_cut}
    assert set(series.cuts) <= times
    width = history.stride
    kept = {r.index // width for r in reports if r.scene_cut}
    assert len(series.cuts) == len(kept)
    assert set(series.rate) <= {r.bits_per_pixel for r in reports}


@pytest.mark.parametrize("count", [0, 1, CAPACITY - 1, CAPACITY, CAPACITY + 1, 3 * CAPACITY + 5])
def test_history_at_the_edges_of_its_room(count: int) -> None:
    history = History()
    for report in numbers(count):
        history.add(report)
    series = history.series()
    assert series.frames.sum() == count
    assert len(series) <= CAPACITY
    if count <= CAPACITY:
        assert np.array_equal(series.bits, series.largest)


def test_a_fast_producer_never_waits_and_nothing_grows() -> None:
    mailbox = Mailbox()
    mailbox.publish(Totals("a", target_bitrate=2e6))
    reports = list(numbers(4000))
    count = 0
    held = []
    tracemalloc.start()
    for _ in range(8):
        for report in reports:
            mailbox.publish(report)
            mailbox.publish(TargetChanged(1e6 + count))
            mailbox.publish(Note(str(count)))
            count += 1
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held) < 1_500_000
    assert held[7] < held[3] + 300_000  # rooms fill and empty again, but 16,000 more frames do not stay
    began = time.perf_counter()
    for report in reports:
        mailbox.publish(report)
    assert (time.perf_counter() - began) / len(reports) < 100e-6  # some 8 µs on an idle core
    now = mailbox.snapshot()
    assert len(now.targets) <= MAX_TARGETS
    assert now.targets[0] == (0.0, 2e6)
    assert now.target == 1e6 + count - 1
    assert len(now.notes) == MAX_NOTES
    assert sys.getsizeof(mailbox) < 1000


def test_a_reader_that_hammers_gets_consistent_states_and_does_not_stop_the_producer() -> None:
    mailbox = Mailbox()
    reports = list(numbers(20_000))
    done = threading.Event()

    def produce() -> None:
        for report in reports:
            mailbox.publish(report)
        done.set()

    thread = threading.Thread(target=produce)
    thread.start()
    looks = 0
    while not done.is_set():
        now = mailbox.snapshot()
        looks += 1
        assert now.series.frames.sum() == now.summary.frames
        assert now.series.bits.sum() == now.summary.bits
        assert now.summary.frames == (0 if now.last is None else now.last.index + 1)
    thread.join(10)
    assert looks > 5
    assert mailbox.snapshot().summary.frames == 20_000


def test_phases_progress_pause_and_speed() -> None:
    clock = Clock()
    mailbox = Mailbox(clock)
    mailbox.publish(Totals("a", frames=100, duration=4.0, target_bitrate=2e6))
    mailbox.publish(PhaseChanged(Phase.ANALYSIS, 1, 2))
    clock.now += 2
    mailbox.publish(Progress(50))
    now = mailbox.snapshot()
    assert (now.phase, now.step, now.steps, now.done, now.elapsed) == (Phase.ANALYSIS, 1, 2, 50, 2.0)
    mailbox.publish(CURVE)
    mailbox.publish(PhaseChanged(Phase.ENCODE, 2, 2))
    for report in numbers(50):
        clock.now += 0.02
        mailbox.publish(report)
    now = mailbox.snapshot()
    assert now.done == 50
    assert now.fps_now == pytest.approx(50, rel=0.01)
    assert now.encode_elapsed == pytest.approx(1.0)
    assert now.curve == CURVE
    mailbox.publish(PauseChanged(True))
    clock.now += 60
    now = mailbox.snapshot()
    assert now.paused
    assert now.elapsed == pytest.approx(3.0)
    mailbox.publish(PauseChanged(False))
    clock.now += 0.5
    assert mailbox.snapshot().elapsed == pytest.approx(3.5)
    mailbox.publish(PhaseChanged(Phase.DONE, detail="good"))
    clock.now += 1000
    now = mailbox.snapshot()
    assert (now.phase, now.detail, now.elapsed) == (Phase.DONE, "good", pytest.approx(3.5))
    mailbox.publish(PhaseChanged(Phase.FAILED, detail="late"))
    assert mailbox.snapshot().phase is Phase.DONE


def test_rate_of_the_last_second_and_of_changed_targets() -> None:
    mailbox = Mailbox()
    mailbox.publish(Totals("a", target_bitrate=2e6))
    reports = list(numbers(60))
    for report in reports[:30]:
        mailbox.publish(report)
    mailbox.publish(TargetChanged(1e6))
    for report in reports[30:]:
        mailbox.publish(report)
    now = mailbox.snapshot()
    assert now.bitrate_now == pytest.approx(sum(r.bits for r in reports[-25:]) / 1.0)
    assert now.summary.target_bits == pytest.approx(30 / RATE * 2e6 + 30 / RATE * 1e6)
    assert now.targets == ((0.0, 2e6), (pytest.approx(30 / RATE), 1e6))


def test_previews_are_wanted_only_by_a_living_reader_and_not_too_often() -> None:
    clock = Clock()
    mailbox = Mailbox(clock)
    assert mailbox.wants_preview()
    mailbox.publish(Preview(0, *pictures(0)))
    clock.now += 10 * PREVIEW_INTERVAL
    assert not mailbox.wants_preview()  # nobody has looked
    assert mailbox.snapshot().preview.index == 0
    assert mailbox.wants_preview()
    mailbox.publish(Preview(1, *pictures(1)))
    mailbox.snapshot()
    assert not mailbox.wants_preview()  # too soon
    clock.now += PREVIEW_INTERVAL
    assert mailbox.wants_preview()
