"""The plugin, installed for real into a fresh folder: every codec, and the pipeline with some of them."""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.codec.registry import open_codec
from maevid.errors import DamagedError, MaevidError, ModelError
from maevid.pipeline.measure import psnr_by_plane
from maevid.stream.packet import Packet
from maevid.video.frame import Frame

PLUGIN = Path(__file__).parents[1]
ROOT = PLUGIN.parents[1]
CODECS = ("avif", "jpeg", "jpeg2000", "svtav1-intra", "vp9-intra", "webp", "x264-intra", "x265-intra")
SIZES = ((1, 1), (2, 2), (17, 33), (98, 66), (131, 97))


@pytest.fixture(autouse=True)
def installed(site: Path) -> Iterator[None]:
    """The installed package, and no other copy of it, for this process."""
    sys.path.insert(0, str(site))
    yield
    sys.path.remove(str(site))


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> FrameCodec:
    """Each codec, opened by name."""
    return open_codec(request.param, CodecOptions())


def frame(width: int, height: int, seed: int = 0) -> Frame:
    """Waves with noise, and chroma whose neighbours differ: it would not survive a detour in full size."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    luma = 120 + 60 * np.sin(columns / 9 + seed) + 40 * np.cos(rows / 7) + rng.normal(0, 3, rows.shape)
    rows, columns = np.mgrid[: (height + 1) // 2, : (width + 1) // 2]
    u, v = 100 + 30 * ((rows + columns) % 2), 130 + 3 * (columns % 20)
    planes = [plane.clip(0, 255).astype(np.uint8) for plane in (luma, u, v)]
    return Frame(*planes, pts=5 + seed, time_base=Fraction(1, 25), duration=1)


def maevid(site: Path, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own that has the plugin installed."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "maevid", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def make_clip(path: Path, count: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(count):
            picture = np.concatenate([p.ravel() for p in frame(160, 120, number).planes]).reshape(180, 160)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))


def test_all_are_listed_by_package(site: Path) -> None:
    done = maevid(site, "codecs")
    listed = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert all(listed[name] == ["maevid-classical", "0.1.0"] for name in CODECS)
    points = [point for point in entry_points(group="maevid.codecs") if point.dist.name == "maevid-classical"]
    assert sorted(point.name for point in points) == sorted(CODECS)
    assert all(str(point.load().__code__.co_filename).startswith(str(site)) for point in points)


def test_more_bits_give_a_better_picture_at_every_size(codec: FrameCodec) -> None:
    first, last = codec.rate_indices[0], codec.rate_indices[-1]
    for width, height in SIZES:
        source = frame(width, height)
        coded = [
            codec.encode(source, index, reconstruct=True) for index in (first, (first + last) // 2, last)
        ]
        for one, index in zip(coded, (first, (first + last) // 2, last), strict=True):
            packet = Packet.from_bytes(one.packet.to_bytes())
            assert (packet.width, packet.height, packet.pts, packet.duration) == (width, height, 5, 1)
            assert packet.rate_index == index
            assert sum(one.parts.values()) == 8 * len(one.packet.to_bytes())
            for plane, again in zip(one.reconstruction, codec.decode(packet), strict=True):
                assert np.array_equal(plane, again)
        sizes = [len(one.packet.to_bytes()) for one in coded]
        assert sizes == sorted(sizes)
        quality = [psnr_by_plane(source.planes, one.reconstruction)["y"] for one in coded]
        if width * height > 1000:
            assert quality[0] + 3 < quality[1] < quality[2] - 3
            # Chroma that alternates from sample to sample comes back: it was never interpolated.
            found = psnr_by_plane(source.planes, coded[-1].reconstruction)
            assert found["y"] > 47
            assert found["u"] > 45
            assert found["v"] > 45


def test_padding_costs_nothing(codec: FrameCodec) -> None:
    half = np.full((9, 17), 140, np.uint8)
    flat = Frame(np.full((17, 33), 90, np.uint8), half, half, 0, Fraction(1, 25))
    coded = codec.encode(flat, codec.rate_indices[len(codec.rate_indices) // 2], reconstruct=True)
    for plane, rebuilt in zip(flat.planes, coded.reconstruction, strict=True):
        assert np.abs(plane.astype(int) - rebuilt).max() <= 1
    noisy = codec.encode(frame(33, 17), coded.packet.rate_index)
    assert len(coded.packet.to_bytes()) < len(noisy.packet.to_bytes()) - 10


def test_lam_rises_strictly_over_consecutive_indices(codec: FrameCodec) -> None:
    assert codec.rate_indices.step == 1
    assert 0 <= codec.rate_indices[0] < codec.rate_indices[-1] <= 255
    lams = [codec.lam(index) for index in codec.rate_indices]
    assert lams[0] > 0
    assert all(low < high for low, high in pairwise(lams))
    for outside in (codec.rate_indices[0] - 1, codec.rate_indices[-1] + 1):
        with pytest.raises(ValueError, match="outside"):
            codec.encode(frame(16, 16), outside)


def test_bytes_depend_on_the_frame_and_the_index_alone(codec: FrameCodec) -> None:
    frames = [frame(66, 50, seed) for seed in range(3)]
    middle = codec.rate_indices[len(codec.rate_indices) // 2]
    indices = [middle, middle + 3, middle]
    alone = [
        open_codec(codec.name, CodecOptions()).encode(f, i).packet.to_bytes()
        for f, i in zip(frames, indices, strict=True)
    ]
    backwards = [
        codec.encode(f, i).packet.to_bytes() for f, i in zip(frames[::-1], indices[::-1], strict=True)
    ]
    batch = codec.encode_batch(frames, indices, reconstruct=True)
    assert backwards[::-1] == alone
    assert [one.packet.to_bytes() for one in batch] == alone
    for one, planes in zip(batch, codec.decode_batch([one.packet for one in batch]), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.reconstruction, planes, strict=True))


def test_damage_is_told_or_shown_and_nothing_else(codec: FrameCodec) -> None:
    packet = codec.encode(frame(66, 50), codec.rate_indices[len(codec.rate_indices) // 2]).packet
    (data, *others) = packet.parts
    rng = random.Random(7)
    broken = [b"", data[:1], data[: len(data) // 3], bytes(len(data)), rng.randbytes(len(data)), data + data]
    for _ in range(30):
        flipped = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        broken.append(bytes(flipped))
    told = 0
    for payload in broken:
        try:
            planes = codec.decode(replace_parts(packet, (payload, *others)))
        except DamagedError:
            told += 1
        else:
            assert [plane.shape for plane in planes] == [(50, 66), (25, 33), (25, 33)]
    assert told >= 3
    with pytest.raises(DamagedError):
        codec.decode(replace_parts(packet, (*packet.parts, b"more")))
    with pytest.raises(DamagedError):
        codec.decode(Packet(packet.model, packet.rate_index, 300, 50, 0, 0, packet.parts))
    with pytest.raises(ModelError, match="maevid-classical"):
        codec.decode(Packet(b"none", packet.rate_index, 66, 50, 0, 0, packet.parts))


def replace_parts(packet: Packet, parts: tuple[bytes, ...]) -> Packet:
    return Packet(packet.model, packet.rate_index, packet.width, packet.height, 0, 0, parts)


def test_payloads_are_ordinary_files(tmp_path: Path) -> None:
    suffixes = {"jpeg": "jpg", "jpeg2000": "j2k", "webp": "webp", "avif": "avif", "x264-intra": "264"}
    for name, suffix in suffixes.items():
        codec = open_codec(name, CodecOptions())
        coded = codec.encode(frame(98, 66), codec.rate_indices[-1] * 3 // 4, reconstruct=True)
        path = tmp_path / f"picture.{suffix}"
        path.write_bytes(coded.packet.parts[0])
        with av.open(str(path)) as container:
            picture = next(container.decode(video=0))
        assert (picture.width, picture.height) == (98, 66)
        luma = np.frombuffer(memoryview(picture.planes[0]), np.uint8).reshape(66, -1)[:, :98]
        assert psnr_by_plane((luma,) * 3, (coded.reconstruction[0],) * 3)["y"] > 45


@pytest.mark.parametrize(("width", "height"), [*SIZES, (300, 40)])
def test_openjpeg_itself_reads_the_joined_planes(width: int, height: int) -> None:
    codec = open_codec("jpeg2000", CodecOptions())
    coded = codec.encode(frame(width, height), 90, reconstruct=True)
    with Image.open(io.BytesIO(coded.packet.parts[0])) as picture:
        assert picture.size == (width, height)
        # Luma, which a conversion to RGB keeps but for rounding and clipping.
        luma = np.asarray(picture.convert("YCbCr"))[..., 0].astype(int)
    assert np.median(np.abs(luma - coded.reconstruction[0])) <= 2


def test_x264_says_nothing_of_itself() -> None:
    codec = open_codec("x264-intra", CodecOptions())
    (data,) = codec.encode(frame(98, 66), 20).packet.parts
    assert b"x264" not in data
    assert [unit[0] & 31 for unit in re.split(b"\x00\x00\x01", data)[1:]] == [7, 8, 5]


def test_a_picture_too_large_for_webp_is_refused_in_one_line() -> None:
    wide = Frame(
        np.zeros((2, 16500), np.uint8), *[np.zeros((1, 8250), np.uint8)] * 2, pts=0, time_base=Fraction(1)
    )
    with pytest.raises(MaevidError, match="webp cannot code a 16500x2 picture"):
        open_codec("webp", CodecOptions()).encode(wide, 50)


@pytest.mark.parametrize("name", ["jpeg", "x264-intra"])
def test_the_rate_controller_meets_a_bitrate_and_the_file_opens_again(
    site: Path, tmp_path: Path, name: str
) -> None:
    make_clip(tmp_path / "in.mp4", 12)
    done = maevid(site, "compress", "in.mp4", "out.mkv", "--codec", name, "-b", "600k", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    bits = 8 * (tmp_path / "out.mkv").stat().st_size / (12 / 25)
    assert bits == pytest.approx(600_000, rel=0.15)
    back = maevid(site, "decompress", "out.mkv", "back.mkv", folder=tmp_path)
    assert back.returncode == 0, back.stderr
    with av.open(str(tmp_path / "in.mp4")) as first, av.open(str(tmp_path / "back.mkv")) as second:
        pairs = list(zip(first.decode(video=0), second.decode(video=0), strict=True))
    assert len(pairs) == 12
    for source, coded in pairs:
        a, b = (p.to_ndarray(format="gray").astype(float) for p in (source, coded))
        assert 10 * np.log10(255**2 / np.mean((a - b) ** 2)) > 30


def test_the_readme_example_runs_as_it_stands(site: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"```sh\n(.*?)```", (PLUGIN / "README.md").read_text(), re.DOTALL)
    make_clip(tmp_path / "in.mp4", 8)
    for line in example.splitlines():
        done = maevid(site, *line.split()[1:], folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Svt" not in done.stderr
    with av.open(str(tmp_path / "back.mkv")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8


SVT_CHECK = """
import os, threading
from fractions import Fraction
import numpy as np
from maevid.codec.interface import CodecOptions
from maevid.codec.registry import open_codec
from maevid.video.frame import Frame

seen, done = set(), threading.Event()

def watch():
    while not done.wait(0.001):
        for task in os.listdir("/proc/self/task"):
            try:
                seen.add(os.sched_getscheduler(int(task)))
            except OSError:
                pass

codec = open_codec("{name}", CodecOptions())
watcher = threading.Thread(target=watch)
watcher.start()
luma = (np.arange(320 * 240) % 251).astype(np.uint8).reshape(240, 320)
frame = Frame(luma, luma[:120, :160], luma[120:, :160], 0, Fraction(1, 25))
codec.encode_batch([frame] * 4, [30] * 4)
codec.encode(frame, 30)
done.set()
watcher.join()
print(sorted(seen) == [os.SCHED_OTHER], len(os.listdir("/proc/self/task")) < 9)
"""


@pytest.mark.parametrize("name", ["svtav1-intra", "avif"])
def test_svt_av1_neither_talks_nor_takes_the_machine(site: Path, name: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}
    command = [sys.executable, "-c", SVT_CHECK.replace("{name}", name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "True True\n", done.stderr
    assert done.stderr == ""
