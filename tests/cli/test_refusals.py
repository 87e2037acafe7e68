"""Files that a command must not believe: other weights, pickles, forged sizes, damage at the start and everywhere."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from maevid.cli import main
from maevid.errors import DamagedError
from maevid.stream.packet import MAX_PIXELS, Packet
from maevid.stream.reader import StreamReader
from maevid.stream.writer import StreamWriter
from maevid.video.frame import VideoInfo
from maevid.video.reader import VideoReader

GOLDEN = Path(__file__).parents[1] / "golden" / "mae"
CLIP, WEIGHTS = GOLDEN / "clip.mkv", GOLDEN / "golden.safetensors"
MODEL = json.loads((GOLDEN / "facts.json").read_text())["model"]
MEASURED = """
import sys
from maevid.cli import main
code = main(sys.argv[1:])
# Not ru_maxrss, which begins with that of the process that started this one.
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024, file=sys.stderr)
sys.exit(code)
"""


def measured(*arguments: object) -> tuple[int, str, list[str], int]:
    """Exit code, standard output, lines of standard error and peak memory in MiB of a command in its own process."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    *lines, memory = done.stderr.splitlines()
    return done.returncode, done.stdout, lines, int(memory)


def golden_packets() -> list[Packet]:
    with StreamReader(CLIP) as reader:
        return [coded.unwrap() for coded in reader]


def write(path: Path, packets: list[Packet], width: int, height: int) -> Path:
    info = VideoInfo(width=width, height=height, time_base=Fraction(1, 25), average_rate=Fraction(25))
    with StreamWriter(path, info, codec="mae", model=bytes.fromhex(MODEL[:8]), weights=MODEL) as writer:
        for packet in packets:
            writer.write(packet)
    return path


def damaged(path: Path, numbers: range | list[int]) -> Path:
    data = bytearray(CLIP.read_bytes())
    with StreamReader(CLIP) as reader:
        for number in numbers:
            coded = reader.coded(number)
            data[coded.offset + coded.size - 3] ^= 0x20
    path.write_bytes(data)
    return path


def test_a_file_of_other_weights_says_which_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, lines, _ = measured("decompress", CLIP, tmp_path / "o.mkv")
    assert code == 1
    assert main(["verify", str(CLIP)]) == 1
    for message in (*lines, capsys.readouterr().err.rstrip()):
        assert len(message.splitlines()) == 1
        assert MODEL[:16] in message
        assert "--weights" in message
    assert len(lines) == 1
    assert os.listdir(tmp_path) == []
    assert main(["verify", str(CLIP), "--weights", str(WEIGHTS)]) == 0


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.path, "unpickled")


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "model.pkl"])
def test_weights_are_never_unpickled(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trap, weights = tmp_path / "trap", tmp_path / name
    if name.endswith(".pt"):
        torch.save({"state": Bomb(trap)}, weights)
    else:
        weights.write_bytes(pickle.dumps(Bomb(trap)))
    with pytest.raises(FileNotFoundError):
        trap.read_text()
    assert main(["decompress", str(CLIP), str(tmp_path / "o.mkv"), "--weights", str(weights)]) == 1
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1
    assert f"{name}: not a usable model file" in message
    assert sorted(os.listdir(tmp_path)) == [name]


@pytest.mark.parametrize(
    ("side", "in_packets", "in_file", "code"),
    [(65535, True, True, 1), (65535, True, False, 1), (65535, False, True, 0), (8192, True, True, 1)],
    ids=["everywhere", "in the packets", "in the track", "within the limit"],
)
def test_forged_sizes_take_no_memory(
    side: int, in_packets: bool, in_file: bool, code: int, tmp_path: Path
) -> None:
    """1 GiB at most, Python, PyTorch and the model included, measured in a fresh process."""
    packets = golden_packets()
    if in_packets:
        packets = [replace(packet, width=side, height=side) for packet in packets]
    forged = write(tmp_path / "f.mkv", packets, *((300, 300) if in_file else (64, 48)))
    if in_file:
        # No writer makes such a header: the two elements are set in its bytes.
        data = forged.read_bytes()
        pixels = b"\xb0\x82%b", b"\xba\x82%b"
        for element in pixels:
            old, new = (element % number.to_bytes(2, "big") for number in (300, side))
            assert old in data
            data = data.replace(old, new)
        forged.write_bytes(data)
    got, _, lines, memory = measured("decompress", forged, tmp_path / "o.mkv", "--weights", WEIGHTS)
    assert got == code
    assert memory < 1024
    assert bool(lines) == bool(code)
    assert (tmp_path / "o.mkv").exists() == (code == 0)


def test_impossible_headers_are_refused_at_once() -> None:
    head = b"MV\x01\x01" + bytes(5)
    for rest in (
        b"\xa0\x8d\x06" * 2 + bytes(20),  # 100,000 x 100,000
        b"\xff\xff\x03" * 2 + bytes(20),  # 65535 x 65535
        b"\x10\x10\x00\x00" + b"\xff" * 9 + b"\x01" + bytes(20),  # 2**64 - 1 parts
        b"\x10\x10\x00\x00\x01" + b"\xff" * 9 + b"\x01" + bytes(20),  # a part of 2**64 - 1 bytes
    ):
        with pytest.raises(DamagedError):
            Packet.from_bytes(head + rest)


def test_the_limit_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str], hall: Path) -> None:
    back = str(tmp_path / "o.mkv")
    given = ["decompress", str(CLIP), back, "--weights", str(WEIGHTS)]
    assert main([*given, "--max-pixels", str(64 * 48 - 1)]) == 1
    assert "over the limit of 3071 pixels" in capsys.readouterr().err
    assert main([*given, "--max-pixels", str(64 * 48)]) == 0
    assert main(["verify", str(CLIP), "--weights", str(WEIGHTS), "--max-pixels", "3071"]) == 1
    assert main(["compress", str(hall), back, "--max-pixels", "1000", "--weights", str(WEIGHTS)]) == 1
    assert "320x180; the limit is 1000 pixels" in capsys.readouterr().err
    assert MAX_PIXELS > 2 * 7680 * 4320


@pytest.mark.parametrize(("bad", "shown"), [([0], [1]), ([0, 1, 4], [2, 2, 3]), ([5], [4]), ([2, 3], [1, 1])])
def test_a_damaged_frame_shows_the_picture_before_it(
    bad: list[int], shown: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the start it shows the first good one; all others stay what they are."""
    back, whole = tmp_path / "o.mkv", tmp_path / "whole.mkv"
    path = damaged(tmp_path / "d.mkv", bad)
    assert main(["decompress", str(CLIP), str(whole), "--weights", str(WEIGHTS)]) == 0
    capsys.readouterr()
    assert main(["decompress", str(path), str(back), "--weights", str(WEIGHTS)]) == 1
    assert ", ".join(map(str, bad)) in capsys.readouterr().err.splitlines()[-1]
    with VideoReader(whole) as a, VideoReader(back) as b:
        true, got = list(a), list(b)
    assert len(got) == len(true) == 6
    assert [f.pts for f in got] == [f.pts for f in true]
    for number in range(6):
        source = shown[bad.index(number)] if number in bad else number
        assert np.array_equal(got[number].y, true[source].y), number
    assert main(["verify", str(path), "--weights", str(WEIGHTS)]) == 1
    assert ", ".join(map(str, bad)) in capsys.readouterr().err
    assert (
        main(["decompress", str(path), str(tmp_path / "s.mkv"), "--strict", "--weights", str(WEIGHTS)]) == 1
    )
    assert f"frame {bad[0]}" in capsys.readouterr().err
    assert not (tmp_path / "s.mkv").exists()


def test_nothing_is_written_when_every_frame_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = damaged(tmp_path / "d.mkv", range(6)), tmp_path / "o.mkv"
    out.write_bytes(b"precious")
    assert main(["decompress", str(path), str(out), "--weights", str(WEIGHTS)]) == 1
    assert "every frame is damaged" in capsys.readouterr().err.splitlines()[-1]
    assert out.read_bytes() == b"precious"
    assert main(["verify", str(path), "--weights", str(WEIGHTS)]) == 1


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.99])
def test_a_cut_file_opens_up_to_its_last_whole_packet(part: float, tmp_path: Path) -> None:
    data = CLIP.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: int(part * len(data))])
    with StreamReader(CLIP) as reader:
        whole = sum(coded.offset + coded.size <= int(part * len(data)) for coded in reader)
    code = main(["decompress", str(cut), str(tmp_path / "o.mkv"), "--weights", str(WEIGHTS)])
    if whole == 0:
        assert code == 1
        return
    with VideoReader(tmp_path / "o.mkv") as reader:
        assert len(list(reader)) == whole
