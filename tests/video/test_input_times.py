"""Every kind of presentation time through the whole program: exact where it is sound, mended and told where not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from round_trip import Picture, round_trip, scene, seen, write_scene
from video_clips import pattern, write_clip

from maevid.cli import main
from maevid.stream.reader import StreamReader

MILLISECOND = Fraction(1, 1000)


def shown_times(path: Path) -> list[Fraction]:
    """Seconds as FFmpeg itself tells them, in presentation order."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize(
    "pts",
    [
        [0, 1, 90, 91, 4000, 4001],
        [7000, 7040, 7080],
        [0, 40, 3_600_000, 3_600_040],
        [-80, -40, 0, 40],
    ],
    ids=["variable", "late start", "a gap of an hour", "negative"],
)
def test_sound_times_are_exact(pts: Sequence[int], suffix: str, tmp_path: Path) -> None:
    """In milliseconds, which Matroska holds; MP4 hides what lies before 0, which is told."""
    source = write_clip(tmp_path / "a.mkv", frames=len(pts), pts=pts, time_base=MILLISECOND)
    expected = shown_times(source)
    assert expected == [number * MILLISECOND for number in pts]
    trip = round_trip(source, suffix=suffix)
    assert trip.times == expected
    hidden = suffix == ".mp4" and min(pts) < 0
    back = shown_times(trip.back)
    assert [time for time in back if time >= 0 or not hidden] == [t for t in expected if t >= 0 or not hidden]
    assert [note for note in trip.notes if "players of MP4 do not show them" in note] == trip.notes
    assert bool(trip.notes) == hidden


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(60000, 1001), Fraction(15)])
def test_a_rate_that_milliseconds_cannot_say(rate: Fraction, tmp_path: Path) -> None:
    """The packets have the exact times, and MP4 gets them back."""
    source = write_clip(tmp_path / "a.mp4", encoder="libx264", frames=5, rate=rate, time_base=1 / rate)
    trip = round_trip(source, suffix=".mp4")
    assert trip.times == shown_times(source) == [n / rate for n in range(5)]
    assert shown_times(trip.back) == trip.times
    assert trip.info.average_rate == rate


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "mpeg2video"])
def test_b_frames_come_in_presentation_order(encoder: str, tmp_path: Path) -> None:
    suffix = ".mpg" if encoder == "mpeg2video" else ".mp4"
    source = write_scene(tmp_path / f"a{suffix}", encoder=encoder, frames=9, options={"bf": "2"})
    with av.open(str(source)) as container:
        coded = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert coded != sorted(coded), "the source has B-frames"
    trip = round_trip(source)
    assert trip.times == shown_times(source)
    assert trip.times == sorted(trip.times)
    assert trip.psnr() > 33


def test_an_edit_list_that_begins_later(tmp_path: Path) -> None:
    """MP4 that hides its first pictures: what a player shows is coded, at the times that it shows it."""
    source = write_scene(
        tmp_path / "a.mp4",
        encoder="libx264",
        frames=12,
        pts=[number - 4 for number in range(12)],
        options={"bf": "0", "g": "1"},
    )
    with av.open(str(source)) as container:
        assert container.streams.video[0].frames == 12
    trip = round_trip(source)
    assert trip.times == shown_times(source)
    assert trip.times[0] == 0
    assert len(trip.times) == 8
    assert trip.psnr() > 33


def test_missing_times_are_spaced_by_the_rate(tmp_path: Path) -> None:
    """A raw stream has none at all."""
    source = write_clip(tmp_path / "a.h264", encoder="libx264", frames=6, options={"bf": "0"})
    trip = round_trip(source)
    assert [time - trip.times[0] for time in trip.times] == [Fraction(n, 25) for n in range(6)]


def test_repeated_times_are_mended_and_told(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, width=64, height=48, time_base=MILLISECOND)
        stream.pix_fmt = "yuvj420p"
        container.start_encoding()
        for number, pts in enumerate([0, 40, 40, 80]):
            picture = pattern(64, 48, number).reformat(format="yuvj420p")
            picture.pts, picture.time_base = number, MILLISECOND
            for packet in stream.encode(picture):
                packet.pts = packet.dts = pts
                container.mux(packet)
    trip = round_trip(source)
    assert trip.times == [Fraction(n, 1000) for n in (0, 40, 41, 80)]
    assert [note for note in trip.notes if "is not later than the one before; moved by one unit" in note]


def cells(picture: Picture) -> npt.NDArray[np.float64]:
    """Means over 8×8 samples of a 64×48 picture."""
    return picture.reshape(6, 8, 8, 8, 3).mean(axis=(1, 3))


def test_pictures_in_files_and_gif(tmp_path: Path) -> None:
    for number in range(4):
        scene(20, 10, number, "rgb24").save(tmp_path / f"p{number:02}.png")
    assert round_trip(tmp_path / "p%02d.png").times == [Fraction(n, 25) for n in range(4)]
    still = round_trip(tmp_path / "p03.png")
    assert len(still.times) == 1
    assert still.psnr() > 28
    gif = write_scene(tmp_path / "a.gif", encoder="gif", pixel_format="rgb8", frames=4, pts=[0, 4, 5, 25])
    trip = round_trip(gif, quality=95)
    assert trip.times == shown_times(gif) == [Fraction(number, 25) for number in (0, 4, 5, 25)]
    for before, after in zip(seen(gif), seen(trip.back), strict=True):
        # Averages, since what dithering to a palette adds goes with half the chroma.
        error = np.square(cells(before) - cells(after)).mean()
        assert 10 * np.log10(255**2 / error) > 28


@pytest.mark.parametrize("redirected", [False, True], ids=["pipe", "file"])
def test_raw_y4m_on_standard_input(redirected: bool, tmp_path: Path) -> None:
    """What ``ffmpeg … -f yuv4mpegpipe - | maevid compress -`` sends, and back out the same way."""
    source = write_scene(tmp_path / "a.y4m", encoder="wrapped_avframe", frames=6)
    coded, back = tmp_path / "o.mkv", tmp_path / "back.y4m"
    command = [sys.executable, "-m", "maevid", "compress", "-", str(coded), "-b", "400k"]
    with source.open("rb") as file:
        given = {"stdin": file} if redirected else {"input": file.read()}
        done = subprocess.run(command, capture_output=True, timeout=120, check=False, **given)
    assert (done.returncode, done.stderr) == (0, b"")
    with StreamReader(coded) as reader:
        assert [c.pts * reader.info.time_base for c in reader] == [Fraction(n, 25) for n in range(6)]
    assert main(["decompress", str(coded), str(back)]) == 0
    assert back.stat().st_size == pytest.approx(source.stat().st_size, abs=100)
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(seen(source), seen(back), strict=True)]
    assert 10 * np.log10(255**2 / np.mean(errors)) > 33
