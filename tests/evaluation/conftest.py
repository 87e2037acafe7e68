"""A tiny real codec, installed as a plugin, and small pictures and clips to compare it on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

TOY = '''
"""Rounds samples to multiples of a step and compresses them with zlib."""
import hashlib, os, time, zlib
import numpy as np
from maevid.codec.interface import Encoded, FrameCodec
from maevid.errors import DamagedError
from maevid.stream.packet import Packet

class Toy(FrameCodec):
    rate_indices = range(48)

    def __init__(self, name, level):
        self.name, self.level = name, level
        self.sha256 = hashlib.sha256(name.encode()).hexdigest()
        self.identity = bytes.fromhex(self.sha256[:8])
        self.description = f"zlib level {level}"

    def lam(self, rate_index):
        return 1 / self.step(rate_index) ** 2

    def step(self, rate_index):
        return 2 ** ((47 - rate_index) / 8 + 1)

    def encode(self, frame, rate_index, *, reconstruct=False):
        if self.name == "toy-picky" and frame.width > 200:
            raise RuntimeError("too wide for me")
        if "TOY_LOG" in os.environ:
            with open(os.environ["TOY_LOG"], "a") as log:
                log.write("x")
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        step = self.step(rate_index)
        levels = [np.floor(p / step + 0.5).astype(np.uint8).tobytes() for p in frame.planes]
        packet = Packet(self.identity, rate_index, frame.width, frame.height, frame.pts, frame.duration,
                        (zlib.compress(b"".join(levels), self.level),))
        return Encoded(packet, self.decode(packet) if reconstruct else None)

    def decode(self, packet):
        levels = np.frombuffer(zlib.decompress(packet.parts[0]), np.uint8)
        samples = (levels * self.step(packet.rate_index) + 0.5).clip(0, 255).astype(np.uint8)
        h, w = packet.height, packet.width
        c, d = (h + 1) // 2, (w + 1) // 2
        y, u, v = np.split(samples, [h * w, h * w + c * d])
        return y.reshape(h, w), u.reshape(c, d), v.reshape(c, d)

def open_best(options): return Toy("toy-best", 9)
def open_fast(options): return Toy("toy-fast", 1 + options.effort)
def open_picky(options): return Toy("toy-picky", 6)
'''
ENTRY_POINTS = """[maevid.codecs]
toy-best = toy_codecs:open_best
toy-fast = toy_codecs:open_fast
toy-picky = toy_codecs:open_picky
"""
PICTURE_SIZES = {"a.png": (192, 176), "b.png": (181, 171), "wide.png": (240, 64)}


def smooth_rgb(width: int, height: int, seed: int) -> np.ndarray:
    """A picture of waves, an edge and a little noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(columns / (9 + 2 * k) + seed) + np.cos(rows / (7 + k)) for k in range(3)]
    picture = 128 + 45 * np.stack(waves, -1) + 30 * (columns > width // 2)[..., None]
    return (picture + rng.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three small PNG pictures, one of them too low for MS-SSIM."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, (name, (width, height)) in enumerate(PICTURE_SIZES.items()):
        Image.fromarray(smooth_rgb(width, height, seed)).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lossless clip of 20 frames of 192x176; frame n has a luma of about 5 + 12·n all over."""
    path = tmp_path_factory.mktemp("clips") / "steps.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 176, "yuv420p"
        for number in range(20):
            planes = np.full((176 * 3 // 2, 192), 128, np.uint8)
            planes[:176] = 5 + 12 * number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that, on PYTHONPATH, makes the toy codecs installed."""
    site = tmp_path_factory.mktemp("site")
    (site / "toy_codecs.py").write_text(TOY)
    information = site / "toy_codecs-1.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-codecs\nVersion: 1.5\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    return site


@pytest.fixture
def toys(toy_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy codecs, installed for this process."""
    monkeypatch.syspath_prepend(toy_site)


class Evaluate:
    """Runs ``maevid evaluate`` as a process of its own that sees the toy codecs."""

    def __init__(self, site: Path) -> None:
        root = Path(__file__).parents[2]
        self.environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{site}", "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start it."""
        command = [sys.executable, "-m", "maevid", "evaluate", *map(str, arguments)]
        return subprocess.Popen(
            command,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object, **environment: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def evaluate(toy_site: Path) -> Evaluate:
    """The command."""
    return Evaluate(toy_site)
