"""The codec of docs/plugins.md: its files taken from the page, installed by pip, and used as the page says."""

from __future__ import annotations

import importlib
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import maevid
from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.codec.registry import open_codec
from maevid.errors import DamagedError
from maevid.pipeline.measure import psnr_by_plane
from maevid.stream.info import read_facts
from maevid.stream.packet import Packet
from maevid.video.frame import Frame

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def box(kind: str) -> str:
    """The page's only box of a kind."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)
    return found


@pytest.fixture(scope="module")
def used(hall: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's commands have run, with the package in its folder ``site``."""
    folder = tmp_path_factory.mktemp("delta")
    (folder / "pyproject.toml").write_text(box("toml"))
    (folder / "maevid_delta.py").write_text(box("python"))
    shutil.copy(hall, folder / "in.mp4")
    roots = [str(folder / "site"), str(Path(maevid.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    first, *commands = box("sh").splitlines()
    assert first == "pip install ."
    install = "pip install -q --no-deps --no-build-isolation --target site ."
    for line in (install, *commands):
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(line)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        if line == "maevid codecs":
            assert re.search(r"^delta +maevid-delta 0\.1\.0$", done.stdout, re.M)
        # The source must not be what is imported.
        (folder / "maevid_delta.py").unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="module")
def delta(used: Path) -> Iterator[FrameCodec]:
    """The installed codec, opened by name through its entry point."""
    sys.path.insert(0, str(used / "site"))
    codec = open_codec("delta", CodecOptions())
    assert Path(importlib.import_module("maevid_delta").__file__ or "").is_relative_to(used / "site")
    yield codec
    sys.path.remove(str(used / "site"))


def test_a_clip_there_and_back(used, delta, hall_frames):
    facts = read_facts(used / "out.mkv")
    assert (facts.codec, facts.frames) == ("delta", 12)
    assert facts.bit_rate == pytest.approx(1_000_000, rel=0.01)
    with maevid.open(used / "out.mkv", pixels="yuv") as video:
        for number, frame in enumerate(hall_frames):
            assert psnr_by_plane(frame.planes, video[number])["y"] > 28
    assert (used / "back.mkv").exists()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 33), (131, 97)])
def test_what_the_page_demands(delta, width, height):
    rng = np.random.default_rng(width)
    half = (height + 1) // 2, (width + 1) // 2
    planes = [rng.integers(0, 256, shape, np.uint8) for shape in ((height, width), half, half)]
    frame = Frame(*planes, 3, Fraction(1, 25), 1)
    lams = [delta.lam(index) for index in delta.rate_indices]
    assert all(low < high for low, high in pairwise(lams))
    for index in (0, 17, 31):
        first, second = (delta.encode(frame, index, reconstruct=True) for _ in range(2))
        assert first.packet.to_bytes() == second.packet.to_bytes()
        decoded = delta.decode(Packet.from_bytes(first.packet.to_bytes()))
        assert first.reconstruction is not None
        for again, told, source in zip(decoded, first.reconstruction, planes, strict=True):
            assert (again == told).all()
            assert np.abs(again.astype(int) - source).max() <= delta.step(index) / 2 + 1
    with pytest.raises(ValueError, match="32"):
        delta.encode(frame, 32)


def test_what_the_page_leaves_out_is_done_by_coding_for_real(delta, hall_frames):
    frames, indices = hall_frames[:2], [3, 20]
    packets = [encoded.packet for encoded in delta.encode_batch(frames, indices)]
    assert packets == [delta.encode(f, i).packet for f, i in zip(frames, indices, strict=True)]
    sizes = [[8 * len(delta.encode(f, i).packet.to_bytes()) for i in indices] for f in frames]
    assert delta.estimate_bits(frames, indices).tolist() == sizes
    for planes, packet in zip(delta.decode_batch(packets), packets, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes, delta.decode(packet), strict=True))
    assert delta.block_bits(packets[0]) is None
    assert delta.lanes(10**6) == 1
    delta.check(packets[0])
    with pytest.raises(DamagedError):
        delta.check(replace(packets[0], parts=packets[0].parts[:2]))


def test_damage_is_told_as_damage(delta, hall_frames):
    packet = delta.encode(hall_frames[0], 10).packet
    rng = random.Random(5)
    told = 0
    for _ in range(60):
        part = bytearray(packet.parts[1])
        part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
        for parts in (
            (packet.parts[0], bytes(part), packet.parts[2]),
            (packet.parts[0], packet.parts[1][: rng.randrange(len(part))], packet.parts[2]),
        ):
            try:
                delta.decode(replace(packet, parts=parts))
            except DamagedError:
                told += 1
    assert told > 60, "all cut parts at least"
    with pytest.raises(DamagedError, match="no packet of the codec delta"):
        delta.decode(replace(packet, parts=packet.parts[:2]))
