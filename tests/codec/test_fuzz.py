"""Damaged packets and files: always a clean error or a correct picture, never a crash, a hang or much memory.

MAEVID_FUZZ=20000 sets the number of random mutations (some hundreds by default); MAEVID_FUZZ_SEED another start.
What the fuzzer finds is written to tests/codec/seeds, and stays there. The first are packets, CRC and all, with values
that no encoder writes.
"""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mutations import mutate, reforged

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec
from maevid.errors import MaevidError
from maevid.model.checkpoint import Checkpoint
from maevid.pipeline.decompress import DecompressOptions, decompress
from maevid.stream.packet import MAGIC, Packet
from maevid.stream.reader import StreamReader
from maevid.stream.verify import verify
from maevid.video.frame import Frame

ROUNDS = int(os.environ.get("MAEVID_FUZZ", "600"))
SEED = int(os.environ.get("MAEVID_FUZZ_SEED", "0"))
SEEDS = Path(__file__).parent / "seeds"
GOLDEN = Path(__file__).parents[1] / "golden" / "mae"
SLOWEST = 2.0
MOST_MEMORY = 2**30


@pytest.fixture(scope="module")
def golden() -> MaeCodec:
    return MaeCodec(Checkpoint.load(GOLDEN / "golden.safetensors"), CodecOptions("cpu", "float32"))


@pytest.fixture(scope="module")
def small(mae: MaeCodec, hall_frames: list[Frame]) -> bytes:
    """A 32×32 packet of the shipped model."""
    frame = hall_frames[0]
    part = Frame(frame.y[60:92, 60:92], frame.u[30:46, 30:46], frame.v[30:46, 30:46], 7, frame.time_base, 1)
    return mae.encode(part, 110).packet.to_bytes()


class Watch:
    """Runs one try after another; keeps what a try must not do."""

    def __init__(self, golden: MaeCodec) -> None:
        self.good, self.refused, self.slowest = 0, 0, 0.0
        self._golden = golden
        self._memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def __call__(self, kind: str, data: bytes, run: Callable[[], None]) -> None:
        began = time.perf_counter()
        try:
            run()
            self.good += 1
        except MaevidError as error:
            self.refused += 1
            if "\n" in str(error):
                raise AssertionError(f"not one line: {error}") from None
        except BaseException:
            self._keep(kind, data)
            raise
        seconds = time.perf_counter() - began
        self.slowest = max(self.slowest, seconds)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self._memory)
        if seconds > SLOWEST or grown > MOST_MEMORY:
            self._keep(kind, data)
            raise AssertionError(f"{seconds:.1f} s, {grown / 2**20:.0f} MiB for {kind} of {len(data)} bytes")

    @staticmethod
    def _keep(kind: str, data: bytes) -> None:
        SEEDS.mkdir(exist_ok=True)
        (SEEDS / f"{hashlib.sha256(data).hexdigest()[:12]}.{kind}").write_bytes(data)


@pytest.fixture
def watch(golden: MaeCodec) -> Watch:
    return Watch(golden)


def decode(codec: MaeCodec, data: bytes, original: Packet) -> None:
    """Decode as a reader would; a picture that comes back must be the one that was coded."""
    packet = Packet.from_bytes(data)
    if packet.width * packet.height > 2**18:
        # Of a file, `StreamReader.check_size` lets through what the track's header has room for; so much here.
        return
    planes = codec.decode(packet)
    assert planes[0].shape == (packet.height, packet.width)
    if packet.latent_check == original.latent_check and packet.rate_index == original.rate_index:
        for got, true in zip(planes, codec.decode(original), strict=True):
            rows, columns = np.minimum(got.shape, true.shape)
            assert np.array_equal(got[:rows, :columns], true[:rows, :columns])


def read_file(codec: MaeCodec, path: Path) -> None:
    """Everything that the commands do with a file: facts, verify, decompress."""
    with StreamReader(path) as reader:
        for _ in verify(reader, codec):
            pass
        assert reader.info.width > 0
    decompress(
        DecompressOptions(
            str(path),
            str(path.with_suffix(".y4m")),
            codec_options=CodecOptions("cpu", "float32", GOLDEN / "golden.safetensors"),
        )
    )


def test_every_flipped_bit_is_noticed(mae: MaeCodec, small: bytes, watch: Watch) -> None:
    for bit in range(8 * len(small)):
        data = bytearray(small)
        data[bit // 8] ^= 1 << bit % 8
        watch("packet", bytes(data), lambda data=data: mae.decode(Packet.from_bytes(bytes(data))))
    assert watch.refused == 8 * len(small)


def test_every_flipped_bit_of_the_coded_data_is_noticed_without_the_crc(
    mae: MaeCodec, small: bytes, watch: Watch
) -> None:
    """With a CRC that fits: what is left are the coder's own checks and that of the latents."""
    original = Packet.from_bytes(small)
    first = len(small) - len(original.parts[0])
    step = 1 if ROUNDS > 1000 else 7
    flips = range(8 * first, 8 * len(small), step)
    for bit in flips:
        data = bytearray(small)
        data[bit // 8] ^= 1 << bit % 8
        watch("packet", bytes(data), lambda data=data: mae.decode(Packet.from_bytes(reforged(bytes(data)))))
    assert watch.refused == len(flips)


def test_every_flipped_bit_of_the_header_is_borne_without_the_crc(golden: MaeCodec, watch: Watch) -> None:
    """A forged header may be a good packet of another time; another size or rate is no picture of this one."""
    data = (GOLDEN / "64x48-128.packet").read_bytes()
    original = Packet.from_bytes(data)
    for bit in range(8 * (len(data) - len(original.parts[0]))):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        forged = reforged(bytes(flipped))
        watch("packet", forged, lambda forged=forged: decode(golden, forged, original))
    # Good are the 32 bits of the CRC, which was made to fit again, and those of pts and duration.
    assert watch.refused > 2 * watch.good


@pytest.mark.parametrize("forge", [False, True], ids=["as damaged", "CRC forged"])
def test_random_mutations_of_packets(forge: bool, mae, small, golden: MaeCodec, watch: Watch) -> None:
    random = np.random.default_rng([SEED, forge])
    stock = [(golden, path.read_bytes()) for path in sorted(GOLDEN.glob("*.packet"))] + [(mae, small)]
    for round_ in range(ROUNDS // (2 if forge else 4)):
        codec, data = stock[round_ % len(stock)]
        mutated = mutate(data, random)
        if forge:
            mutated = reforged(mutated)
        if mutated != data:
            original = Packet.from_bytes(data)
            watch("packet", mutated, lambda c=codec, m=mutated, o=original: decode(c, m, o))
    assert watch.refused > 2 * watch.good


def test_random_mutations_of_files(
    golden: MaeCodec, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To load the same weights for every file would take most of the time.
    monkeypatch.setattr("maevid.pipeline.open.open_codec", lambda name, options: golden)
    random = np.random.default_rng([SEED, 2])
    data = (GOLDEN / "clip.mkv").read_bytes()
    path = tmp_path / "mutated.mkv"
    for round_ in range(ROUNDS // 4):
        mutated = mutate(data, random)
        if round_ % 3 == 0:
            mutated = with_forged_packet(data, random)
        path.write_bytes(mutated)
        watch("mkv", mutated, lambda: read_file(golden, path))
    assert watch.good > 0
    assert watch.refused > 0


def with_forged_packet(data: bytes, random: np.random.Generator) -> bytes:
    """A file one of whose packets is mutated in place, its CRC forged to fit."""
    starts = [at for at in range(len(data)) if data.startswith(MAGIC + b"\x01\x01", at)]
    at = int(random.choice(starts))
    with StreamReader(GOLDEN / "clip.mkv") as reader:
        size = next(c.size for c in reader if c.offset == at)
    packet = bytearray(data[at : at + size])
    for place in random.integers(9, size, 3):
        packet[int(place)] ^= 1 << int(random.integers(8))
    forged = reforged(bytes(packet))
    return (
        data[:at] + forged + data[at + size :]
        if len(forged) == size
        else data[:at] + bytes(packet) + data[at + size :]
    )


@pytest.mark.parametrize(
    "path", sorted(p for p in SEEDS.glob("*") if p.suffix in {".packet", ".mkv"}), ids=lambda p: p.name
)
def test_what_was_found_before(
    path: Path, golden: MaeCodec, mae: MaeCodec, watch: Watch, tmp_path: Path
) -> None:
    data = path.read_bytes()
    if path.suffix == ".mkv":
        (tmp_path / "seed.mkv").write_bytes(data)
        watch("mkv", data, lambda: read_file(golden, tmp_path / "seed.mkv"))
        return
    for codec in (golden, mae):
        watch("packet", data, lambda codec=codec: codec.decode(Packet.from_bytes(data)))
