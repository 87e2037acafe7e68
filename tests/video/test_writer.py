"""What goes out comes back: pictures, times, tags, sound; and a failure leaves nothing behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from maevid.errors import OutputError, UsageError
from maevid.video.frame import ColorTags, Frame, VideoInfo
from maevid.video.matroska import set_sample_aspect_ratio
from maevid.video.reader import VideoReader
from maevid.video.writer import VideoWriter

ClipMaker = Callable[..., Path]
MILLISECOND = Fraction(1, 1000)


def noise(number: int, width: int, height: int, pts: int, time_base: Fraction, duration: int = 0) -> Frame:
    generator = np.random.default_rng(number)
    chroma = ((height + 1) // 2, (width + 1) // 2)
    y, u, v = (generator.integers(16, 236, shape, np.uint8) for shape in ((height, width), chroma, chroma))
    return Frame(y, u, v, pts=pts, time_base=time_base, duration=duration)


def copy(source: Path, output: Path | str, **settings: object) -> VideoWriter:
    """Read everything and write it, with the other streams."""
    with VideoReader(source) as reader:
        settings = {"source": reader.container, "source_video": reader.stream_index, **settings}
        with VideoWriter(output, reader.info, **settings) as writer:  # type: ignore[arg-type]
            reader.on_packet = writer.mux
            for frame in reader:
                writer.write(frame)
    return writer


def read(path: Path) -> tuple[VideoInfo, list[Frame]]:
    with VideoReader(path) as reader:
        return reader.info, list(reader)


def _first_difference(one: Path, other: Path) -> str:
    """Which packets differ, and which decoded pictures: two lines of numbers instead of two dumps of bytes."""
    lists = []
    for path in (one, other):
        with av.open(str(path)) as container:
            packets = [
                (packet.stream_index, packet.pts, bytes(packet))
                for packet in container.demux()
                if packet.size
            ]
        pictures = [b"".join(plane.tobytes() for plane in frame.planes) for frame in read(path)[1]]
        lists.append((packets, pictures))
    (packets, pictures), (others, other_pictures) = lists
    differing = [
        (left[:2], len(left[2]), len(right[2]))
        for left, right in zip(packets, others, strict=False)
        if left != right
    ]
    seen = [n for n, pair in enumerate(zip(pictures, other_pictures, strict=False)) if pair[0] != pair[1]]
    return f"{len(packets)} and {len(others)} packets, differing (stream, pts), sizes: {differing}; pictures {seen}"


def assert_same_pictures(one: list[Frame], other: list[Frame]) -> None:
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        for plane, same in zip(left.planes, right.planes, strict=True):
            np.testing.assert_array_equal(plane, same)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 17), (64, 48)])
@pytest.mark.parametrize("suffix", [".mkv", ".y4m"])
def test_lossless_outputs_are_lossless(tmp_path: Path, suffix: str, width: int, height: int) -> None:
    unit = Fraction(1, 25)
    frames = [noise(number, width, height, number, unit, 1) for number in range(4)]
    info = VideoInfo(width, height, unit, average_rate=Fraction(25))
    with VideoWriter(tmp_path / f"a{suffix}", info) as writer:
        for frame in frames:
            writer.write(frame)
    got, back = read(tmp_path / f"a{suffix}")
    assert_same_pictures(frames, back)
    assert [frame.seconds for frame in back] == [0.0, 0.04, 0.08, 0.12]
    assert (got.width, got.height, got.average_rate, got.frames) == (width, height, 25, 4)
    assert writer.warnings == []


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_times_tags_rotation_and_shape_come_back(tmp_path: Path, suffix: str) -> None:
    unit = Fraction(1, 30_000)
    times = [0, 1001, 1002, 30_000, 90_000, 90_033]
    color = ColorTags(matrix=9, primaries=9, transfer=16, full_range=True)
    info = VideoInfo(
        *(32, 16, unit, Fraction(30_000, 1001)),
        sample_aspect_ratio=Fraction(128, 117),
        rotation=270,
        color=color,
    )
    with VideoWriter(tmp_path / f"a{suffix}", info) as writer:
        for number, pts in enumerate(times):
            frame = noise(number, 32, 16, pts, unit, 500)
            writer.write(Frame(*frame.planes, pts=pts, time_base=unit, duration=500, color=color))
    got, back = read(tmp_path / f"a{suffix}")
    seconds = [Fraction(pts, 30_000) for pts in times]
    # FFmpeg's Matroska muxer counts milliseconds.
    milliseconds = [Fraction(int(time * 1000 + Fraction(1, 2)), 1000) for time in seconds]
    expected = milliseconds if suffix == ".mkv" else seconds
    placed = [frame.pts * frame.time_base for frame in back]
    assert placed == sorted(set(placed))
    if suffix == ".mkv":
        # 1001 and 1002 units round to one millisecond; the reader keeps them apart by one unit.
        assert expected[1] == expected[2]
        expected[2] += MILLISECOND
    assert placed == expected
    assert back[0].color == color
    assert got.rotation == 270
    assert got.sample_aspect_ratio == Fraction(128, 117)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_rotation_survives(clip: ClipMaker, tmp_path: Path, suffix: str, rotation: int) -> None:
    copy(clip("in.mp4", encoder="libx264", rotation=rotation), tmp_path / f"out{suffix}")
    assert read(tmp_path / f"out{suffix}")[0].rotation == rotation


@pytest.mark.parametrize("audio", ["aac", "libopus", "pcm_s16le", "flac"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_sound_is_copied_packet_by_packet(clip: ClipMaker, tmp_path: Path, suffix: str, audio: str) -> None:
    source = clip("in.mkv", audio=audio)
    writer = copy(source, tmp_path / f"out{suffix}")
    assert writer.warnings == []

    def sound(path: Path) -> tuple[list[bytes], list[float], dict[str, str]]:
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(audio=0) if packet.size]
            metadata = container.streams.audio[0].metadata
            return [bytes(p) for p in packets], [float(p.pts * p.time_base) for p in packets], metadata

    payloads, times, metadata = sound(source)
    copied, new_times, new_metadata = sound(tmp_path / f"out{suffix}")
    assert copied == payloads
    assert len(copied) > 5
    assert new_times == pytest.approx(times, abs=0.001)
    assert new_metadata["language"] == metadata["language"] == "swe"
    if suffix == ".mkv":
        assert new_metadata["title"] == "Noise"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_audio_that_begins_early_does_not_move_the_picture(
    clip: ClipMaker, tmp_path: Path, suffix: str
) -> None:
    """Encoder delay puts the first AAC packet below zero; FFmpeg would shift all streams by it."""
    source = clip("in.mp4", encoder="libx264", audio="aac")
    with av.open(str(source)) as container:
        assert next(container.demux(audio=0)).pts < 0
    copy(source, tmp_path / f"out{suffix}")
    assert [frame.seconds for frame in read(tmp_path / f"out{suffix}")[1]] == pytest.approx(
        [0, 0.04, 0.08, 0.12, 0.16, 0.2]
    )


def test_chapters_and_metadata_are_kept(clip: ClipMaker, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(clip("plain.mkv"))) as plain, av.open(str(source), "w") as container:
        stream = container.add_stream_from_template(plain.streams.video[0])
        container.metadata["title"] = "Räksmörgås"
        container.set_chapters(
            [
                {"id": 1, "start": 0, "end": 80, "time_base": MILLISECOND, "metadata": {"title": "One"}},
                {"id": 2, "start": 80, "end": 240, "time_base": MILLISECOND, "metadata": {"title": "Two"}},
            ]
        )
        for packet in plain.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    for suffix in (".mkv", ".mp4"):
        copy(source, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert container.metadata["title"] == "Räksmörgås"
            chapters = container.chapters()
        assert [chapter["metadata"]["title"] for chapter in chapters] == ["One", "Two"]
        seconds = [float(chapter["start"] * chapter["time_base"]) for chapter in chapters]  # type: ignore[operator]
        assert seconds == [0.0, 0.08]


def test_odd_sizes_in_mp4(tmp_path: Path) -> None:
    info = VideoInfo(15, 17, Fraction(1, 25), Fraction(25))
    with VideoWriter(tmp_path / "a.mp4", info) as writer:
        for number in range(3):
            writer.write(noise(number, 15, 17, number, info.time_base, 1))
    assert writer.warnings == ["h264 has no odd sizes in 4:2:0; the output is 4:4:4"]
    got, back = read(tmp_path / "a.mp4")
    assert (got.width, got.height, len(back)) == (15, 17, 3)


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        *(("a.mkv", "libx264"), ("a.mkv", "libvpx-vp9"), ("a.mov", "prores_ks"), ("a.avi", "mpeg4")),
        *(("a.avi", "utvideo"), ("a.webm", "libvpx-vp9"), ("a.nut", "png"), ("a.mp4", "mpeg4")),
    ],
)
def test_any_encoder_in_any_container(tmp_path: Path, name: str, encoder: str) -> None:
    info = VideoInfo(64, 48, Fraction(1, 25), Fraction(25))
    with VideoWriter(tmp_path / name, info, encoder=encoder) as writer:
        for number in range(3):
            smooth = np.full((48, 64), 60 + 20 * number, np.uint8)
            chroma = np.full((24, 32), 128, np.uint8)
            writer.write(Frame(smooth, chroma, chroma, pts=number, time_base=info.time_base, duration=1))
    got, back = read(tmp_path / name)
    assert len(back) == 3
    assert [int(np.median(frame.y)) for frame in back] == pytest.approx([60, 80, 100], abs=2)
    assert got.codec in (encoder, "h264", "vp9", "prores")


def test_options_reach_the_encoder(clip: ClipMaker, tmp_path: Path) -> None:
    source = clip("in.mkv", frames=10, width=128, height=128)
    copy(source, tmp_path / "fine.mp4")
    copy(source, tmp_path / "coarse.mp4", options={"crf": "40"})
    assert (tmp_path / "coarse.mp4").stat().st_size < (tmp_path / "fine.mp4").stat().st_size / 2


def test_the_same_frames_give_the_same_file(clip: ClipMaker, tmp_path: Path) -> None:
    source = clip("in.mkv", audio="aac")
    for suffix in (".mkv", ".mp4", ".y4m"):
        copy(source, tmp_path / f"a{suffix}")
        copy(source, tmp_path / f"b{suffix}")
        one, other = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        if one.read_bytes() != other.read_bytes():
            pytest.fail(f"{suffix}: {_first_difference(one, other)}")


def test_y4m_tells_what_it_cannot_hold(clip: ClipMaker, tmp_path: Path) -> None:
    source = clip(
        "in.mp4",
        encoder="libx264",
        audio="aac",
        rotation=90,
        pts=[0, 1, 2, 10, 11, 12],
    )
    writer = copy(source, tmp_path / "a.y4m")
    assert len(read(tmp_path / "a.y4m")[1]) == 6
    told = "\n".join(writer.warnings)
    assert "sound" in told
    assert "turned by 90" in told
    assert "the frame rate varies" in told


def test_requests_that_make_no_sense(tmp_path: Path) -> None:
    info = VideoInfo(64, 48, Fraction(1, 25), Fraction(25))
    for name, encoder, words in [
        ("a.xyz", None, "end it in .mkv"),
        ("a", None, "end it in .mkv"),
        ("a.mkv", "nonsense", "no encoder named nonsense"),
        ("a.mkv", "aac", "audio encoder"),
        ("a.y4m", "libx264", "takes no encoder"),
        ("a.xyz", "ffv1", "no container with the ending"),
    ]:
        with pytest.raises(UsageError, match=words):
            VideoWriter(tmp_path / name, info, encoder=encoder)
    with pytest.raises(OutputError, match="cannot hold 64x48 with encoder ffv1"):
        VideoWriter(tmp_path / "a.webm", info, encoder="ffv1")
    with pytest.raises(OutputError, match="cannot hold 64x48 with encoder libx264"):
        VideoWriter(tmp_path / "a.mp4", info, options={"crf": "high"})
    with pytest.raises(OutputError, match="does not exist"):
        VideoWriter(tmp_path / "no" / "a.mkv", info)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.y4m"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    (tmp_path / name).write_bytes(b"old")
    info = VideoInfo(64, 48, Fraction(1, 25), Fraction(25))

    def fail() -> None:
        with VideoWriter(tmp_path / name, info) as writer:
            writer.write(noise(0, 64, 48, 0, info.time_base))
            raise error

    with pytest.raises(error):
        fail()
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


WRITE_UNTIL_STOPPED = """
import sys
import numpy as np
from fractions import Fraction
from maevid.errors import MaevidError
from maevid.video.frame import Frame, VideoInfo
from maevid.video.writer import VideoWriter

info = VideoInfo(320, 240, Fraction(1, 25), Fraction(25))
generator = np.random.default_rng(0)
c = np.zeros((120, 160), np.uint8)
try:
    with VideoWriter(sys.argv[1], info) as writer:
        for number in range(int(sys.argv[2])):
            y = generator.integers(0, 256, (240, 320), np.uint8)
            writer.write(Frame(y, c, c, pts=number, time_base=info.time_base, duration=1))
            print(number, file=sys.stderr, flush=True)
except MaevidError as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.y4m"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """A limit on the size of files makes writing fail just as a full disk does."""
    result = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_STOPPED, str(tmp_path / name), "60"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "OutputError writing" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_file_of_the_name(tmp_path: Path) -> None:
    output = tmp_path / "a.mkv"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_STOPPED, str(output), "100000"], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    while process.stderr.readline().strip() != b"10":
        assert process.poll() is None
    process.kill()
    process.wait()
    process.stderr.close()
    assert not output.exists()
    info = VideoInfo(320, 240, Fraction(1, 25), Fraction(25))
    with VideoWriter(output, info) as writer:
        writer.write(noise(0, 320, 240, 0, info.time_base))
    assert len(read(output)[1]) == 1


def test_an_interrupted_process_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_STOPPED, str(tmp_path / "a.mkv"), "100000"], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    while process.stderr.readline().strip() != b"10":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert list(tmp_path.iterdir()) == []


def test_standard_output_is_y4m_and_a_closed_pipe_ends_it_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_UNTIL_STOPPED, "-", "3"]
    whole = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert whole.stdout.startswith(b"YUV4MPEG2 W320 H240 F25:1 Ip A1:1 C420mpeg2\nFRAME\n")
    (tmp_path / "a.y4m").write_bytes(whole.stdout)
    assert len(read(tmp_path / "a.y4m")[1]) == 3

    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_STOPPED, "-", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(200_000)
    process.stdout.close()
    told = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=30) == 141
    assert "PipeClosed" in told
    assert "Traceback" not in told
    assert "ignored" not in told


def test_frames_reach_a_pipe_at_once() -> None:
    """A player shows a frame when it is written, not when a buffer happens to be full."""
    script = (
        WRITE_UNTIL_STOPPED.replace("info = VideoInfo(320, 240", "info = VideoInfo(2, 2")
        .replace("(240, 320)", "(2, 2)")
        .replace("(120, 160)", "(1, 1)")
        .replace("print(number", "import time; time.sleep(20); print(number")
    )
    process = subprocess.Popen([sys.executable, "-c", script, "-", "5"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    start = time.monotonic()
    assert process.stdout.readline().startswith(b"YUV4MPEG2")
    assert process.stdout.readline() == b"FRAME\n"
    assert len(process.stdout.read(6)) == 6
    assert time.monotonic() - start < 15
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_aspect_ratio_edit_keeps_the_file_sound(clip: ClipMaker, tmp_path: Path) -> None:
    path = clip("a.mkv", audio="aac", frames=10, color=(1, 1, 1, 1), options={"g": "1"})
    before = read(path)
    size = path.stat().st_size
    assert set_sample_aspect_ratio(path, Fraction(64, 45))
    assert path.stat().st_size == size
    info, frames = read(path)
    assert info.sample_aspect_ratio == Fraction(64, 45)
    assert_same_pictures(before[1], frames)
    assert set_sample_aspect_ratio(path, Fraction(1, 3))
    assert read(path)[0].sample_aspect_ratio == Fraction(1, 3)
    with av.open(str(path)) as container:
        container.seek(200_000, backward=True)
        assert next(container.decode(video=0)).pts == 200
    try:
        told = subprocess.run(
            ["mkvmerge", "-J", str(path)], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("mkvmerge is not installed")
    answer = json.loads(told)
    assert answer["errors"] == answer["warnings"] == []


def test_the_aspect_ratio_edit_leaves_other_files_alone(clip: ClipMaker) -> None:
    for path in (clip("a.mp4", encoder="libx264"), clip("a.y4m", encoder="wrapped_avframe")):
        data = path.read_bytes()
        assert not set_sample_aspect_ratio(path, Fraction(2))
        assert path.read_bytes() == data
