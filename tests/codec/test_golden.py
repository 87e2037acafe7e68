"""Packets and a file written by maevid 0.1 must be read for ever; see tests/golden/README.md."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import maevid
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec
from maevid.model.checkpoint import Checkpoint
from maevid.stream.packet import Packet
from maevid.stream.reader import StreamReader
from maevid.stream.verify import verify
from maevid.video.reader import VideoReader

GOLDEN = Path(__file__).parents[1] / "golden" / "mae"
FACTS = json.loads((GOLDEN / "facts.json").read_text())
SHA256 = {
    "17x33-0.packet": "7b8882e12f57f4bcbe73e84cda79083e25c6fc6fb05297c1e210af0b7cd8cad7",
    "1x1-255.packet": "a6eaba4243bb687c1052f88a79a5f61b3f694e5d507e26972df5060fdbbd991c",
    "64x48-128.packet": "e442cd473f459e4c546131dfc17a0454a0e1c0694547368e43dfd350a42d14af",
    "64x48-255.packet": "3de0d7b061461d3ca5eae4a2e042b763b21c4c1219757db8d539c86ad88430d9",
    "70x50-190.packet": "20f87c35208a2afbddf230641d0ff7354f09abffe261eca07beb07c15ee3986f",
    "clip.mkv": "eeb8c8ef4fa0f405c13461b3c58070e8312ee58db8c6c6fd014eb80243311c52",
    "facts.json": "e1a2bac0b0b3c9448c189ad2eee273bf96f45b845c2a3837f0e071d7871a71a1",
    "golden.safetensors": "32247d09847d50a9f26e6d9a067de5bb9645315db2b5963d02a303f1809e89ec",
    "picture.npz": "fb8c9d712aa4379f8addf5685a19ab46d939d5aed9b33384188c4c8f94e501bf",
}
PACKETS = sorted(name for name in SHA256 if name.endswith(".packet"))


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def codec(request: pytest.FixtureRequest) -> MaeCodec:
    return MaeCodec(Checkpoint.load(GOLDEN / "golden.safetensors"), CodecOptions("cpu", request.param))


def digest(codec: MaeCodec, packet: Packet) -> str:
    return hashlib.sha256(codec.latent_levels(packet).astype("<i4").tobytes()).hexdigest()


def test_nothing_was_rewritten() -> None:
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in GOLDEN.iterdir()} == SHA256


def test_the_model_is_still_the_same_model(codec: MaeCodec) -> None:
    assert codec.sha256 == FACTS["model"]


@pytest.mark.parametrize("name", PACKETS)
def test_golden_packets_decode_to_the_same_latents(codec: MaeCodec, name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    packet = Packet.from_bytes(data)
    assert packet.to_bytes() == data
    assert digest(codec, packet) == FACTS["latents"][name]


def test_the_golden_picture_is_the_same_but_for_a_level(codec: MaeCodec) -> None:
    if codec.description != "cpu, float32":
        pytest.skip("the golden picture was made in float32")
    planes = codec.decode(Packet.from_bytes((GOLDEN / "70x50-190.packet").read_bytes()))
    with np.load(GOLDEN / "picture.npz") as stored:
        for plane, name in zip(planes, stored.files, strict=True):
            assert plane.shape == stored[name].shape
            assert np.abs(plane.astype(int) - stored[name]).max() <= 1


def test_the_golden_file_is_read(codec: MaeCodec, tmp_path: Path) -> None:
    with StreamReader(GOLDEN / "clip.mkv") as reader:
        assert [digest(codec, coded.unwrap()) for coded in reader] == FACTS["latents"]["clip.mkv"]
        assert [check.problem for check in verify(reader, codec)] == [None] * 6
        assert reader.described.weights == FACTS["model"]
    maevid.decompress(GOLDEN / "clip.mkv", tmp_path / "o.mkv", weights=GOLDEN / "golden.safetensors")
    with VideoReader(tmp_path / "o.mkv") as result:
        assert [(f.width, f.height, round(f.seconds * 25)) for f in result] == [(64, 48, n) for n in range(6)]
