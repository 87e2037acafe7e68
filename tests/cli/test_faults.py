"""Faults that really happen: killed processes, full disks, pipes that close, damage in mid-stream, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from forked import start

from maevid.cli import main
from maevid.stream.reader import StreamReader

FRAMES = 32
MAEVID = [sys.executable, "-m", "maevid"]


def write_noise(path: Path, frames: int, encoder: str = "mpeg4", width: int = 64) -> Path:
    """A clip of moving noise, every picture a key frame."""
    generator = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25, width=width, height=48, options={"g": "1", "bf": "0"})
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(
                generator.integers(60, 190, (72, width), np.uint8), format="yuv420p"
            )
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("faults") / "clip.mkv", FRAMES)


@pytest.fixture(scope="module")
def whole(clip: Path) -> tuple[bytes, float]:
    """The output of an uninterrupted encode, and the seconds that one takes in a process like those that are killed."""
    out = clip.with_name("whole.mkv")
    for _ in range(2):  # the first also starts the server that forks
        began = time.monotonic()
        process = start(["compress", str(clip), str(out), "-b", "400k"], clip.with_name("log"))
        process.join(120)
        assert process.exitcode == 0
    return out.read_bytes(), time.monotonic() - began


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs at ``folder``, which takes root."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a file system here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def size_of(path: Path, since: int = 0) -> int:
    """Bytes of a file that may not be there, or not have changed ``since`` (nanoseconds of the clock): then 0."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    return found.st_size if found.st_ctime_ns >= since else 0


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1, message
    return message


def test_killed_at_twenty_random_moments(clip: Path, whole: tuple[bytes, float], tmp_path: Path) -> None:
    """Nothing is under the final name, and the same command works again, as if nothing had happened."""
    complete, seconds = whole
    chance = random.Random(20)
    out, log, journal = tmp_path / "out.mkv", tmp_path / "log", tmp_path / ".out.mkv.journal"
    left = set()
    for number in range(20):
        began = time.time_ns()
        process = start(["compress", str(clip), str(out), "-b", "400k"], log)
        if number % 2:
            process.join(chance.uniform(0.05, 0.95) * seconds)
        else:  # where packets are written, however slow the machine is now
            wanted = chance.uniform(500, 45_000)
            while process.exitcode is None and size_of(journal, began) < wanted:
                process.join(0.002)
        process.kill()
        process.join()
        if process.exitcode == 0:
            assert out.read_bytes() == complete
            out.unlink()
        else:
            assert process.exitcode == -signal.SIGKILL
            assert not out.exists()
        left.add(len(os.listdir(tmp_path)))
    assert max(left) > 2, "some were killed in the middle of writing"
    process = start(["compress", str(clip), str(out), "-b", "400k"], log)
    process.join(120)
    assert process.exitcode == 0
    assert out.read_bytes() == complete
    assert sorted(os.listdir(tmp_path)) == ["log", "out.mkv"]


def test_killed_again_and_again_and_resumed(clip: Path, whole: tuple[bytes, float], tmp_path: Path) -> None:
    """Each round is killed once it has written some more packets; together they come to the same bytes."""
    chance = random.Random(21)
    out, log, journal = tmp_path / "out.mkv", tmp_path / "log", tmp_path / ".out.mkv.journal"
    told = []
    while not out.exists():
        had = size_of(journal)
        more = chance.uniform(1_000, 15_000)
        process = start(["compress", str(clip), str(out), "-b", "400k", "--resume"], log)
        while process.exitcode is None and size_of(journal) < had + more:
            process.join(0.002)
        process.kill()
        process.join()
        told += [int(line.split()[7]) for line in log.read_text().splitlines() if "going on" in line]
        assert len(told) < FRAMES, "some rounds got nowhere"
    assert out.read_bytes() == whole[0]
    assert told == sorted(told), "a round never has less than the one before"
    assert len(told) >= 2
    assert 0 < told[-1] <= FRAMES
    assert sorted(os.listdir(tmp_path)) == ["log", "out.mkv"]


def interrupted(clip: Path, out: Path, times: int) -> tuple[int, str]:
    """Exit code and messages of a command that gets Ctrl-C in mid-encode, ``times`` in quick succession."""
    job = subprocess.Popen(
        [*MAEVID, "compress", str(clip), str(out), "--quality", "70", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    assert job.stderr is not None
    job.stdout.readline()
    for _ in range(times):
        job.send_signal(signal.SIGINT)
        time.sleep(0.01)
    job.stdout.read()
    return job.wait(60), job.stderr.read()


def test_ctrl_c_twice_is_no_worse_than_once(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, fresh = tmp_path / "out.mkv", tmp_path / "fresh.mkv"
    for times in (2, 5):
        code, message = interrupted(clip, out, times)
        assert code in (128 + signal.SIGINT, -signal.SIGINT)
        assert "Traceback" not in message
        assert len(message.splitlines()) <= 2
        assert not out.exists()
    assert main(["compress", str(clip), str(out), "--quality", "70", "--json", "--resume"]) == 0
    assert "frames are coded already" in capsys.readouterr().err
    assert main(["compress", str(clip), str(fresh), "--quality", "70", "--json"]) == 0
    assert out.read_bytes() == fresh.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["fresh.mkv", "out.mkv"]


def test_ctrl_c_while_a_pipe_says_nothing(tmp_path: Path) -> None:
    """A live source that stands still is no reason not to end."""
    out = tmp_path / "o.mkv"
    job = subprocess.Popen(
        [*MAEVID, "compress", "-", str(out), "-b", "400k", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert job.stdin is not None
    assert job.stdout is not None
    assert job.stderr is not None
    picture = np.random.default_rng(1).integers(60, 190, 64 * 48 * 3 // 2, np.uint8).tobytes()
    job.stdin.write(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420mpeg2\n" + FRAMES * (b"FRAME\n" + picture))
    job.stdin.flush()
    for _ in range(FRAMES // 2):
        assert job.stdout.readline().startswith(b'{"type":"frame"')
    time.sleep(2)  # all that came is read, and the job waits for more
    job.send_signal(signal.SIGINT)
    try:
        assert job.wait(30) == 128 + signal.SIGINT
        message = job.stderr.read().decode()
    finally:
        job.kill()
        job.stdin.close()
    assert len(message.splitlines()) == 1
    assert "interrupted" in message
    assert not [name for name in os.listdir(tmp_path) if ".part" in name]


def test_a_full_disk(
    clip: Path, whole: tuple[bytes, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line; what stood there stays; and with room again, the encode goes on."""
    with mounted(tmp_path / "small", "size=100k") as disk:
        out = disk / "out.mkv"
        out.write_bytes(b"precious")
        assert main(["compress", str(clip), str(out), "-b", "400k"]) == 1
        message = one_line(capsys)
        assert "no space left on device" in message
        assert "--resume goes on" in message
        assert out.read_bytes() == b"precious"
        assert sorted(os.listdir(disk)) == [".out.mkv.journal", "out.mkv"]
        subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)
        assert main(["compress", str(clip), str(out), "-b", "400k", "--resume"]) == 0
        assert " 0 frames" not in one_line(capsys)
        assert out.read_bytes() == whole[0]
        # And on the way back.
        subprocess.run(["mount", "-o", "remount,size=200k", str(disk)], check=True)
        assert main(["decompress", str(out), str(disk / "back.mkv")]) == 1
        assert "no space left on device" in one_line(capsys)
        assert os.listdir(disk) == ["out.mkv"]


def test_a_read_only_folder_is_told_before_any_work(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with mounted(tmp_path / "locked", "size=1m,ro") as folder:
        for command in (["compress", str(clip), str(folder / "o.mkv"), "-b", "400k", "--json"],):
            assert main(command) == 1
            printed = capsys.readouterr()
            assert printed.out == ""
            assert "read-only file system" in printed.err
            assert len(printed.err.splitlines()) == 1
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link", "other spelling"])
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_the_output_is_never_the_input(
    kind: str, command: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.mkv"
    source.write_bytes(clip.read_bytes())
    out = tmp_path / "b.mkv"
    if kind == "symlink":
        out.symlink_to(source)
    elif kind == "hard link":
        out.hardlink_to(source)
    else:
        out = source if kind == "same" else tmp_path / ".." / tmp_path.name / "a.mkv"
    assert main([command, str(source), str(out)]) == 2
    assert "input and output are the same file" in one_line(capsys)
    assert source.read_bytes() == clip.read_bytes()


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/urandom"])
def test_a_device_as_input_is_refused_in_bounded_time(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compress", device, str(tmp_path / "o.mkv"), "--quality", "50"]) == 1
    assert device in one_line(capsys)
    assert main(["compress", device, str(tmp_path / "o.mkv"), "--size", "1M"]) == 2
    assert "can be read only once" in one_line(capsys)
    assert os.listdir(tmp_path) == []


def test_a_named_pipe_is_compressed_in_one_pass(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "o.mkv"
    os.mkfifo(pipe)
    for refused in (["--size", "1M"], ["-b", "400k", "--passes", "2"], ["--resume"]):
        assert main(["compress", str(pipe), str(out), *refused]) == 2
        assert "can be read only once" in one_line(capsys)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    feeder.start()
    assert main(["compress", str(pipe), str(out), "-b", "400k"]) == 0
    feeder.join(10)
    with StreamReader(out) as reader:
        assert len(reader) == FRAMES


def test_a_pipeline_that_closes_early(clip: Path, tmp_path: Path) -> None:
    """``| head`` on frame lines and on pictures: quiet, nothing left, the exit code of SIGPIPE."""
    script = 'set -o pipefail; "$@" 2>{log} | head -c 200 >{out}'
    coded = tmp_path / "coded.mkv"
    assert main(["compress", str(clip), str(coded), "--quality", "50"]) == 0
    log, out = tmp_path / "log", tmp_path / "out"
    for command in (
        ["compress", str(clip), str(tmp_path / "o.mkv"), "--quality", "50", "--json"],
        ["decompress", str(coded), "-"],
    ):
        done = subprocess.run(
            ["bash", "-c", script.format(log=log, out=out), "bash", *MAEVID, *command],
            check=False,
            timeout=120,
        )
        assert done.returncode == 128 + signal.SIGPIPE
        assert out.stat().st_size == 200
        assert log.read_text() == ""
        assert sorted(os.listdir(tmp_path)) == ["coded.mkv", "log", "out"]


def test_damage_in_mid_stream_is_told_and_the_rest_is_coded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two packets are overwritten; all others come through at their times, and the exit code says so."""
    source, out = write_noise(tmp_path / "a.mkv", 12, "libx264"), tmp_path / "o.mkv"
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    for packet in (packets[4], packets[8]):
        at = data.index(bytes(packet))
        data[at : at + packet.size] = bytes(packet.size)
    source.write_bytes(data)
    for options in (["--quality", "50"], ["-b", "300k"]):
        assert main(["compress", str(source), str(out), *options]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert [line for line in lines if "damaged packet near" in line and "(and 1 more" in line]
        assert "2 damaged places" in lines[-1]
        with StreamReader(out) as reader:
            assert [coded.pts for coded in reader] == [
                40 * number for number in range(12) if number not in (4, 8)
            ]
    assert main(["decompress", str(out), str(tmp_path / "back.mkv")]) == 0


@pytest.mark.parametrize("options", [["--quality", "50"], ["-b", "300k"], ["-b", "300k", "--passes", "1"]])
def test_a_size_that_changes_is_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reading thread ends by an error in mid-stream: one line that names the place, and nothing is touched."""
    source, out = tmp_path / "joined.h264", tmp_path / "o.mkv"
    parts = [write_noise(tmp_path / f"{width}.h264", 20, "libx264", width) for width in (64, 32)]
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    out.write_bytes(b"precious")
    before = sorted(os.listdir(tmp_path))
    assert main(["compress", str(source), str(out), *options]) == 1
    assert "changes from 64x48 to 32x48 at frame 20" in one_line(capsys)
    assert out.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == before


def test_a_file_that_grows_gives_what_was_there(clip: Path, tmp_path: Path) -> None:
    """Read while it is being written: the whole pictures so far, and a rerun later has more."""
    data, growing, out = clip.read_bytes(), tmp_path / "growing.mkv", tmp_path / "o.mkv"
    counts = []
    for part in (0.4, 0.7, 1.0):
        growing.write_bytes(data[: int(part * len(data))])
        assert main(["compress", str(growing), str(out), "-b", "300k"]) in (0, 1)
        with StreamReader(out) as reader:
            counts.append(len(reader))
            assert [coded.pts for coded in reader] == [40 * number for number in range(len(reader))]
    assert 0 < counts[0] < counts[1] < counts[2] == FRAMES


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("command", ["compress", "decompress", "verify"])
def test_cuda_that_is_not_there(
    command: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coded = tmp_path / "coded.mkv"
    assert main(["compress", str(clip), str(coded), "--codec", "mae", "--quality", "1"]) == 0
    capsys.readouterr()
    source = clip if command == "compress" else coded
    output = [] if command == "verify" else [str(tmp_path / "o.mkv")]
    assert main([command, str(source), *output, "--device", "cuda"]) == 2
    assert "no CUDA device is available here: use --device cpu" in one_line(capsys)
    assert os.listdir(tmp_path) == ["coded.mkv"]
