"""The commands as a user runs them: real processes, real files, exit codes and what is printed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from maevid.stream.reader import StreamReader
from maevid.video.reader import VideoReader

MAEVID = [sys.executable, "-m", "maevid"]


def maevid(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MAEVID, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False, **options
    )


def audio_payloads(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


@pytest.fixture(scope="module")
def coded(
    bunny: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The main job of the README: the clip at 600 kbit/s."""
    out = tmp_path_factory.mktemp("coded") / "out.mkv"
    return out, maevid("compress", bunny, out, "-b", "600k")


def test_compress_hits_the_bitrate(coded, bunny: Path) -> None:
    out, done = coded
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "quiet when there is no terminal"
    with StreamReader(out) as reader, VideoReader(bunny) as source:
        frames = list(source)
        assert [c.packet.pts for c in reader] == [f.pts for f in frames]
        bits = sum(8 * c.size for c in reader)
        duration = float((frames[-1].pts - frames[0].pts + frames[-1].duration) * source.info.time_base)
    assert bits / duration == pytest.approx(600_000, rel=0.01)
    assert "target 600" in done.stdout.splitlines()[-1]
    assert "error" in done.stdout.splitlines()[-1]
    assert audio_payloads(out) == audio_payloads(bunny)


def test_the_same_command_gives_the_same_bytes(coded, bunny: Path, tmp_path: Path) -> None:
    """Run again with one thread: not a bit differs."""
    again = tmp_path / "again.mkv"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert maevid("compress", bunny, again, "-b", "600k", env=environment).returncode == 0
    assert again.read_bytes() == coded[0].read_bytes()


def test_decompress_to_lossless_matroska(coded, bunny: Path, tmp_path: Path) -> None:
    back = tmp_path / "back.mkv"
    done = maevid("decompress", coded[0], back)
    assert done.returncode == 0, done.stderr
    with VideoReader(bunny) as source, VideoReader(back) as result:
        before, after = list(source), list(result)
        assert result.info.codec == "ffv1"
    assert len(before) == len(after) == 60
    assert [round(f.seconds * 1000) for f in before] == [round(f.seconds * 1000) for f in after]
    assert all(a.y.shape == b.y.shape for a, b in zip(before, after, strict=True))
    error = np.mean([np.square(a.y.astype(int) - b.y).mean() for a, b in zip(before, after, strict=True)])
    assert 10 * np.log10(255**2 / error) > 30
    assert audio_payloads(back) == audio_payloads(bunny)


def test_decompress_to_mp4_and_to_a_pipe(coded, tmp_path: Path) -> None:
    mp4 = tmp_path / "back.mp4"
    assert maevid("decompress", coded[0], mp4).returncode == 0
    with av.open(str(mp4)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == 60
    piped = subprocess.run(
        [*MAEVID, "decompress", str(coded[0]), "-"], capture_output=True, timeout=300, check=False
    )
    assert piped.returncode == 0
    assert piped.stdout.startswith(b"YUV4MPEG2 W320 H180 ")
    assert piped.stdout.count(b"FRAME\n") >= 60


def test_a_reader_that_leaves_ends_the_job_quietly(coded) -> None:
    job = subprocess.Popen(
        [*MAEVID, "decompress", str(coded[0]), "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert job.stdout is not None
    job.stdout.read(1000)
    job.stdout.close()
    assert job.stderr is not None
    message = job.stderr.read().decode()
    assert job.wait(60) in (0, 128 + signal.SIGPIPE)
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: p / "missing.mp4", "missing.mp4"),
        (lambda p: p, "folder"),
        ("text_file", "note.dat"),
        ("sound_only", "no video"),
    ],
    ids=["missing", "folder", "text", "sound only"],
)
def test_bad_input_gets_one_line_and_leaves_nothing(make, expected: str, tmp_path: Path) -> None:
    source = globals()[make](tmp_path) if isinstance(make, str) else make(tmp_path)
    out = tmp_path / "out.mkv"
    out.write_bytes(b"precious")
    done = maevid("compress", source, out, "-b", "600k")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr
    assert out.read_bytes() == b"precious"
    assert not [f for f in os.listdir(tmp_path) if ".part" in f]


@pytest.mark.parametrize("effort", ["-1", "101"])
def test_an_effort_out_of_range_is_refused(effort: str, hall: Path, tmp_path: Path) -> None:
    done = maevid("compress", hall, tmp_path / "out.mkv", "--effort", effort)
    assert done.returncode == 2
    assert "(--effort) goes from 0 to 100" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_more_effort_makes_a_smaller_file_of_the_same_quality(hall: Path, tmp_path: Path) -> None:
    sums = []
    for effort in ("0", "3"):
        out = tmp_path / f"{effort}.mkv"
        done = maevid(
            "compress", hall, out, "--codec", "mae-fast", "--lam", "0.02", "--json", "--effort", effort
        )
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout.splitlines()[-1])
        sums.append((summary["video_bits"], summary["psnr_y"]))
        assert maevid("verify", out).returncode == 0
    (plain, plain_psnr), (mended, mended_psnr) = sums
    # A decibel is worth 14 % of the bits or more.
    assert mended * 1.14 ** (plain_psnr - mended_psnr) < 0.99 * plain


def text_file(folder: Path) -> Path:
    path = folder / "note.dat"
    path.write_text("no video at all\n" * 100)
    return path


def sound_only(folder: Path) -> Path:
    path = folder / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    return path


def test_wrong_usage_is_exit_code_2(bunny: Path, tmp_path: Path) -> None:
    for arguments in (
        ("compress", bunny, tmp_path / "o.mkv", "-b", "lots"),
        ("compress", bunny, tmp_path / "o.mp4"),
        ("compress", bunny, bunny),
        ("compress", bunny, tmp_path / "o.mkv", "--codec", "none-such"),
        ("compress", bunny, tmp_path / "o.mkv", "-b", "1M", "--quality", "3"),
        ("compress", "-", tmp_path / "o.mkv", "--size", "1M"),
    ):
        done = maevid(*arguments)
        assert done.returncode == 2, arguments
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert os.listdir(tmp_path) == []


def test_a_target_out_of_reach_names_what_can_be_had(hall: Path, tmp_path: Path) -> None:
    done = maevid("compress", hall, tmp_path / "o.mkv", "-b", "900M")
    assert done.returncode == 1
    assert "/s" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_ctrl_c_keeps_an_existing_output(bunny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    out.write_bytes(b"precious")
    job = subprocess.Popen(
        [*MAEVID, "compress", str(bunny), str(out), "--quality", "90", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    job.stdout.readline()
    job.send_signal(signal.SIGINT)
    _, message = job.communicate(timeout=60)
    assert job.returncode == 128 + signal.SIGINT
    assert len(message.splitlines()) == 1
    assert "interrupted" in message
    assert "--resume" in message
    assert out.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == [".out.mkv.journal", "out.mkv"]


def test_kill_leaves_nothing_under_the_final_name(bunny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    job = subprocess.Popen(
        [*MAEVID, "compress", str(bunny), str(out), "--quality", "90", "--json"], stdout=subprocess.PIPE
    )
    assert job.stdout is not None
    job.stdout.readline()
    job.kill()
    job.wait(30)
    assert not out.exists()


def test_json_lines_tell_every_frame(hall: Path, tmp_path: Path) -> None:
    done = maevid("compress", hall, tmp_path / "o.mkv", "--quality", "40", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["frame"] * 12 + ["summary"]
    assert [line["index"] for line in lines[:-1]] == list(range(12))
    assert all(line["psnr"]["y"] > 25 for line in lines[:-1])
    assert sum(line["bits"] for line in lines[:-1]) == lines[-1]["video_bits"]


def test_a_pipe_is_compressed_in_one_pass(bunny: Path, tmp_path: Path) -> None:
    with bunny.open("rb") as source:
        out = tmp_path / "o.mkv"
        remuxed = subprocess.run(
            [*MAEVID, "compress", "-", str(out), "-b", "600k"], stdin=source, capture_output=True, check=False
        )
    assert remuxed.returncode in (0, 1)
    if remuxed.returncode:
        assert len(remuxed.stderr.splitlines()) == 1


def test_info_and_verify_and_codecs(coded, tmp_path: Path) -> None:
    info = maevid("info", coded[0])
    assert info.returncode == 0
    assert "320" in info.stdout
    facts = json.loads(maevid("info", coded[0], "--json").stdout)
    assert facts["frames"] == 60
    assert maevid("verify", coded[0]).returncode == 0
    assert "mae" in maevid("codecs").stdout

    damaged = tmp_path / "damaged.mkv"
    with StreamReader(coded[0]) as reader:
        hit = [reader.coded(i) for i in (7, 31)]
    data = bytearray(coded[0].read_bytes())
    for coded_frame in hit:
        data[coded_frame.offset + coded_frame.size // 2] ^= 0x10
    damaged.write_bytes(data)
    verified = maevid("verify", damaged)
    assert verified.returncode == 1
    assert "7" in verified.stdout
    assert "31" in verified.stdout

    back = tmp_path / "back.mkv"
    done = maevid("decompress", damaged, back)
    assert done.returncode == 1
    assert "7, 31" in done.stderr
    with VideoReader(back) as reader:
        frames = list(reader)
    assert len(frames) == 60
    assert np.array_equal(frames[7].y, frames[6].y)
    strict = maevid("decompress", damaged, tmp_path / "strict.mkv", "--strict")
    assert strict.returncode == 1
    assert not (tmp_path / "strict.mkv").exists()


@pytest.mark.parametrize("chosen", [None, "ACTIVE"])
def test_waiting_threads_leave_the_cores_to_others(chosen: str | None) -> None:
    """Set before OpenMP is loaded, and only where the user has not."""
    code = (
        "import os, sys; from maevid.cli import main; main(['codecs']); print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if chosen is not None:
        environment["OMP_WAIT_POLICY"] = chosen
    command = [sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == (chosen or "PASSIVE")


def test_headless_imports_stay_light() -> None:
    code = (
        "import sys, maevid, maevid.cli; print([m for m in ('torch', 'textual', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    began = time.monotonic()
    assert maevid("codecs").returncode == 0
    assert time.monotonic() - began < 10


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs the ffmpeg command")
def test_ffmpeg_remuxes_and_maevid_reads_it(coded, tmp_path: Path) -> None:
    remuxed = tmp_path / "x.mkv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", coded[0], "-map", "0", "-c", "copy", "-copy_unknown", remuxed],
        check=True,
    )
    assert maevid("verify", remuxed).returncode == 0
    with StreamReader(coded[0]) as a, StreamReader(remuxed) as b:
        assert [c.packet for c in a] == [c.packet for c in b]
