"""A clip of one picture: the encode keeps to the rate indices that are worth their bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maevid.codec.interface import CodecOptions
from maevid.codec.registry import open_codec
from maevid.pipeline.compress import CompressOptions, compress
from maevid.pipeline.measure import measured
from maevid.rate import RateRequest, parse_zone, read_statistics
from maevid.rate.rungs import lower_hull
from maevid.video.frame import Frame
from maevid.video.writer import VideoWriter


@pytest.fixture(scope="module")
def slide(hall: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Frame]:
    """Sixty times the same small picture."""
    from maevid.video.reader import VideoReader

    path = tmp_path_factory.mktemp("slide") / "slide.nut"
    with VideoReader(hall) as reader:
        whole = next(iter(reader))
        info = replace(reader.info, width=96, height=64)
    y, u, v = whole.y[60:124, 100:196], whole.u[30:62, 50:98], whole.v[30:62, 50:98]
    picture = replace(whole, y=y.copy(), u=u.copy(), v=v.copy(), pts=0)
    with VideoWriter(path, info, encoder="ffv1") as writer:
        for n in range(60):
            writer.write(replace(picture, pts=n * whole.duration))
    return path, picture


def test_only_the_best_indices_are_used_and_statistics_keep_them(
    slide: tuple[Path, Frame], tmp_path: Path
) -> None:
    path, picture = slide
    codec = open_codec("mae-fast", CodecOptions("cpu"))
    coded = {
        i: measured(picture, codec.encode(picture, i, reconstruct=True)) for i in codec.rate_indices[40:100]
    }
    points = {i: (8.0 * len(e.packet.to_bytes()), e.psnr["y"]) for i, e in coded.items()}
    request = RateRequest(bitrate=10 * points[70][0] * 1.003)
    job = CompressOptions(str(path), str(tmp_path / "a.mkv"), request, "mae-fast", CodecOptions("cpu"))
    compress(replace(job, statistics_out=tmp_path / "s"))
    found = read_statistics(tmp_path / "s")
    assert len(found.first.rungs) > 1
    used = [report.rate_index for report in found.reports]
    # The last frame may be coded again so that the total is right.
    assert set(used[:-1]) <= set(found.first.rungs)
    near = {i: points[i] for i in range(min(found.first.rungs), max(found.first.rungs) + 1)}
    hull = lower_hull(near)
    best = np.interp(np.mean([points[i][0] for i in used]), *zip(*(near[i] for i in hull), strict=True))
    assert np.mean([points[i][1] for i in used]) > best - 0.01
    assert abs(sum(r.bits for r in found.reports) / 6 / request.bitrate - 1) < 0.003
    compress(replace(job, output=str(tmp_path / "b.mkv"), statistics_in=tmp_path / "s"))
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_clips_that_move_and_requests_that_say_more_try_nothing_more(
    slide: tuple[Path, Frame], bunny: Path, tmp_path: Path
) -> None:
    zoned = RateRequest(bitrate=40_000, zones=(parse_zone("0-9:factor=2"),))
    for clip, request in ((bunny, RateRequest(bitrate=300_000)), (slide[0], zoned)):
        job = CompressOptions(str(clip), str(tmp_path / "o.mkv"), request, "mae-fast", CodecOptions("cpu"))
        compress(replace(job, statistics_out=tmp_path / "s"))
        assert read_statistics(tmp_path / "s").first.rungs == []
