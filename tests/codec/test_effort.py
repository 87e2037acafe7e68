"""Effort: packets that any decoder reads, better for their size, and the same bytes on any number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import maevid
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec, open_mae, open_mae_fast
from maevid.errors import ModelError, UsageError
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import CONFIGS
from maevid.stream.packet import Packet
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def loss(codec: MaeCodec, decoder: MaeCodec, frame: Frame, rate_index: int) -> float:
    """ln(R + λ·D), R in bits and D in weighted squared levels a luma sample, of a packet through bytes."""
    data = codec.encode(frame, rate_index).packet.to_bytes()
    errors = [
        np.square(a.astype(float) - b).mean()
        for a, b in zip(frame.planes, decoder.decode(Packet.from_bytes(data)), strict=True)
    ]
    distortion = np.average(errors, weights=codec.network.config.plane_weights)
    return float(np.log(8 * len(data) / frame.y.size + codec.lam(rate_index) * distortion))


@pytest.mark.parametrize(
    ("opened", "first", "fifth"), [(open_mae, 0.008, 0.015), (open_mae_fast, 0.0005, 0.0015)]
)
def test_each_frame_gets_better_for_its_size(hall_frames, bunny, opened, first, fifth) -> None:
    with VideoReader(bunny) as reader:
        frames = [hall_frames[0], next(iter(reader))]
    plain, one, five = (opened(CodecOptions(device="cpu", effort=effort)) for effort in (0, 1, 5))
    for rate_index in (40, 110, 180):
        losses = [[loss(codec, plain, frame, rate_index) for frame in frames] for codec in (plain, one, five)]
        without, once, often = np.mean(losses, axis=1)
        assert once < without - first
        assert often < without - fifth


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_threads_and_batches_do_not_change_bytes(hall_frames, precision) -> None:
    codec = open_mae(CodecOptions(device="cpu", precision=precision, effort=2))
    made = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        made.append([one.packet.to_bytes() for one in codec.encode_batch(hall_frames[:3], [20, 120, 220])])
    torch.set_num_threads(1)
    pairs = zip(hall_frames[:3], (20, 120, 220), strict=True)
    made.append([codec.encode(frame, index).packet.to_bytes() for frame, index in pairs])
    assert made.count(made[0]) == len(made)


def test_what_is_estimated_is_what_is_coded(hall_frames) -> None:
    codec = open_mae_fast(CodecOptions(device="cpu", effort=1))
    indices = [30, 150]
    estimates = codec.estimate_bits(hall_frames[:1], indices)[0]
    true = [8 * len(codec.encode(hall_frames[0], index).packet.to_bytes()) for index in indices]
    assert estimates == pytest.approx(true, rel=0.01)


def test_the_decoders_picture_is_what_the_encoder_gives(hall_frames) -> None:
    codec = open_mae_fast(CodecOptions(device="cpu", effort=1))
    encoded = codec.encode(hall_frames[0], 100, reconstruct=True)
    for got, expected in zip(codec.decode(encoded.packet), encoded.reconstruction, strict=True):
        assert np.array_equal(got, expected)


def test_the_compiled_loops_round_as_the_layers_do(hall_frames, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same latents; the layers' own arithmetic differs in the last bits."""
    codec = open_mae_fast(CodecOptions(device="cpu", precision="float32", effort=1))
    made = codec.encode(hall_frames[0], 100).packet
    monkeypatch.setattr("maevid.model.fused.available", lambda: False)
    plain = open_mae_fast(CodecOptions(device="cpu", precision="float32", effort=1)).encode(
        hall_frames[0], 100
    )
    assert len(plain.packet.to_bytes()) == pytest.approx(len(made.to_bytes()), rel=0.005)
    for got, expected in zip(codec.decode(plain.packet), codec.decode(made), strict=True):
        assert np.abs(got.astype(int) - expected).mean() < 0.1


def test_a_writer_takes_effort(hall_frames, tmp_path: Path) -> None:
    sizes = []
    for effort in (0, 2):
        with maevid.Writer(
            tmp_path / f"{effort}.mkv", fps=10, quality=40, codec="mae-fast", effort=effort
        ) as writer:
            for frame in hall_frames[:2]:
                writer.write(frame.planes)
        sizes.append((tmp_path / f"{effort}.mkv").read_bytes())
    assert sizes[0] != sizes[1]
    with pytest.raises(UsageError, match="from 0 to 100"):
        maevid.Writer(tmp_path / "x.mkv", fps=10, effort=101)
    assert not (tmp_path / "x.mkv").exists()


@pytest.mark.parametrize("name", ["mae-factorized", "mae-hyperprior"])
def test_networks_of_convolutions_refuse(name) -> None:
    config = CONFIGS[name]
    sizes = {"hyper": min(config.hyper, 16), "hyper_latents": min(config.hyper_latents, 8)}
    checkpoint = Checkpoint.from_model(ModulatedAutoencoder(replace(config, channels=8, latents=16, **sizes)))
    with pytest.raises(ModelError, match="--effort"):
        MaeCodec(checkpoint, CodecOptions(device="cpu", effort=1))
