"""A clip gone through twice: decoded once as long as little memory holds it, and twice otherwise; always the same."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import av
import pytest

from maevid.codec.interface import CodecOptions
from maevid.pipeline.clip import KEPT_BYTES, Clip
from maevid.pipeline.compress import CompressOptions, compress
from maevid.rate import RateRequest
from maevid.video.frame import Frame

FRAME_BYTES = 320 * 180 * 3 // 2


def told(events: Iterable[Frame | av.Packet]) -> list[tuple[object, ...]]:
    """What can be compared of events."""
    return [
        (e.pts, e.duration, *(plane.tobytes() for plane in e.planes))
        if isinstance(e, Frame)
        else (e.stream_index, e.pts, e.dts, bytes(e))
        for e in events
    ]


def twice(clip: Clip) -> list[list[tuple[object, ...]]]:
    with clip.ahead() as events:
        first = told(events)
    with clip.events() as events:
        return [first, told(events)]


@pytest.mark.parametrize("most", [KEPT_BYTES, 10 * FRAME_BYTES, 0])
def test_both_passes_get_the_same(most: int, bunny: Path) -> None:
    with Clip(str(bunny), most=most) as clip:
        first, second = twice(clip)
    assert first == second
    assert sum(len(event) == 5 for event in first) == 60
    assert len(first) > 100, "sound goes along"


def test_what_was_kept_is_not_read_again(bunny: Path, tmp_path: Path) -> None:
    """The file is damaged between the passes: whoever reads it again notices, and tells."""
    path = tmp_path / "clip.mp4"
    for most, kept in ((KEPT_BYTES, True), (59 * FRAME_BYTES, False)):
        shutil.copy(bunny, path)
        with Clip(str(path), most=most) as clip:
            with clip.ahead() as events:
                first = told(events)
            with path.open("r+b") as file:
                file.seek(60_000)
                file.write(b"\xff" * (path.stat().st_size - 60_000))
            with clip.events() as events:
                second = told(events)
            assert (first == second) is kept
            assert bool(clip.warnings) is not kept
            assert (clip.damaged == 0) is kept


def test_a_first_pass_that_was_cut_short_keeps_nothing(bunny: Path) -> None:
    with Clip(str(bunny)) as clip:
        with clip.ahead() as events:
            next(iter(events))
        with clip.events() as events:
            assert sum(isinstance(event, Frame) for event in events) == 60


def test_memory_is_bounded_where_nobody_knows_how_long_the_clip_is(bunny: Path, tmp_path: Path) -> None:
    """A bare H.264 stream has neither a duration nor a count of frames."""
    bare = tmp_path / "bare.h264"
    with av.open(str(bunny)) as source, av.open(str(bare), "w", format="h264") as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                sink.mux(packet)
    with Clip(str(bare), most=20 * FRAME_BYTES) as clip:
        assert clip.info.frames == 0
        alive: list[weakref.ref[object]] = []
        most = 0
        with clip.ahead() as events:
            for event in events:
                assert isinstance(event, Frame)
                alive.append(weakref.ref(event.y))
                del event
                gc.collect(0)
                most = max(most, sum(ref() is not None for ref in alive))
        assert most <= 21
        with clip.events() as events:
            assert len(told(events)) == len(alive) == 60


def test_pictures_are_let_go_while_the_second_pass_goes_on(bunny: Path) -> None:
    with Clip(str(bunny)) as clip:
        with clip.ahead() as events:
            alive = [weakref.ref(event.y) for event in events if isinstance(event, Frame)]
        assert all(ref() is not None for ref in alive)
        with clip.events() as events:
            pictures = (event for event in events if isinstance(event, Frame))
            for _, picture in zip(range(40), pictures, strict=False):
                del picture
            assert sum(ref() is not None for ref in alive) <= 21


def test_the_file_does_not_depend_on_what_was_kept(bunny: Path, tmp_path: Path) -> None:
    """With statistics in place of a first pass nothing is kept, and the file is read in the encode."""
    request, device = RateRequest(size=70_000), CodecOptions(device="cpu")
    job = CompressOptions(str(bunny), str(tmp_path / "a.mkv"), request, "mae-fast", device)
    compress(replace(job, statistics_out=tmp_path / "s.jsonl"))
    compress(replace(job, output=str(tmp_path / "b.mkv"), statistics_in=tmp_path / "s.jsonl"))
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()
