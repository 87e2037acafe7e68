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

GOLDEN = Path(__file__).parents[1] / "golden"
SHA256 = {
    "mae": {
        "17x33-0.packet": "7b8882e12f57f4bcbe73e84cda79083e25c6fc6fb05297c1e210af0b7cd8cad7",
        "1x1-255.packet": "a6eaba4243bb687c1052f88a79a5f61b3f694e5d507e26972df5060fdbbd991c",
        "64x48-128.packet": "e442cd473f459e4c546131dfc17a0454a0e1c0694547368e43dfd350a42d14af",
        "64x48-255.packet": "3de0d7b061461d3ca5eae4a2e042b763b21c4c1219757db8d539c86ad88430d9",
        "70x50-190.packet": "20f87c35208a2afbddf230641d0ff7354f09abffe261eca07beb07c15ee3986f",
        "clip.mkv": "eeb8c8ef4fa0f405c13461b3c58070e8312ee58db8c6c6fd014eb80243311c52",
        "facts.json": "e1a2bac0b0b3c9448c189ad2eee273bf96f45b845c2a3837f0e071d7871a71a1",
        "golden.safetensors": "32247d09847d50a9f26e6d9a067de5bb9645315db2b5963d02a303f1809e89ec",
        "picture.npz": "fb8c9d712aa4379f8addf5685a19ab46d939d5aed9b33384188c4c8f94e501bf",
    },
    "mae-2": {
        "17x33-0.packet": "63efcf92850c4e37c5a094d4bc69aeb84fc9811e302cf106599f016ebdee3c71",
        "1x1-255.packet": "b839f83d2f178663d53eef87797b6e2a6a5c91e052e23cf57e5b1d04395d8027",
        "64x48-128.packet": "4055652c081a8445741b5bf7e526e59d0176bbc59a2053ccab869b16db5d199a",
        "64x48-255.packet": "c5991ebbc81d63af37e5fddd7f5a9b0a19b5ae52838227578f25e0b15469ada8",
        "70x50-190.packet": "96dfec60e05081252e8f269c927ffb8ab183adf16e14964da00c54382beec60c",
        "clip.mkv": "1d25ca2f89b1c66ade42439c135c44ec763d5b293b301a84da3aaac8ea399336",
        "facts.json": "815253aedffefe2397e6b9165f13a5de35dc994938630fa8bd087294c9e0afed",
        "golden.safetensors": "087675a79b90ed2fa75561b8a92e43a9692a2070697bce6615bf7169967b8668",
        "picture.npz": "f83d64fc10d1633615368a643a4dffa902c4fcc5a61d560643aebb0e24a5ea5b",
    },
    "mae-3": {
        "17x33-0.packet": "bc814335f1aa0ea4fae109a88daafcc58a17b4721e6b3a0dabdc1bcf48ba5a73",
        "1x1-255.packet": "522bbcf811ca40a101ede3b475b6fc22d69c08f61e95b858f49029c26934e771",
        "64x48-128.packet": "14c75c50706e3d36731c9473950c1ca12b9f5185731a0b979f0c94aa85516c32",
        "64x48-255.packet": "e23302801c84fa866d71ca3b9cfcb5fb61f373961ec23ef36c9bb9ba5d4afa63",
        "70x50-190.packet": "45f94fb078a6a954d6af28fec9457f8a4ca153cf0ba15100fc5e62fbde5cea04",
        "clip.mkv": "7bab81fb50d813882a83bbe9e4b4452e55894e38835362c08915284af123b305",
        "facts.json": "e06e682fc61fb2a73ddaa65031d2f36433b8d79a48c2b8e676513160692a31ec",
        "golden.safetensors": "4a53f54ea6b09b43e31c7f91b93d845d2402850190e2c4209f8d441873acdf98",
        "picture.npz": "d581ae87e58d993bcd4e9bd32c2dbffa0776298a6c8d8505863f0f48d4fec8f5",
    },
}
FACTS = {name: json.loads((GOLDEN / name / "facts.json").read_text()) for name in SHA256}
PACKETS = sorted(name for name in SHA256["mae"] if name.endswith(".packet"))


@pytest.fixture(scope="module", params=SHA256)
def golden(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / request.param


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def codec(request: pytest.FixtureRequest, golden: Path) -> MaeCodec:
    return MaeCodec(Checkpoint.load(golden / "golden.safetensors"), CodecOptions("cpu", request.param))


def digest(codec: MaeCodec, packet: Packet) -> str:
    return hashlib.sha256(codec.latent_levels(packet).astype("<i4").tobytes()).hexdigest()


def test_nothing_was_rewritten(golden: Path) -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in golden.iterdir()}
    assert found == SHA256[golden.name]


def test_the_model_is_still_the_same_model(codec: MaeCodec, golden: Path) -> None:
    assert codec.sha256 == FACTS[golden.name]["model"]


@pytest.mark.parametrize("name", PACKETS)
def test_golden_packets_decode_to_the_same_latents(codec: MaeCodec, golden: Path, name: str) -> None:
    data = (golden / name).read_bytes()
    packet = Packet.from_bytes(data)
    assert packet.to_bytes() == data
    assert digest(codec, packet) == FACTS[golden.name]["latents"][name]


def test_the_golden_picture_is_the_same_but_for_a_level(codec: MaeCodec, golden: Path) -> None:
    if codec.description != "cpu, float32":
        pytest.skip("the golden picture was made in float32")
    planes = codec.decode(Packet.from_bytes((golden / "70x50-190.packet").read_bytes()))
    with np.load(golden / "picture.npz") as stored:
        for plane, name in zip(planes, stored.files, strict=True):
            assert plane.shape == stored[name].shape
            assert np.abs(plane.astype(int) - stored[name]).max() <= 1


def test_the_golden_file_is_read(codec: MaeCodec, golden: Path, tmp_path: Path) -> None:
    facts = FACTS[golden.name]
    with StreamReader(golden / "clip.mkv") as reader:
        assert [digest(codec, coded.unwrap()) for coded in reader] == facts["latents"]["clip.mkv"]
        assert [check.problem for check in verify(reader, codec)] == [None] * 6
        assert reader.described.weights == facts["model"]
    maevid.decompress(golden / "clip.mkv", tmp_path / "o.mkv", weights=golden / "golden.safetensors")
    with VideoReader(tmp_path / "o.mkv") as result:
        assert [(f.width, f.height, round(f.seconds * 25)) for f in result] == [(64, 48, n) for n in range(6)]
