"""A writer that is interrupted or killed, as a real process: nothing of it stays under the output's name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maevid.stream.reader import StreamReader

WRITER = """
import signal, sys, time
# Whoever runs the tests in the background of a shell has this signal ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[2])
from streamfiles import MODEL, WEIGHTS, make_packets, video_info
from maevid.stream.writer import StreamWriter

packets = make_packets(400, size=3000)
with StreamWriter(sys.argv[1], video_info(), codec="mae", model=MODEL, weights=WEIGHTS) as writer:
    for number, packet in enumerate(packets):
        writer.write(packet)
        if number == 20:
            print("going", flush=True)
        if number >= 20:
            time.sleep(float(sys.argv[3]))
print("done", flush=True)
"""


def start(path: Path, pause: float) -> subprocess.Popen[str]:
    """A process that writes 400 packets and waits ``pause`` seconds after each; returned in mid-file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent), str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    return process


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("existing", [False, True])
def test_interrupt_leaves_no_file_and_keeps_an_existing_one(
    tmp_path: Path, delay: float, existing: bool
) -> None:
    path = tmp_path / "out.mkv"
    if existing:
        path.write_bytes(b"precious")
    process = start(path, 0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode in {-signal.SIGINT, 130, 1}
    assert "KeyboardInterrupt" in error
    assert os.listdir(tmp_path) == (["out.mkv"] if existing else [])
    assert not existing or path.read_bytes() == b"precious"


def test_interrupts_without_a_pause_hit_the_muxer_itself(tmp_path: Path) -> None:
    for delay in (0.0, 0.002, 0.006):
        process = start(tmp_path / "out.mkv", 0.0)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
        if process.returncode == 0:
            assert output == "done\n"
            assert len(StreamReader(tmp_path / "out.mkv")) == 400
            (tmp_path / "out.mkv").unlink()
        assert os.listdir(tmp_path) == []


def test_kill_leaves_nothing_under_the_name_and_a_readable_part(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    process = start(path, 0.005)
    time.sleep(0.1)
    process.kill()
    process.communicate(timeout=20)
    assert not path.exists()
    (part,) = tmp_path.iterdir()
    with StreamReader(part) as reader:
        assert len(reader) >= 20
        assert all(coded.error is None for coded in reader)
    process = start(path, 0.0)
    process.communicate(timeout=20)
    assert len(StreamReader(path)) == 400
