"""``maevid.Writer``: what goes in comes out, at its time and rate; and what fails leaves nothing behind."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import maevid
from maevid.access.codecs import Device
from maevid.access.output import Output
from maevid.errors import ModelError, OutputError, TargetError, UsageError
from maevid.rate import RateRequest
from maevid.stream.reader import StreamReader
from maevid.video.frame import ColorTags


def waves(number: int, height: int = 48, width: int = 80) -> np.ndarray:
    """A smooth RGB picture that moves."""
    rows, columns = np.mgrid[:height, :width]
    red = 128 + 90 * np.sin((columns + 3 * number) / 17)
    green = 128 + 80 * np.cos((rows - 2 * number) / 13)
    return np.stack([red, green, (red + green) / 2], axis=-1).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.square(a.astype(float) - b).mean())


def rgb_of(frame) -> np.ndarray:
    return Output("numpy", "rgb", Device("cpu")).one(frame.planes, frame.color)


def packets(path: Path) -> list[bytes]:
    with StreamReader(path) as reader:
        return [reader.packet(i).to_bytes() for i in range(len(reader))]


def write_and_fail(writer: maevid.Writer) -> None:
    writer.write(waves(0))
    raise ZeroDivisionError


def write_all(writer: maevid.Writer, pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        writer.write(picture)
    writer.close()


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_rgb_comes_back(tmp_path):
    path = tmp_path / "out.mkv"
    with maevid.Writer(path, fps=25, quality=90, tags={"COMMENT": "waves"}) as writer:
        buffer = waves(0)
        for number in range(5):
            buffer[:] = waves(number)
            writer.write(buffer)
            buffer[:] = 0
    assert writer.frames == writer.result.frames == 5
    with maevid.open(path) as video:
        assert video.shape == (5, 48, 80, 3)
        assert video.average_rate == 25
        assert video.pts_seconds.tolist() == [i / 25 for i in range(5)]
        assert video.info.color == ColorTags(6, 2, 2, False)
        for number in range(5):
            assert psnr(video[number], waves(number)) > 30
    assert leftovers(tmp_path) == ["out.mkv"]
    with StreamReader(path) as reader:
        assert reader.tags["COMMENT"] == "waves"


def test_tensors_and_arrays_give_the_same_bytes(tmp_path):
    for name in ("arrays", "tensors"):
        with maevid.Writer(tmp_path / f"{name}.mkv", fps=10, quality=50) as writer:
            for number in range(2):
                picture = waves(number)
                writer.write(torch.from_numpy(picture).permute(2, 0, 1) if name == "tensors" else picture)
    assert packets(tmp_path / "arrays.mkv") == packets(tmp_path / "tensors.mkv")


def test_planes_give_what_compress_gives(tmp_path, hall, hall_frames, coded):
    """The same pictures through the other door: byte for byte the same packets."""
    color = hall_frames[0].color
    with maevid.Writer(tmp_path / "out.mkv", quality=30, color=color, device="cpu", fps=10) as writer:
        for frame in hall_frames:
            writer.write(frame.planes)
    with StreamReader(tmp_path / "out.mkv") as ours, StreamReader(coded) as theirs:
        assert len(ours) == len(theirs)
        assert ours.info.color == theirs.info.color
        assert all(a.unwrap().parts == b.unwrap().parts for a, b in zip(ours, theirs, strict=True))


def test_what_a_reader_gives_can_be_written(tmp_path, coded):
    with maevid.open(coded, pixels="yuv", output="torch") as video:
        with maevid.Writer(tmp_path / "again.mkv", quality=30, color=video.info.color) as writer:
            for number in (2, 3):
                timed = video.get_frame_at(number)
                writer.write(timed.data, timed.pts_seconds)
        with maevid.open(tmp_path / "again.mkv", pixels="yuv") as again:
            assert again.pts_seconds.tolist() == [0.2, 0.3]
            assert psnr(again[0].y, video[2].y.numpy()) > 28


def test_grey_and_odd_sizes(tmp_path):
    ramp = np.tile(np.arange(33, dtype=np.uint8) * 7, (21, 1))
    with maevid.Writer(tmp_path / "grey.mkv", fps=1, quality=95) as writer:
        writer.write(ramp)
        writer.write(torch.from_numpy(ramp))
    with maevid.open(tmp_path / "grey.mkv") as video:
        assert video.shape == (2, 21, 33, 3)
        assert np.ptp(video[1].astype(int), axis=-1).max() <= 12
        assert psnr(video[1].mean(axis=-1), ramp) > 30


def test_irregular_times(tmp_path):
    times = [Fraction(1, 3), 0.5, np.float32(0.75), 1001 / 300, 100]
    with maevid.Writer(tmp_path / "out.mkv", quality=20) as writer:
        for number, seconds in enumerate(times):
            writer.write(waves(number), seconds)
    with maevid.open(tmp_path / "out.mkv") as video:
        assert video.pts_seconds == pytest.approx([float(t) for t in times], abs=1 / 180_000)
        assert video.pts_seconds[0] == 1 / 3
        assert video.index_at(3.3) == 2
        assert video.average_rate is None


def test_bitrate_is_met_in_one_pass(tmp_path, hall_frames):
    target = 150_000
    reports = []
    with maevid.Writer(tmp_path / "out.mkv", bitrate=target, fps=10, listener=reports.append) as writer:
        for number in range(60):
            writer.write(rgb_of(hall_frames[number % 12])[:128, :160])
    assert writer.result.bits == 8 * sum(map(len, packets(tmp_path / "out.mkv")))
    assert writer.result.seconds == 6
    assert abs(writer.result.error) <= 0.04
    assert [r.index for r in reports] == list(range(60))


def test_decompresses_like_any_other(tmp_path):
    with maevid.Writer(tmp_path / "out.mkv", fps=Fraction(30000, 1001), quality=50) as writer:
        for number in range(3):
            writer.write(waves(number))
    maevid.decompress(tmp_path / "out.mkv", tmp_path / "back.mkv")
    from maevid.video.reader import VideoReader

    with VideoReader(tmp_path / "back.mkv") as back, maevid.open(tmp_path / "out.mkv", pixels="yuv") as video:
        assert back.info.average_rate == Fraction(30000, 1001)
        for frame, coded in zip(back, video, strict=True):
            assert (frame.y == coded.y).all()


def test_a_refused_picture_changes_nothing(tmp_path):
    path = tmp_path / "out.mkv"
    with maevid.Writer(path, quality=50) as writer:
        writer.write(waves(0), 0)
        for picture, seconds, says in (
            (waves(1).astype(np.float32), 1, "not of float32"),
            (waves(1)[..., :2], 1, r"not \(48, 80, 2\)"),
            (torch.from_numpy(waves(1)), 1, r"\(3, height, width\), not \(48, 80, 3\)"),
            (waves(1, 48, 64), 1, "picture 1 is 64x48, those before it are 80x48"),
            (waves(1)[..., 0], 1, "picture 1 is gray, those before it are rgb24"),
            ((waves(1)[..., 0],) * 3, 1, r"have the shape \(24, 40\)"),
            ((waves(1)[..., 0],) * 2, 1, "planes are y, u and v"),
            (waves(1)[:0], 1, "cannot be coded"),
            (np.zeros((1, 65536, 3), np.uint8), 1, "cannot be coded"),
            ("picture", 1, "not str"),
            (waves(1), None, "when is the picture shown"),
            (waves(1), 0.0, "picture 1 at 0 s is not later"),
            (waves(1), float("inf"), "cannot be shown"),
            (waves(1), 1e300, "cannot be shown"),
        ):
            with pytest.raises(UsageError, match=says):
                writer.write(picture, seconds)
        writer.write(waves(1), 1)
    with maevid.open(path) as video:
        assert video.pts_seconds.tolist() == [0, 1]


def test_options_that_make_no_sense(tmp_path):
    path = tmp_path / "out.mkv"
    request = RateRequest(bitrate=1000)
    for options, says in (
        ({"bitrate": 1e6, "quality": 5}, "exclude each other"),
        ({"quality": 5, "request": request}, "not two of them"),
        ({"request": request}, "sees every picture once"),
        ({"request": RateRequest(size=1000)}, "sees every picture once"),
        ({"quality": 101}, "from 0 to 100"),
        ({"fps": 0}, "fps must be positive"),
        ({"fps": float("nan")}, "fps must be positive"),
        ({"fps": 1e12}, "beyond what a file can say"),
        ({"codec": "no-such"}, "no codec 'no-such' is installed"),
        ({"device": "gpu"}, "unknown device"),
    ):
        with pytest.raises(UsageError, match=says):
            maevid.Writer(path, **options)
    with pytest.raises(UsageError, match=r"ends in \.mkv"):
        maevid.Writer(tmp_path / "out.mp4")
    with pytest.raises(ModelError):
        maevid.Writer(path, weights=tmp_path / "none")
    with pytest.raises(OutputError, match="does not exist"):
        maevid.Writer(tmp_path / "nowhere" / "out.mkv")
    with maevid.Writer(path, fps=25) as writer:
        with pytest.raises(UsageError, match="not both"):
            writer.write(waves(0), 0.5)
        writer.write(waves(0))
    assert leftovers(tmp_path) == ["out.mkv"]


def test_failures_leave_an_old_file_as_it_was(tmp_path):
    path = tmp_path / "out.mkv"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), maevid.Writer(path, fps=25) as writer:
        write_and_fail(writer)
    with pytest.raises(OutputError, match="there is no picture to write"), maevid.Writer(path, fps=25):
        pass
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    tight = RateRequest(frame_bytes=30)  # No packet with its header is so small.
    writer = maevid.Writer(path, fps=25, request=tight)
    with pytest.raises(TargetError, match="at the lowest rate"):
        write_all(writer, [noise] * 20)
    with pytest.raises(ValueError, match="closed"):
        writer.write(noise)
    forgotten = maevid.Writer(path, fps=25)
    forgotten.write(waves(0))
    del forgotten
    gc.collect()
    aborted = maevid.Writer(path, fps=25)
    aborted.write(waves(0))
    aborted.abort()
    aborted.close()
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == ["out.mkv"]
