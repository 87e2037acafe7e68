"""Real files of every kind come in with the right pictures and times, or with one clear line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import pattern

from maevid.errors import InputError
from maevid.video.frame import ColorTags, Frame
from maevid.video.reader import VideoReader

ClipMaker = Callable[..., Path]


def read(path: Path | str, **settings: object) -> tuple[VideoReader, list[Frame]]:
    with VideoReader(path, **settings) as reader:  # type: ignore[arg-type]
        return reader, list(reader)


def luma_of(width: int, height: int, number: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    plane = pattern(width, height, number).planes[0]
    return np.frombuffer(plane, np.uint8).reshape(height, -1)[:, :width]


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (2, 2), (15, 17), (16, 16), (4096, 16), (16, 4096), (3840, 2160)]
)
def test_every_size(clip: ClipMaker, width: int, height: int) -> None:
    reader, frames = read(clip("a.mkv", width=width, height=height, frames=2))
    assert (reader.info.width, reader.info.height) == (width, height)
    assert [frame.y.shape for frame in frames] == [(height, width)] * 2
    assert frames[1].u.shape == ((height + 1) // 2, (width + 1) // 2)
    np.testing.assert_array_equal(frames[1].y, luma_of(width, height, 1))
    assert reader.warnings == []


def test_one_frame_and_what_is_known_of_it(clip: ClipMaker) -> None:
    reader, frames = read(clip("a.mp4", frames=1, encoder="libx264", color=(9, 9, 16, 2)))
    assert len(frames) == 1
    assert frames[0].color == ColorTags(matrix=9, primaries=9, transfer=16, full_range=True)
    info = reader.info
    assert (info.codec, info.frames, info.average_rate) == ("h264", 1, Fraction(25))
    assert info.color == frames[0].color
    assert info.duration == pytest.approx(0.04)


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4", "libvpx-vp9"])
def test_times_of_variable_rate_and_b_frames_are_exact(clip: ClipMaker, encoder: str) -> None:
    pts = [0, 1, 1000, 1001, 2002, 30_000, 30_007, 90_000, 90_001, 100_000]
    path = clip("a.mp4", frames=10, pts=pts, time_base=Fraction(1, 30_000), encoder=encoder)
    reader, frames = read(path)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(time, 30_000) for time in pts]
    assert reader.warnings == []


def test_avi_with_b_frames_has_evenly_spaced_times(clip: ClipMaker) -> None:
    """AVI has decoding times only; what FFmpeg makes up from them is out of order."""
    reader, frames = read(clip("a.avi", frames=12, encoder="mpeg4", options={"bf": "2"}))
    times = [frame.pts for frame in frames]
    assert [time - times[0] for time in times] == list(range(12))
    assert reader.warnings == []


def test_negative_times_survive(clip: ClipMaker) -> None:
    """Evenly spaced, since FFmpeg's Matroska reader computes times below zero from the frame duration."""
    path = clip("a.mkv", frames=4, pts=[-80, -40, 0, 60], time_base=Fraction(1, 1000))
    assert [frame.pts for frame in read(path)[1]] == [-80, -40, 0, 60]


def test_frames_are_the_same_every_time(clip: ClipMaker) -> None:
    path = clip("a.mp4", frames=30, encoder="libx264", options={"bf": "3"})
    first, second = read(path)[1], read(path)[1]
    assert len(first) == 30
    for one, other in zip(first, second, strict=True):
        for plane, same in zip(one.planes, other.planes, strict=True):
            np.testing.assert_array_equal(plane, same)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_told_clockwise(clip: ClipMaker, rotation: int) -> None:
    reader, _ = read(clip("a.mp4", encoder="libx264", rotation=rotation))
    assert reader.info.rotation == rotation


def test_rotation_agrees_with_ffprobe(clip: ClipMaker) -> None:
    """A player turns by what ffprobe calls rotation, counter-clockwise: -90 there is 90 here."""
    path = clip("a.mp4", encoder="libx264", rotation=90)
    try:
        told = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "stream_side_data=rotation", "-of", "csv", str(path)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except FileNotFoundError:
        pytest.skip("ffprobe is not installed")
    assert "-90" in told


def test_sample_aspect_ratio(clip: ClipMaker) -> None:
    path = clip("a.mp4", encoder="libx264", sample_aspect_ratio=Fraction(128, 117))
    assert read(path)[0].info.sample_aspect_ratio == Fraction(128, 117)


def test_packets_of_other_streams_come_in_file_order(clip: ClipMaker) -> None:
    path = clip("a.mkv", audio="pcm_s16le")
    with av.open(str(path)) as container:
        expected = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    seen: list[bytes] = []
    with VideoReader(path) as reader:
        reader.on_packet = lambda packet: seen.append(bytes(packet))
        assert len(list(reader)) == 6
    assert seen == expected
    assert len(seen) > 10


def test_several_video_streams_are_told_and_chosen(clip: ClipMaker) -> None:
    path = clip("a.mkv", videos=2)
    reader, frames = read(path)
    assert reader.stream_index == 0
    assert len(frames) == 6
    assert reader.warnings == [f"{path} has video streams 0, 1; 0 was taken"]
    reader, frames = read(path, stream=1)
    assert (reader.stream_index, len(frames), reader.warnings) == (1, 6, [])
    with pytest.raises(InputError, match="its video streams are: 0, 1"):
        read(path, stream=5)


@pytest.mark.parametrize(
    ("pixel_format", "encoder"),
    [
        *(("gray", "ffv1"), ("gray10le", "ffv1"), ("yuv422p10le", "ffv1"), ("yuv444p12le", "ffv1")),
        *(("yuv440p", "ffv1"), ("yuv411p", "ffv1"), ("gbrp", "utvideo"), ("bgr0", "ffv1"), ("rgba", "png")),
        *(("yuvj422p", "mjpeg"), ("rgb24", "png"), ("nv12", "rawvideo"), ("uyvy422", "rawvideo")),
    ],
)
def test_pixel_formats_in_files(clip: ClipMaker, pixel_format: str, encoder: str) -> None:
    reader, frames = read(clip("a.nut", encoder=encoder, pixel_format=pixel_format, frames=2))
    assert reader.info.pixel_format == pixel_format
    assert len(frames) == 2
    difference = np.abs(frames[1].y.astype(int) - luma_of(64, 48, 1))
    # Full range moves levels by up to 16, a palette or JPEG by more in places.
    assert np.median(difference) <= 20
    assert reader.warnings == (["transparency (rgba) is dropped"] if pixel_format == "rgba" else [])


def test_gif_and_picture_sequence(clip: ClipMaker, tmp_path: Path) -> None:
    reader, frames = read(clip("a.gif", encoder="gif", pixel_format="rgb8", frames=3))
    assert [frame.pts for frame in frames] == [0, 4, 8]
    assert reader.info.codec == "gif"
    for number in range(3):
        picture = pattern(20, 10, number).reformat(format="rgb24")
        picture.save(tmp_path / f"picture{number:02}.png")
    _, frames = read(tmp_path / "picture%02d.png")
    assert [frame.pts for frame in frames] == [0, 1, 2]
    _, frames = read(tmp_path / "picture01.png")
    assert len(frames) == 1


def test_interlaced_is_told(clip: ClipMaker) -> None:
    path = clip("a.mpg", encoder="mpeg2video", options={"flags": "+ilme+ildct"})
    reader, frames = read(path)
    assert reader.info.interlaced
    assert len(frames) == 6
    assert reader.warnings == ["the video is interlaced; both fields are coded as one frame"]


def test_a_cover_is_no_video(clip: ClipMaker, tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1, width=16, height=16, time_base=Fraction(1, 25))
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        sound = container.add_stream("aac", rate=48000)
        sound.codec_context.layout = "mono"
        container.start_encoding()
        picture = pattern(16, 16, 0, "yuvj420p")
        picture.pts = 0
        container.mux(cover.encode(picture))
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(InputError, match="its only picture is a cover"):
        VideoReader(path)


def test_a_size_that_changes_is_refused_with_its_place(tmp_path: Path, clip: ClipMaker) -> None:
    joined = tmp_path / "joined.h264"
    parts = [clip("a.h264", encoder="libx264"), clip("b.h264", encoder="libx264", width=32)]
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with VideoReader(joined) as reader, pytest.raises(InputError, match="from 64x48 to 32x48 at frame 6"):
        list(reader)


def test_damage_is_told_and_reading_goes_on(clip: ClipMaker) -> None:
    path = clip("a.mkv", frames=12, encoder="libx264", options={"g": "1"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux() if packet.size][5]
        at = data.index(bytes(packet))
        data[at : at + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    reader, frames = read(path)
    assert len(frames) == 11
    assert reader.damaged == 1
    assert "damaged packet" in reader.warnings[0]
    assert [frame.pts for frame in frames] == [40 * number for number in range(12) if number != 5]


def test_a_file_cut_short_gives_what_is_there(clip: ClipMaker) -> None:
    path = clip("a.mkv", frames=12)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reader, frames = read(path)
    assert 3 <= len(frames) <= 8
    assert frames[0].pts == 0
    assert reader.damaged <= 2


def test_standard_input(clip: ClipMaker) -> None:
    path = clip("a.y4m", encoder="wrapped_avframe")
    script = (
        "from maevid.video.reader import VideoReader\n"
        "with VideoReader('-') as reader: print(reader.name, [frame.pts for frame in reader])"
    )
    command = [sys.executable, "-c", script]
    piped = subprocess.run(
        command, input=path.read_bytes(), capture_output=True, check=True, cwd=Path.cwd(), timeout=60
    )
    assert piped.stdout.decode().strip() == "standard input [0, 1, 2, 3, 4, 5]"


def test_standard_input_that_is_a_file_can_be_searched(clip: ClipMaker) -> None:
    """An MP4 has its table of contents at the end, where a pipe cannot go back from."""
    path = clip("a.mp4", encoder="libx264")
    script = "from maevid.video.reader import VideoReader\nprint(len(list(VideoReader('-'))))"
    with open(path, "rb") as file:
        redirected = subprocess.run(
            [sys.executable, "-c", script], stdin=file, capture_output=True, check=True, timeout=60
        )
    assert redirected.stdout.strip() == b"6"


def test_a_named_pipe_is_read(clip: ClipMaker, tmp_path: Path) -> None:
    path = clip("a.mkv")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = (
        "import sys, pathlib; pathlib.Path(sys.argv[2]).write_bytes(pathlib.Path(sys.argv[1]).read_bytes())"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path), str(pipe)]) as feeder:
        _, frames = read(pipe)
    assert feeder.returncode == 0
    assert [frame.pts for frame in frames] == [0, 40, 80, 120, 160, 200]


def test_a_name_that_looks_like_a_url_is_a_file(
    clip: ClipMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip("http:x.mkv")
    monkeypatch.chdir(tmp_path)
    assert len(read("http:x.mkv")[1]) == 6


def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path, clip: ClipMaker) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("This is no video.\n" * 100)
    empty = tmp_path / "empty.mkv"
    empty.touch()
    zeroed = clip("zeroed.mkv", encoder="libx264", frames=2)
    data = bytearray(zeroed.read_bytes())
    with av.open(str(zeroed)) as container:
        for packet in container.demux():
            if packet.size:
                at = data.index(bytes(packet))
                data[at : at + packet.size] = bytes(packet.size)
    zeroed.write_bytes(data)
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
    for path, words in [
        (tmp_path / "missing.mp4", "does not exist"),
        (tmp_path, "is a folder"),
        (text, "not a video that FFmpeg can read"),
        (empty, "not a video that FFmpeg can read"),
        (clip("none.mkv", frames=0), "ends before its first picture"),
        (sound, "has no video stream"),
        (zeroed, "no picture in it can be decoded"),
        (Path("/dev/null"), "not a video that FFmpeg can read"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            VideoReader(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(clip: ClipMaker) -> None:
    path = clip("a.mkv")
    path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        VideoReader(path)


def test_too_many_pixels_are_refused_before_decoding(clip: ClipMaker) -> None:
    path = clip("a.mkv")
    with pytest.raises(InputError, match="64x48; the limit is 3071 pixels"):
        VideoReader(path, max_pixels=3071)
    assert len(read(path, max_pixels=3072)[1]) == 6


def test_a_second_pass_needs_a_second_reader(clip: ClipMaker) -> None:
    with VideoReader(clip("a.mkv")) as reader:
        list(reader)
        with pytest.raises(RuntimeError, match="open the file again"):
            list(reader)
