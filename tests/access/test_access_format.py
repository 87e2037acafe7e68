"""docs/format.md is true: a decoder written from it alone gives maevid's own frames, from file to samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from format_decoder import KINDS, Change, Model, filtered, packets_of, read_packet, read_still

from maevid.access.still import Still
from maevid.access.writer import Writer
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import WEIGHTS, open_mae
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import ModelConfig
from maevid.model.post_filter import Adjustment, PostFilter
from maevid.stream.packet import Packet
from maevid.stream.reader import StreamReader


def tiny_weights(path: Path, *, trellis: bool) -> Path:
    """An untrained model of the other units and activations, every parameter of which does something."""
    torch.manual_seed(3)
    model = ModulatedAutoencoder(
        ModelConfig(
            channels=16,
            latents=24,
            hyper=16,
            hyper_latents=8,
            blocks_16=2,
            width_16=12,
            lambda_max=2.0,
            units="quantiser",
            activation_bits=9,
            mean_bits=6,
            trellis=trellis,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    Checkpoint.from_model(model).save(path)
    return path


@pytest.fixture(scope="module", params=["shipped", "tiny", "tiny, one quantiser"])
def weights(request, tmp_path_factory) -> Path:
    if request.param == "shipped":
        return WEIGHTS / "mae.safetensors"
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return tiny_weights(path, trellis=request.param == "tiny")


@pytest.fixture(scope="module")
def model(weights) -> Model:
    return Model(weights)


@pytest.fixture(scope="module")
def exact(weights):
    """maevid's decoder with float32 transforms."""
    return open_mae(CodecOptions(device="cpu", precision="float32", weights=weights))


def pictures() -> list[np.ndarray]:
    """Smooth, noisy and black-and-white parts, so that all kinds of symbols occur, escapes among them."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:44, :70]
    smooth = np.stack([3 * rows, 2 * columns, rows + columns], axis=-1)
    smooth[:, 40:] += rng.integers(0, 80, (44, 30, 3))
    smooth[20:, :20] = 255 * rng.integers(0, 2, (24, 20, 1))
    return [smooth.clip(0, 255).astype(np.uint8), smooth[::-1].clip(0, 255).astype(np.uint8)]


@pytest.fixture(scope="module", params=[5, 55, 100])
def path(request, weights, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("format") / "x.mkv"
    with Writer(path, quality=request.param, weights=weights) as writer:
        for number, picture in enumerate(pictures()):
            writer.write(picture, number - 0.5)
    return path


def test_from_file_to_samples(path, model, exact, monkeypatch):
    with StreamReader(path) as reader:
        ours = [reader.packet(i) for i in range(len(reader))]
        assert reader.tags["MAEVID_WEIGHTS"] == model.identity.hex()
    theirs = [read_packet(data) for data in packets_of(path)]
    assert len(ours) == len(theirs) == 2
    for a, b in zip(ours, theirs, strict=True):
        assert b.model == model.identity[:4]
        assert (a.pts, a.duration, a.width, a.height) == (b.pts, b.duration, b.width, b.height)
        assert (exact.latent_levels(a) == model.latents(b) / model.mean_step).all()
        for ours_plane, theirs_plane in zip(exact.decode(a), model.picture(b), strict=True):
            difference = np.abs(ours_plane.astype(int) - theirs_plane)
            # Of samples that differ by one, few choose another post filter.
            assert (difference > 1).mean() < 0.005
            assert difference.max() <= 10
            assert difference.mean() < 0.1
    monkeypatch.setattr(exact.network, "post_filter", None)
    for a, b in zip(ours, theirs, strict=True):
        for ours_plane, theirs_plane in zip(exact.decode(a), model.synthesis(b), strict=True):
            difference = np.abs(ours_plane.astype(int) - theirs_plane)
            assert difference.max() <= 1
            assert difference.mean() < 0.02


@pytest.mark.parametrize("tables", ["shipped", "made up", "of an older model"])
def test_the_post_filter_to_the_last_bit(tables):
    arrays = {k: v for k, v in Model(WEIGHTS / "mae.safetensors").arrays.items() if k.startswith("post.")}
    random = np.random.default_rng(4)
    if tables == "of an older model":
        # Filters of luma by the place in a block, chroma without a guide.
        del arrays["post.guide.chroma"]
        arrays["post.filter.luma"] = np.empty((16, 720, 36), np.int16)
        arrays["post.filter.chroma"] = np.empty((16, 180, 36), np.int16)
    if tables != "shipped":
        for name, array in arrays.items():
            ranges = {"filter": (-90, 180), "limit": (1, 20_000), "cut": (1, 40), "guide": (1, 90_000)}
            low, high = ranges[name.split(".")[1]]
            made = random.integers(low, high, array.shape).astype(array.dtype)
            arrays[name] = np.sort(made, axis=1) if ".limit." in name else made
    row, column = np.ogrid[:41, :49]
    edges = 128 + 60 * np.sin(row / 7) + 50 * np.sign(np.sin(column / 5 - row / 9))
    luma = (edges + random.normal(0, 9, (41, 49))).clip(0, 255).astype(np.uint8)
    # Chroma with luma's edges, and without.
    u = (255 - luma[::2, ::2] + random.normal(0, 3, (21, 25))).clip(0, 255).astype(np.uint8)
    planes = (luma, u, luma[:21, :25].copy())
    ours = PostFilter({name.removeprefix("post."): array for name, array in arrays.items()})
    for rate in (5, 83, 250):
        for found, plane, kind in zip(ours(planes, rate), planes, KINDS, strict=True):
            np.testing.assert_array_equal(found, filtered(arrays, plane, kind, rate // 16, luma))
    added = [random.integers(-400, 400, count).astype(np.int32) for count in ours.counts]
    adjustments = tuple(Adjustment(-3, 128 * 9, some) for some in added)
    for found, plane, kind, some in zip(ours(planes, 83, adjustments), planes, KINDS, added, strict=True):
        change = Change(-3, 9, some)
        np.testing.assert_array_equal(found, filtered(arrays, plane, kind, 83 // 16, luma, change))


def test_what_a_packet_changes_of_the_post_filter(tmp_path):
    weights = WEIGHTS / "mae.safetensors"
    with Writer(tmp_path / "x.mkv", quality=55, weights=weights, effort=1) as writer:
        writer.write(pictures()[0], 0)
    (data,) = packets_of(tmp_path / "x.mkv")
    packet = read_packet(data)
    assert len(packet.parts) == 2
    exact = open_mae(CodecOptions(device="cpu", precision="float32"))
    for ours, theirs in zip(
        exact.decode(Packet.from_bytes(data)), Model(weights).picture(packet), strict=True
    ):
        difference = np.abs(ours.astype(int) - theirs)
        assert (difference > 1).mean() < 0.005
        assert difference.mean() < 0.1


def test_a_still(model, weights):
    still = Still.encode(pictures()[0], quality=40, weights=weights)
    color, codec, packet = read_still(still.to_bytes())
    assert color == (6, 2, 2, 0)
    assert codec == "mae"
    assert (packet.pts, packet.duration, packet.width, packet.height) == (0, 0, 70, 44)
    model.latents(packet)
